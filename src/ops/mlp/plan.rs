//! How a chain is trained in one dispatch on an adapter of given capabilities, and whether that pays. Nothing is timed: the
//! same chain is trained in the same way in every run.

use std::fmt;

use super::chain::{functions, sizes, values_len};
use super::{Chain, How, Loss, MAX_FUNCTIONS, MAX_LAYERS, NO_FUNCTION, Params, Run, UPDATE_CELLS, Weights};
use crate::device::{ALIGNMENT, Capabilities, MAX_ELEMENTS};
use crate::error::{Error, Result};
use crate::ops::{Activation, MAX_ROUNDS, size};

/// Bytes of a cell.
const CELL: usize = 16;
/// Workgroup memory that the sum of the losses takes (`shaders/common/lanes.wgsl`).
const SUM_BYTES: usize = 1024;
/// Invocations where a workgroup is a core: few of them, each with a large tile, need the fewest loads.
const SOFTWARE_LANES: usize = 8;
/// The most invocations elsewhere.
const MAX_LANES: usize = 256;
/// Up to this many multiplications in a step, a workgroup by itself is taken to be faster than one dispatch after the other: on
/// a whole GPU (an estimate), and on all cores of a software driver. There it depends on the processor: see
/// `benches/RESULTS.md` for two cores with AVX2; with AVX-512 it was faster up to ten times this much.
const MOST_WORK: [u64; 2] = [1_500_000, 500_000];

/// How a chain is trained in one dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    how: How,
    lanes: usize,
    /// Of each layer, outputs and first cells: see the shader.
    layers: Vec<[u32; 4]>,
    weight_cells: usize,
    cells: usize,
    /// The most steps in one dispatch.
    pub(super) steps: u32,
    /// The work of a step, counted as if it kept the whole device busy.
    pub(super) work: u64,
    /// Why it does not pay on this device, if it does not.
    objection: Option<String>,
}

impl Plan {
    /// A plan for `members` networks of this shape.
    ///
    /// # Errors
    /// A chain that the kernel does not take: none or more than eight layers, more than three different functions, or one
    /// that can't end a product; clipping by norm; fewer entries between two mini-batches than rows; one output for
    /// cross-entropy; a step that software drivers would not run to its end.
    pub fn new(chain: &Chain, members: usize, capabilities: &Capabilities) -> Result<Self> {
        check(chain)?;
        let software = !capabilities.fast_workgroup_memory;
        let high = if software { 2 } else { 1 };
        let blocks = chain.stride.div_ceil(4).next_multiple_of(high);
        let fours = |n: usize| n.div_ceil(4);
        let mut next = 0;
        let mut take = |cells: usize| {
            next += cells;
            next - cells
        };
        let weights: Vec<_> = chain.sizes().map(|[inputs, outputs]| take((inputs + 1) * fours(outputs))).collect();
        let inputs_at = take((chain.inputs + 1) * blocks);
        let last = chain.layers.len() - 1;
        // Behind what another layer takes is the input that is 1.
        let y: Vec<_> = chain
            .sizes()
            .enumerate()
            .map(|(l, [_, outputs])| take((outputs + usize::from(l < last)) * blocks))
            .collect();
        let dy: Vec<_> = chain.sizes().map(|[_, outputs]| take(4 * fours(outputs) * blocks)).collect();
        let cells = next;
        let memory = (capabilities.workgroup_memory as usize).saturating_sub(SUM_BYTES) / CELL;
        let placement = match memory {
            memory if cells <= memory => 0,
            memory if inputs_at <= memory => 1,
            _ => 2,
        };
        let tiles = chain.layers.iter().map(|(outputs, _)| fours(*outputs) * blocks / high).max().unwrap_or(1);
        let lanes = if software { SOFTWARE_LANES } else { tiles.next_power_of_two().clamp(32, MAX_LANES) };
        // Where one tile after the other would be done, larger ones need fewer loads.
        let wide = if software && capabilities.compiles_long_kernels && tiles > lanes { 2 } else { 1 };
        let how = How {
            placement,
            high: high as u32,
            rule: chain.rule.kind(),
            loss: chain.loss.kind(),
            clips: u32::from(chain.update.clip_value < f32::INFINITY),
            weights: chain.weights as u32,
            wide: wide as u32,
            blocks: size(blocks),
        };
        let layers = (0..=last).map(|l| [chain.layers[l].0, weights[l], y[l], dy[l]].map(size)).collect();
        let (once, step) = rounds(chain, lanes, blocks, [high, wide], cells - inputs_at);
        let steps = ((MAX_ROUNDS / 2).saturating_sub(once) / step).min(1 << 20);
        if steps == 0 {
            let detail = format!(
                "a step of {step} rounds of loops; software drivers silently end a dispatch after {MAX_ROUNDS}: train it \
                 with a dispatch for each layer"
            );
            return Err(Error::input("mlp.train", detail));
        }
        let most = MOST_WORK[usize::from(software)];
        let work = chain.work();
        let objection = if capabilities.workgroup_memory == 0 {
            Some("the CPU path is faster layer by layer".into())
        } else {
            (work > most).then(|| format!("a step of {work} multiplications, of which one workgroup is given {most}"))
        };
        let at_once = capabilities.workgroups_at_once();
        Ok(Self {
            how,
            lanes,
            layers,
            weight_cells: inputs_at,
            cells,
            steps: steps as u32,
            work: work.saturating_mul(members.div_ceil(at_once).saturating_mul(at_once) as u64),
            objection,
        })
    }

