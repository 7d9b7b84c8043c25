//! Predictions of many rows in one dispatch: `shaders/mlp/predict.wgsl`.

use std::fmt;

use super::chain::{padded, sizes, values_len};
use super::plan::{check_layers, packed_functions};
use super::{MAX_LAYERS, compiled_functions};
use crate::device::{Call, Capabilities, Constants, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::ops::{Activation, GROUP, LOAD, MAX_ROUNDS, expect_shape, grid, size};

const NAME: &str = "mlp.predict";
/// Units that an invocation computes at a time, each of four rows.
const UNITS: usize = 8;
/// The most cells of four rows in a workgroup; and the invocations of one on a software driver, which runs so many in step.
const MAX_TALL: usize = 8;
/// Bytes of a cell.
const CELL: usize = 16;
/// The most invocations of a workgroup.
const MAX_LANES: usize = 256;
/// Up to this many multiplications for a row, one dispatch is taken to be faster than one for each layer: on a GPU (an
/// estimate that nobody has measured), and on a software driver, where single runs on a busy machine had it faster for few rows of
/// small networks, level for many, and slower from 4,800 on.
const MOST_WORK: [usize; 2] = [20_000, 2_000];

params! {
    struct Params {
        layers: [[u32; 4]; 8],
        depth: u32,
        inputs: u32,
        rows: u32,
        width: u32,
        a0: f32,
        a1: f32,
        a2: f32,
        functions: u32,
        tall: u32,
        broad: u32,
        lanes: u32,
        memory: u32,
    }
}

fn constants(params: &[u8]) -> Constants {
    let Params { functions, tall, broad, lanes, memory, .. } = bytemuck::pod_read_unaligned(params);
    let own = [("tall", tall), ("broad", broad), ("lanes", lanes), ("memory", memory)];
    own.into_iter().chain(compiled_functions(functions)).map(|(name, value)| (name, value.into())).collect()
}

const SHADER: Shader = shader!(
    ["common/grid", "common/numbers", "common/elementary", "common/activation", "mlp/predict", "mlp/functions"],
    shared: [GROUP, UNITS]
);

pub(crate) static PREDICT: Kernel =
    kernel!("mlp", "predict", SHADER, [8, 1, 1], Params, inputs: 2, outputs: 1, step: false, reference, constants);

/// How a chain of layers predicts in one dispatch on an adapter of given capabilities, and whether that pays, which does not
/// depend on the number of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct PredictPlan {
    /// Cells of four rows in a workgroup, where there are as many, and invocations that share each.
    tall: usize,
    broad: usize,
    /// Whether the device is a software driver.
    software: bool,
    width: usize,
    /// Multiplications for a row.
    work: usize,
    objection: Option<String>,
}

impl PredictPlan {
    /// A plan for layers of these outputs, each with the function that ends it.
    ///
    /// # Errors
    /// Layers that the kernel does not take: none or more than eight, more than three different functions, one that can't end a
    /// product, or layers too wide for a workgroup's memory.
    pub fn new(inputs: usize, layers: &[(usize, Activation)], capabilities: &Capabilities) -> Result<Self> {
        check_layers(NAME, inputs, layers, 1)?;
        let width = layers.iter().map(|(outputs, _)| *outputs).max().unwrap_or(1).max(inputs);
        let memory = match capabilities.workgroup_memory as usize {
            // The CPU path has none: the reference takes what fits on every GPU.
            0 => 16 << 10,
            bytes => bytes,
        };
        let fitting = memory / (2 * width * CELL);
        let software = !capabilities.fast_workgroup_memory;
        let tall = fitting.min(MAX_TALL);
        let broad = if software { 1 } else { width.div_ceil(UNITS).next_power_of_two().min(MAX_LANES / tall.max(1)) };
        // A loop of n rounds counts n + 1.
        let rounds: usize = sizes(inputs, layers)
            .map(|[inputs, outputs]| outputs.div_ceil(UNITS).div_ceil(broad) * (inputs + UNITS + 3) + 2)
            .sum();
        let ends = 6 * (width.div_ceil(broad) + 1);
        if tall == 0 || 2 * (rounds + ends) > MAX_ROUNDS {
            let detail = format!(
                "a layer of {width}, which does not fit in a workgroup's memory: predict with a dispatch for each layer"
            );
            return Err(Error::input(NAME, detail));
        }
        let work = sizes(inputs, layers).map(|[inputs, outputs]| (inputs + 1) * outputs).sum();
        let objection = if capabilities.workgroup_memory == 0 {
            Some("the CPU path is faster layer by layer".into())
        } else {
            let most = MOST_WORK[usize::from(software)];
            (work > most).then(|| format!("{work} multiplications for a row; one dispatch is given at most {most}"))
        };
        Ok(Self { tall, broad, software, width, work, objection })
    }

