//! How the CPU path may cut a dispatch into pieces.

use std::ops::Range;

use crate::device::recording::Dispatch;
use crate::device::tensor::Tensor;

/// Rows that the CPU path works on at a time, where there are many: what comes out of one dispatch is still in the cache for
/// the next. Sums over rows are made of the sums of these, so that threads can share the rows and the bits depend on nothing
/// but the shapes.
pub(crate) const CHUNK_ROWS: usize = 256;

/// Whether so many rows are more than one chunk on the CPU path.
pub(crate) const fn are_chunked(rows: usize) -> bool {
    rows >= 2 * CHUNK_ROWS
}

/// How the CPU path may cut a dispatch into pieces by rows. They give the same bits as the whole.
pub(crate) struct Cut {
    /// Rows in all.
    pub(crate) rows: usize,
    /// Rows of a piece, all but the last one's.
    pub(crate) piece: usize,
    /// What a piece has of each input and output.
    pub(crate) inputs: Vec<Share>,
    /// See `inputs`.
    pub(crate) outputs: Vec<Share>,
    /// The parameters of a piece, of the dispatch's and the piece's rows.
    pub(crate) params: fn(&[u8], Range<usize>) -> Vec<u8>,
}

/// What a piece of a dispatch has of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// All of it.
    Whole,
    /// So many elements for each row.
    Rows(usize),
    /// So many elements for each piece.
    Piece(usize),
}

impl Cut {
    /// Chunks of rows, if there are enough of them; parameters without sizes.
    pub(crate) fn chunks(rows: usize, inputs: Vec<Share>, outputs: Vec<Share>) -> Option<Self> {
        let cut = Self { rows, piece: CHUNK_ROWS, inputs, outputs, params: |params, _| params.to_vec() };
        are_chunked(rows).then_some(cut)
    }

    /// Chunks of rows of a kernel that works row by row: on those of the outputs and of the inputs that have as many, and on
    /// all of the others. Of a single row, if it is long, pieces.
    pub(crate) fn by_rows(dispatch: &Dispatch) -> Option<Self> {
        const LONG: usize = 1 << 15;
        let [rows, cols] = dispatch.outputs.last()?.shape();
        let share = |tensor: &Tensor| match tensor.shape() {
            [1, own] if rows == 1 && own == cols => Share::Rows(1),
            [own, each] if rows > 1 && own == rows => Share::Rows(each),
            _ => Share::Whole,
        };
        let shares = |tensors: &[Tensor]| tensors.iter().map(share).collect();
        let cut = Self::chunks(rows.max(cols), shares(&dispatch.inputs), shares(&dispatch.outputs))?;
        match rows {
            1 => (cols >= 4 * LONG).then_some(Self { rows: cols, piece: LONG, ..cut }),
            _ => are_chunked(rows).then_some(Self { rows, ..cut }),
        }
    }
}

pub(crate) fn no_cut(_dispatch: &Dispatch) -> Option<Cut> {
    None
}
