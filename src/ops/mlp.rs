//! Whole training runs of a chain of linear layers in one dispatch: `shaders/mlp.wgsl`. Predictions of many rows in one, too:
//! `shaders/mlp/predict.wgsl`.

mod chain;
mod plan;
mod predict;
mod recognise;
mod reference;

use crate::device::{Call, Constants, Kernel, MAX_WORKGROUPS, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::ops::optim::Update;
use crate::ops::{expect_shape, size};
use chain::padded;
pub use chain::{Chain, Loss, Rule, Weights};
pub use plan::Plan;
pub(crate) use predict::PREDICT;
pub use predict::{PredictPlan, predict};
pub(crate) use recognise::{recognise, recognise_forward};

/// The most layers of a chain.
pub const MAX_LAYERS: usize = 8;
/// The most different functions that end its layers.
const MAX_FUNCTIONS: usize = 3;
/// Cells of a member's scratch that hold the constants of its updates.
const UPDATE_CELLS: usize = 3;
/// The number of no function.
const NO_FUNCTION: u32 = 15;

/// What a run of R networks of one shape reads and writes. They share the data; network r has row r of everything else.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Inputs [n, i] and targets [n, t], with the targets behind the inputs in one buffer: [`Tensor::view`]s of one tensor.
    pub data: [&'a Tensor; 2],
    /// Row numbers of the data, stored as bits of `u32`, [R, entries]: see [`gather`](crate::ops::gather()).
    pub order: &'a Tensor,
    /// Rows of rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), unused: [R steps, 4].
    pub rates: &'a Tensor,
    /// Parameters, [R, [`Chain::values_len`]]. Changed.
    pub values: &'a Tensor,
    /// As much state as the rule keeps, each like the values. Changed.
    pub state: &'a [Tensor],
    /// Step s writes entry min(s, steps - 1): [R, steps].
    pub losses: &'a Tensor,
}

params! {
    struct Params {
        layers: [[u32; 4]; 8],
        depth: u32,
        inputs: u32,
        inputs_at: u32,
        cells: u32,
        slots: u32,
        a0: f32,
        a1: f32,
        a2: f32,
        rows: u32,
        stride: u32,
        entries: u32,
        last_row: u32,
        targets_at: u32,
        target_cols: u32,
        scale: f32,
        constant: f32,
        last_slot: u32,
        last_rate: u32,
        len: u32,
        data_len: u32,
        own_cells: u32,
        functions: u32,
        how: u32,
        lanes: u32,
    }
}

/// What is compiled in and packed into `Params::how`, from the lowest bit on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct How {
    /// 2 bits: where the cells lie, as the shader has it.
    placement: u32,
    /// 2 bits: cells of rows in a tile.
    high: u32,
    /// 2 bits.
    rule: u32,
    /// 3 bits.
    loss: u32,
    /// 1 bit: whether gradients are clamped.
    clips: u32,
    /// 2 bits.
    weights: u32,
    /// 2 bits: cells of outputs in a tile.
    wide: u32,
    /// The rest.
    blocks: u32,
}

impl How {
    fn pack(self) -> u32 {
        self.placement
            | self.high << 2
            | self.rule << 4
            | self.loss << 6
            | self.clips << 9
            | self.weights << 10
            | self.wide << 12
            | self.blocks << 14
    }

    fn unpack(how: u32) -> Self {
        Self {
            placement: how & 3,
            high: how >> 2 & 3,
            rule: how >> 4 & 3,
            loss: how >> 6 & 7,
            clips: how >> 9 & 1,
            weights: how >> 10 & 3,
            wide: how >> 12 & 3,
            blocks: how >> 14,
        }
    }
}

fn constants(params: &[u8]) -> Constants {
    let params: Params = bytemuck::pod_read_unaligned(params);
    let How { placement, high, rule, loss, clips, weights, wide, blocks } = How::unpack(params.how);
    let [function0, function1, function2] = compiled_functions(params.functions);
    let from_input: u32 = (0..3).map(|i| (params.functions >> (8 * i + 7) & 1) << i).sum();
    let memory = match placement {
        0 => params.cells,
        1 => params.inputs_at,
        _ => 1,
    };
    let states = Rule::from_kind(rule).states() as u32;
    [
        ("lanes", params.lanes),
        ("blocks", blocks),
        ("high", high),
        ("wide", wide),
        ("placement", placement),
        ("memory", memory),
        ("states", states),
        ("rule", rule),
        ("clips", clips),
        ("loss", loss),
        ("weighted", weights),
        function0,
        function1,
        function2,
        ("from_input", from_input),
    ]
    .map(|(name, value)| (name, value.into()))
    .into()
}