    /// Why training layer by layer is faster on this device, if it is.
    pub fn objection(&self) -> Option<&str> {
        self.objection.as_deref()
    }

    /// Cells of a member's scratch: see the shader. A view can begin at each member's.
    pub(super) fn scratch_cells(&self, chain: &Chain) -> usize {
        let cells = if self.how.placement == 0 { 0 } else { self.cells };
        (UPDATE_CELLS + cells + chain.rule.states() * self.weight_cells).next_multiple_of(ALIGNMENT / 4)
    }

    pub(super) fn params(&self, chain: &Chain, run: &Run<'_>, members: usize) -> Params {
        let (functions, constants, which) = packed_functions(&chain.layers);
        let mut layers = [[0; 4]; MAX_LAYERS];
        layers[..self.layers.len()].copy_from_slice(&self.layers);
        let [inputs, targets] = run.data;
        Params {
            layers,
            depth: size(self.layers.len()),
            inputs: size(chain.inputs),
            inputs_at: size(self.weight_cells),
            cells: size(self.cells),
            slots: which.iter().enumerate().map(|(l, function)| size(*function) << (2 * l)).sum(),
            a0: constants[0],
            a1: constants[1],
            a2: constants[2],
            rows: size(chain.rows),
            stride: size(chain.stride),
            entries: size(run.order.cols()),
            last_row: size(inputs.rows() - 1),
            targets_at: size(targets.offset - inputs.offset),
            target_cols: size(targets.cols() - chain.weights.cols()),
            scale: chain.scale,
            constant: match chain.loss {
                Loss::Elementwise(error) => error.constant(),
                Loss::CrossEntropy => 0.0,
            },
            last_slot: size(run.losses.cols() - 1),
            last_rate: size(run.rates.rows() / members - 1),
            len: size(chain.values_len()),
            data_len: size(targets.offset - inputs.offset + targets.len()),
            own_cells: size(self.scratch_cells(chain)),
            functions,
            how: self.how.pack(),
            lanes: size(self.lanes),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.how.placement {
            0 => "all in workgroup memory",
            1 => "weights in workgroup memory",
            _ => "all in device memory",
        };
        write!(f, "one dispatch for up to {} steps, {} invocations a network, {place}", self.steps, self.lanes)
    }
}

/// The different functions as the shaders take them, their constants, and which of them ends each layer.
pub(super) fn packed_functions(layers: &[(usize, Activation)]) -> (u32, [f32; MAX_FUNCTIONS], Vec<usize>) {
    let (functions, which) = functions(layers);
    let mut numbers = [NO_FUNCTION; MAX_FUNCTIONS];
    let mut constants = [0.0; MAX_FUNCTIONS];
    for ((function, number), constant) in functions.iter().zip(&mut numbers).zip(&mut constants) {
        *number = function.kind() | u32::from(function.derivative_needs_input()) << 7;
        *constant = function.constants()[0];
    }
    (numbers.iter().enumerate().map(|(i, number)| number << (8 * i)).sum(), constants, which)
}

/// An error unless the kernels take these layers, for so many rows.
pub(super) fn check_layers(name: &str, inputs: usize, layers: &[(usize, Activation)], rows: usize) -> Result<()> {
    let fail = |detail: String| Err(Error::input(name, detail));
    let depth = layers.len();
    if !(1..=MAX_LAYERS).contains(&depth) {
        return fail(format!("{depth} layers; it takes 1 to {MAX_LAYERS}"));
    }
    if inputs == 0 || layers.iter().any(|(outputs, _)| *outputs == 0) {
        return fail("a layer without inputs or outputs".into());
    }
    let widest = sizes(inputs, layers).flatten().max().unwrap_or(0).saturating_add(1);
    if values_len(inputs, layers).max(widest.saturating_mul(rows)) > MAX_ELEMENTS {
        return fail(format!("more than {MAX_ELEMENTS} numbers: parameters, or rows of a layer's outputs; give fewer"));
    }
    let (functions, _) = functions(layers);
    if functions.len() > MAX_FUNCTIONS {
        return fail(format!("{} different activations; it takes {MAX_FUNCTIONS}", functions.len()));
    }
    if let Some(function) = functions.iter().find(|function| !function.is_epilogue()) {
        return fail(format!("{function:?} at the end of a layer; it takes those that can end a matrix product"));
    }
    Ok(())
}

fn check(chain: &Chain) -> Result<()> {
    let fail = |detail: String| Err(Error::input("mlp.train", detail));
    check_layers("mlp.train", chain.inputs, &chain.layers, chain.stride)?;
    if chain.update.clip_norm > 0.0 {
        return fail("gradients clipped by norm, which needs all of them before any update".into());
    }
    if chain.rows == 0 || chain.rows > chain.stride {
        let detail = format!(
            "mini-batches of {} rows, {} apart; give at least 1, and no more than that",
            chain.rows, chain.stride
        );
        return fail(detail);
    }
    if chain.loss == Loss::CrossEntropy && chain.outputs() < 2 {
        return fail("cross-entropy of one class; it takes at least 2".into());
    }
    Ok(())
}

/// The rounds of an invocation's loops: once in a dispatch, and in each step. A loop of n rounds counts n + 1.
fn rounds(chain: &Chain, lanes: usize, blocks: usize, [high, wide]: [usize; 2], other_cells: usize) -> (usize, usize) {
    let share = |items: usize| items.div_ceil(lanes) + 1;
    let nested = |items: usize, inner: usize| items.div_ceil(lanes) * (inner + 1) + share(items);
    let tiles = blocks / high;
    let states = chain.rule.states();
    let mut once = share(other_cells) + 1;
    let mut step = 1 + share(chain.inputs * blocks) + lanes.ilog2() as usize + 2;
    for [inputs, outputs] in chain.sizes() {
        let fours = outputs.div_ceil(4);
        once += share(blocks) + 1;
        // Loaded, and stored number by number.
        once += share((inputs + 1) * fours) + nested((inputs + 1) * fours, 6 * (1 + states)) + 2;
        step += nested(fours.div_ceil(wide) * tiles, inputs + 1) + share(outputs * blocks) + 1;
        step += nested(inputs.div_ceil(4 * wide) * tiles, fours) + 1;
        step += nested((inputs / (4 * high) + 1) * fours.div_ceil(wide), blocks);
    }
    if chain.weights == Weights::Mean {
        step += share(blocks) + lanes.ilog2() as usize + 1;
    }
    step += match chain.loss {
        Loss::Elementwise(_) => share(chain.outputs() * blocks),
        Loss::CrossEntropy => nested(blocks, 3 * (chain.outputs() + 1)),
    };
    (once, step)
}
