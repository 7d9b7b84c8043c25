//! Counts of right answers: `shaders/metrics.wgsl`.

use crate::device::{
    CHUNK_ROWS, Call, Constants, Cut, Dispatch, Kernel, Recording, Shader, Share, Tensor, kernel, params, shader,
};
use crate::error::{Error, Result};
use crate::graph::{Operation, Shape};
use crate::ops::{
    GROUP, LOAD, copy, expect_shape, grid, longest_loop, operands, reduce, same_shape, same_shapes, size, work_of_rows,
};

params! {
    struct Params {
        rows: u32,
        cols: u32,
        threshold: f32,
        target_cols: u32,
        target_threshold: f32,
        weighted: u32,
    }
}

const SHADER: Shader =
    shader!(["common/grid", "common/lanes", "common/numbers", "common/class", "metrics"], shared: [GROUP, BLOCK]);

pub(crate) static COUNT_CORRECT: Kernel = kernel!("metrics", "count_correct", SHADER, [BLOCK, 1, 1], Params, inputs: 3, outputs: 1, step: false, reference, constants).cut(cut);

fn constants(params: &[u8]) -> Constants {
    let params: Params = bytemuck::pod_read_unaligned(params);
    [("weighted", params.weighted.into())].into()
}

/// The widest rows: an invocation walks along one.
const MAX_COLS: usize = longest_loop(1);

/// Rows that one workgroup counts.
const BLOCK: usize = CHUNK_ROWS;

/// There is one count for each chunk of rows.
fn cut(dispatch: &Dispatch) -> Option<Cut> {
    let inputs = dispatch.inputs.iter().map(|tensor| Share::Rows(tensor.cols())).collect();
    Cut::chunks(dispatch.inputs[0].rows(), inputs, vec![Share::Piece(1)])
}

/// `count[min(step, count.len() - 1)]` = how many rows are classified correctly: the largest prediction is in the
/// column of the largest target (of equals, the first); with a single column both lie on the same side of their
/// thresholds. Targets [n, 1] for several columns of predictions are class numbers. A row with a NaN, or with the
/// number of no class, is not right. With weights [n, 1] a row counts as much as its weight.
///
/// # Errors
/// Other shapes; rows wider than 65,000 columns.
pub fn count_correct(
    recording: &mut Recording,
    prediction: &Tensor,
    target: &Tensor,
    weights: Option<&Tensor>,
    [threshold, target_threshold]: [f32; 2],
    count: &Tensor,
) -> Result<()> {
    if target.shape() != [prediction.rows(), 1] {
        same_shape("accuracy", &[("the prediction", prediction), ("the target", target)])?;
    }
    let (rows, cols) = (prediction.rows(), prediction.cols());
    if cols > MAX_COLS {
        return Err(Error::shape("accuracy", format!("rows of {cols} columns; at most {MAX_COLS} are compared")));
    }
    if let Some(weights) = weights {
        expect_shape("accuracy", "the weights", weights, [rows, 1], "to have one for each row")?;
    }
    let counts = Tensor::zeros(prediction.device(), 1, rows.div_ceil(BLOCK))?;
    let params = Params {
        rows: size(rows),
        cols: size(cols),
        threshold,
        target_cols: size(target.cols()),
        target_threshold,
        weighted: weights.is_some().into(),
    };
    let work = work_of_rows(rows, 2 * LOAD * cols);
    let inputs: Vec<_> = [prediction, target].into_iter().chain(weights).collect();
    recording.push(&COUNT_CORRECT, grid(rows, BLOCK), params, &inputs, &[&counts], work)?;
    reduce::sum(recording, &counts, 1.0, count)
}

fn reference(call: Call<'_>) {
    let params: Params = call.params();
    let [prediction, target, weights, ..] = call.inputs;
    let [counts, ..] = call.outputs;
    let cols = params.cols as usize;
    let is_right = |(prediction, target): (&[f32], &[f32])| match (prediction, target) {
        ([p], [t]) => !p.is_nan() && !t.is_nan() && (*p > params.threshold) == (*t > params.target_threshold),
        (_, [number]) => number_of_largest(prediction).is_some_and(|i| class(*number, cols) == Some(i)),
        _ => number_of_largest(prediction).is_some_and(|i| number_of_largest(target) == Some(i)),
    };
    let target_cols = params.target_cols as usize;
    let blocks = prediction.chunks(BLOCK * cols).zip(target.chunks(BLOCK * target_cols));
    for (block, (count, (prediction, target))) in counts.iter_mut().zip(blocks).enumerate() {
        let rows = prediction.chunks_exact(cols).zip(target.chunks_exact(target_cols));
        *count = match params.weighted {
            0 => rows.filter(|pair| is_right(*pair)).count() as f32,
            _ => {
                let weights = &weights[block * BLOCK..];
                rows.zip(weights).filter(|(pair, _)| is_right(*pair)).map(|(_, weight)| weight).sum()
            }
        };
    }
}

/// The index of the largest value; of equals, the first. NaN counts as the largest, as in PyTorch.
pub(crate) fn argmax(row: &[f32]) -> usize {
    let is_larger = |a: f32, b: f32| a > b || (a.is_nan() && !b.is_nan());
    (1..row.len()).fold(0, |best, i| if is_larger(row[i], row[best]) { i } else { best })
}

/// [`argmax`], unless there is a NaN.
fn number_of_largest(row: &[f32]) -> Option<usize> {
    let at = argmax(row);
    (!row[at].is_nan()).then_some(at)
}

/// The class that a number stands for, if it is one of 0, 1, .. classes - 1.
pub(crate) fn class(number: f32, classes: usize) -> Option<usize> {
    // False of a NaN.
    (number >= 0.0 && number < classes as f32 && number.fract() == 0.0).then_some(number as usize)
}

/// `counts[step]` = how many answers are right, in place: with thresholds of every element, without of the largest in each
/// row. Operands: the counts, the prediction, the target; then the weights of the rows [n, 1], if they have some.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CountCorrect {
    pub(crate) thresholds: Option<[f32; 2]>,
}

impl Operation for CountCorrect {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [counts, prediction, target] = operands("accuracy", &inputs[..inputs.len().min(3)])?;
        match self.thresholds {
            None if prediction[1] == 1 => Err(Error::shape(
                "accuracy",
                "the largest of one output; with one output use a Decision::Threshold, which separates two classes",
            )),
            Some(thresholds) if thresholds.iter().any(|threshold| threshold.is_nan()) => Err(Error::input(
                "accuracy",
                "a threshold of NaN; give Decision::between the two values that targets have",
            )),
            Some(_) => {
                same_shapes("accuracy", ("the prediction", prediction), ("the target", target)).map(|()| vec![counts])
            }
            None => Ok(vec![counts]),
        }
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let weights = inputs.get(3).copied();
        let Some(thresholds) = self.thresholds else {
            return count_correct(recording, inputs[1], inputs[2], weights, [0.0; 2], outputs[0]);
        };
        let answers = |tensor: &Tensor| tensor.view(0, tensor.len(), 1);
        let weights = match weights {
            // Each answer of a row counts as much as the row.
            Some(weights) => {
                let repeated = Tensor::zeros(weights.device(), inputs[1].rows(), inputs[1].cols())?;
                copy::broadcast(recording, weights, 1.0, &repeated, false)?;
                Some(answers(&repeated)?)
            }
            None => None,
        };
        let [prediction, target] = [inputs[1], inputs[2]].map(answers);
        count_correct(recording, &prediction?, &target?, weights.as_ref(), thresholds, outputs[0])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }
}