fn compiled_functions(functions: u32) -> [(&'static str, u32); MAX_FUNCTIONS] {
    [("function0", 0), ("function1", 8), ("function2", 16)].map(|(name, shift)| (name, functions >> shift & 15))
}

const SHADER: Shader = shader!(
    ["common/grid", "common/step", "common/lanes", "common/numbers", "common/class", "common/elementary", "common/activation", "common/error", "mlp", "mlp/cells", "mlp/batch", "mlp/functions", "mlp/tiles", "mlp/rules"],
    shared: [GROUP = crate::ops::GROUP, UPDATE_CELLS]
);

pub(crate) static TRAIN: Kernel = Kernel {
    runs_steps: true,
    stacks: true,
    ..kernel!("mlp", "train", SHADER, [8, 1, 1], Params, inputs: 3, outputs: 5, step: true, train_reference, constants)
};

fn train_reference(call: Call<'_>) {
    reference::train(call);
}

/// Trains R networks for the steps that the recording is run with: step s takes the mini-batch of rows `order[s * stride]`
/// and those after it, and the rates of row s. A network's results don't depend on the others, nor on how many steps a
/// dispatch runs. Nothing else may be in the recording that is to be run for many steps at a time.
///
/// ```
/// use wgrad::ops::mlp::{Chain, Loss, Rule, Run, Weights, train};
/// use wgrad::ops::optim::Update;
/// use wgrad::ops::{Activation, loss::Elementwise};
/// use wgrad::{Device, Recording, Tensor};
///
/// // y = w x + b, by steps of 0.1 along the gradient of (y - t)² for x = 1 and t = 3.
/// let chain = Chain {
///     inputs: 1,
///     layers: vec![(1, Activation::Identity)],
///     loss: Loss::Elementwise(Elementwise::Squared),
///     scale: 1.0,
///     weights: Weights::None,
///     rule: Rule::Sgd,
///     update: Update::default(),
///     rows: 1,
///     stride: 1,
/// };
/// let device = Device::cpu();
/// let data = Tensor::zeros(&device, 1, 65)?;
/// let (x, t) = (data.view(0, 1, 1)?, data.view(64, 1, 1)?);
/// x.write(&[1.0])?;
/// t.write(&[3.0])?;
/// let order = Tensor::zeros(&device, 1, 1)?;
/// let rates = Tensor::new(&device, 1, 4, &[0.1, 1.0, 1.0, 0.0])?;
/// let (values, losses) = (Tensor::zeros(&device, 1, chain.values_len())?, Tensor::zeros(&device, 1, 100)?);
/// let mut recording = Recording::new(&device);
/// let run = Run { data: [&x, &t], order: &order, rates: &rates, values: &values, state: &[], losses: &losses };
/// train(&mut recording, &chain, run)?;
/// recording.run_steps(0..100)?;
/// assert_eq!(losses.read()?[0], 9.0);
/// assert!((values.read()?[0] - 1.5).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// What [`Plan::new`] refuses; tensors of other shapes.
pub fn train(recording: &mut Recording, chain: &Chain, run: Run<'_>) -> Result<()> {
    let members = run.values.rows();
    let plan = Plan::new(chain, members, recording.device().capabilities())?;
    let data = check(chain, &run, members)?;
    let device = recording.device().clone();
    let own = 4 * plan.scratch_cells(chain);
    let scratch = Tensor::zeros(&device, 1, members * own)?;
    for member in 0..members {
        scratch.view(member * own, 1, 4 * UPDATE_CELLS)?.write(&own_update(&chain.update))?;
    }
    let params = plan.params(chain, &run, members);
    let outputs: Vec<_> = [run.values, run.losses, &scratch].into_iter().chain(run.state).collect();
    let inputs = [&data, run.order, run.rates];
    recording.push(&TRAIN, [size(members), 1], params, &inputs, &outputs, plan.work)?;
    recording.let_run(plan.steps);
    Ok(())
}

/// The constants as the kernel reads them. They lie in each member's scratch, as each may have its own.
fn own_update(update: &Update) -> [f32; 4 * UPDATE_CELLS] {
    let &Update {
        rate_factor,
        decay,
        decoupled_decay,
        shrink,
        clip_value,
        momentum,
        nesterov,
        beta1,
        beta2,
        epsilon,
        ..
    } = update;
    let nesterov = if nesterov > 0 { 1.0 } else { 0.0 };
    [rate_factor, decay, decoupled_decay, shrink, clip_value, momentum, nesterov, beta1, beta2, epsilon, 0.0, 0.0]
}

/// The data as one tensor, if all shapes fit.
fn check(chain: &Chain, run: &Run<'_>, members: usize) -> Result<Tensor> {
    const NAME: &str = "mlp.train";
    if members > MAX_WORKGROUPS {
        let detail = format!("{members} networks; at most {MAX_WORKGROUPS} in one dispatch");
        return Err(Error::input(NAME, detail));
    }
    let [inputs, targets] = run.data;
    let samples = inputs.rows();
    expect_shape(NAME, "inputs", inputs, [samples, chain.inputs], "as the first layer takes them")?;
    let outputs = chain.outputs();
    let weights = chain.weights.cols();
    let has_classes = chain.loss == Loss::CrossEntropy && targets.cols() == 1 + weights;
    let target_cols = if has_classes { 1 } else { outputs } + weights;
    let why = if weights > 0 { "as the last layer's outputs, and a weight" } else { "as the last layer's outputs" };
    expect_shape(NAME, "targets", targets, [samples, target_cols], why)?;
    let data = inputs.through(targets).ok_or_else(|| {
        Error::input(NAME, "targets that are not behind the inputs in one buffer; make both views of one tensor")
    })?;
    let entries = run.order.cols();
    expect_shape(NAME, "the order", run.order, [members, entries], "to have a row for each network")?;
    if entries < chain.rows {
        let detail =
            format!("an order of {entries} entries for mini-batches of {} rows; give at least as many", chain.rows);
        return Err(Error::shape(NAME, detail));
    }
    let steps = run.losses.cols();
    expect_shape(NAME, "losses", run.losses, [members, steps], "to have a row for each network")?;
    let rates = run.rates.rows() / members;
    expect_shape(NAME, "rates", run.rates, [members * rates.max(1), 4], "to have the same rows for each network")?;
    let len = chain.values_len();
    expect_shape(NAME, "values", run.values, [members, len], "to hold the layers' parameters")?;
    if run.state.len() != chain.rule.states() {
        let detail = format!("{} states; {:?} keeps {}", run.state.len(), chain.rule, chain.rule.states());
        return Err(Error::input(NAME, detail));
    }
    run.state.iter().try_for_each(|state| expect_shape(NAME, "a state", state, [members, len], "as the values"))?;
    Ok(data)
}