    /// Cells of rows and invocations for each in a workgroup, for so many rows: a row's sums are the same in any.
    fn workgroup(&self, rows: usize) -> [usize; 2] {
        if !self.software {
            return [self.tall, self.broad];
        }
        let tall = self.tall.min(rows.div_ceil(4).next_power_of_two());
        [tall, MAX_TALL / tall]
    }

    /// Why predicting layer by layer is faster on this device, if it is.
    pub fn objection(&self) -> Option<&str> {
        self.objection.as_deref()
    }
}

impl fmt::Display for PredictPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one dispatch, up to {} rows a workgroup", 4 * self.tall)
    }
}

/// `y = activation_L(... activation_1(x w_1ᵀ + b_1) ... w_Lᵀ + b_L)` for layers of these outputs; x [n, i], y [n, o], values
/// [1, [`Chain::values_len`](super::Chain::values_len)] at least up to the last bias. A row's result does not depend on the
/// other rows, nor on how many there are.
///
/// ```
/// use wgrad::ops::{Activation, mlp::predict};
/// use wgrad::{Device, Recording, Tensor};
///
/// // y = max(2 x + 1, 0)
/// let device = Device::cpu();
/// let values = Tensor::zeros(&device, 1, 128)?;
/// values.view(0, 1, 1)?.write(&[2.0])?;
/// values.view(64, 1, 1)?.write(&[1.0])?;
/// let x = Tensor::new(&device, 3, 1, &[-1.0, 0.0, 1.0])?;
/// let y = Tensor::zeros(&device, 3, 1)?;
/// let mut recording = Recording::new(&device);
/// predict(&mut recording, &[(1, Activation::ReLU)], &values, &x, &y)?;
/// recording.run()?;
/// assert_eq!(y.read()?, [0.0, 1.0, 3.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// What [`PredictPlan::new`] refuses; tensors of other shapes.
pub fn predict(
    recording: &mut Recording,
    layers: &[(usize, Activation)],
    values: &Tensor,
    x: &Tensor,
    y: &Tensor,
) -> Result<()> {
    let [rows, inputs] = x.shape();
    let plan = PredictPlan::new(inputs, layers, recording.device().capabilities())?;
    let outputs = layers.last().map_or(0, |(outputs, _)| *outputs);
    expect_shape(NAME, "y", y, [rows, outputs], "to have a row for each of x, as wide as the last layer")?;
    let len = values_len(inputs, layers) - (padded(outputs) - outputs);
    if values.len() < len {
        let detail = format!("{} values; the layers have {len}, each from a multiple of 64 on", values.len());
        return Err(Error::shape(NAME, detail));
    }
    let (functions, [a0, a1, a2], which) = packed_functions(layers);
    let mut places = [[0; 4]; MAX_LAYERS];
    let mut start = 0;
    for ((place, [inputs, outputs]), function) in places.iter_mut().zip(sizes(inputs, layers)).zip(which) {
        let bias = start + padded(inputs * outputs);
        *place = [outputs, start, bias, function].map(size);
        start = bias + padded(outputs);
    }
    let [tall, broad] = plan.workgroup(rows);
    let params = Params {
        layers: places,
        depth: size(layers.len()),
        inputs: size(inputs),
        rows: size(rows),
        width: size(plan.width),
        a0,
        a1,
        a2,
        functions,
        tall: size(tall),
        broad: size(broad),
        lanes: size(tall * broad),
        memory: size(2 * plan.width * tall),
    };
    let groups = grid(rows.div_ceil(4 * tall), 1);
    let work = rows.next_multiple_of(4 * tall) * plan.work * LOAD / 2;
    recording.push(&PREDICT, groups, params, &[values, x], &[y], work as u64)
}

fn reference(call: Call<'_>) {
    let params: Params = call.params();
    let [values, x, ..] = call.inputs;
    let [y, ..] = call.outputs;
    let layers = &params.layers[..params.depth as usize];
    let outputs = layers.last().map_or(1, |layer| layer[0] as usize);
    for (x, y) in x.chunks_exact(params.inputs as usize).zip(y.chunks_exact_mut(outputs)) {
        let mut from = x.to_vec();
        for [outputs, weights, bias, slot] in layers.iter().map(|layer| layer.map(|n| n as usize)) {
            let kind = params.functions >> (8 * slot) & 15;
            let function = Activation::from_kind(kind, [[params.a0, params.a1, params.a2][slot], 0.0]);
            let unit = |j: usize| {
                let w = &values[weights + j * from.len()..][..from.len()];
                function.apply(from.iter().zip(w).map(|(x, w)| x * w).sum::<f32>() + values[bias + j])
            };
            from = (0..outputs).map(unit).collect();
        }
        y.copy_from_slice(&from);
    }
}
