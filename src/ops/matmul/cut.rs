//! How the CPU path cuts a product into pieces by rows.

use std::ops::Range;

use super::{DERIVATIVE, Params};
use crate::device::{CHUNK_ROWS, Cut, Dispatch, Share};
use crate::ops::{Activation, size};

/// By rows of the output; a sum over rows that is in parts, as a weight's gradient, by those.
pub(super) fn product(dispatch: &Dispatch) -> Option<Cut> {
    let params: Params = bytemuck::pod_read_unaligned(&dispatch.params);
    let Params { m, n, k, a_start, a_row, a_col, b_start, b_row, b_col, extra_is, sums_at, parts, part_k, .. } = params;
    let [m, n, k, a_row, a_col, b_row] = [m, n, k, a_row, a_col, b_row].map(|x| x as usize);
    if parts > 1 {
        let by_rows =
            part_k as usize == CHUNK_ROWS && [a_row, b_col as usize] == [1, 1] && [a_start, b_start] == [0, 0];
        let cut = Cut::chunks(k, vec![Share::Rows(a_col), Share::Rows(b_row)], vec![Share::Piece(m * n)])?;
        return by_rows.then_some(Cut { params: part, ..cut });
    }
    if a_col != 1 || sums_at != 0 {
        return None;
    }
    let extra = if extra_is == DERIVATIVE { Share::Rows(n) } else { Share::Whole };
    let inputs = [Share::Rows(a_row), Share::Whole, extra][..dispatch.inputs.len()].to_vec();
    Some(Cut { params: rows, ..Cut::chunks(m, inputs, vec![Share::Rows(n); dispatch.outputs.len()])? })
}

/// Adding up parts takes no time to speak of.
pub(super) fn add_parts(_dispatch: &Dispatch) -> Option<Cut> {
    None
}

fn rows(params: &[u8], rows: Range<usize>) -> Vec<u8> {
    let params: Params = bytemuck::pod_read_unaligned(params);
    bytemuck::bytes_of(&Params { m: size(rows.len()), ..params }).to_vec()
}

/// A part is a product by itself; the epilogue comes when the parts are added.
fn part(params: &[u8], rows: Range<usize>) -> Vec<u8> {
    let params: Params = bytemuck::pod_read_unaligned(params);
    let part = Params {
        k: size(rows.len()),
        parts: 1,
        part_k: size(rows.len()),
        extra_is: 0,
        activation: Activation::Identity.kind(),
        keep: 0,
        alpha: 1.0,
        beta: 0.0,
        sums_at: 0,
        ..params
    };
    bytemuck::bytes_of(&part).to_vec()
}
