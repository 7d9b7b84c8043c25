//! A module, a loss (for a Siamese network) and a custom operation, the last with its own kernel and gradient.
//!
//! `cargo run --release --example autograd -- --device cpu`

use std::process::ExitCode;

use clap::Parser;
use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{
    Backprop, Init, Linear, Loss, Module, Mse, Parameter, Parameters, ReLU, Reduction, Sequential, prefixed,
};
use wgrad::optim::{Adam, Optimizer};
use wgrad::{
    Device, Error, ErrorKind, Fit, Graph, Kernel, Metrics, Operation, Recording, Result, Shape, Tensor, Trainer, Var,
};

/// Trains three networks with a module, a loss and an operation of this file's own.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name; or set WGRAD_DEVICE instead
    #[arg(long)]
    device: Option<String>,
}

/// A guess is right for half of the points, and for half of the pairs.
const LEARNT: f32 = 0.8;

/// Two branches side by side, one smooth and one with edges, and a layer that joins them.
struct Branches {
    smooth: Linear,
    edged: Linear,
    join: Linear,
}

impl Module for Branches {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let smooth = self.smooth.forward(graph, x)?;
        let edged = self.edged.forward(graph, x)?;
        let active = [graph.tanh(smooth)?, graph.relu(edged)?];
        let both = graph.concat_cols(&active)?;
        self.join.forward(graph, both)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        [("smooth", &self.smooth), ("edged", &self.edged), ("join", &self.join)]
            .into_iter()
            .flat_map(|(name, layer)| prefixed(name, layer))
            .collect()
    }
}

/// Trains the branches on the disk problem.
fn two_branches(device: &Device) -> Result<bool> {
    let model = Branches { smooth: Linear::new(2, 25), edged: Linear::new(2, 25), join: Linear::new(50, 1) };
    let [train, test] = [disk(1000, 1, Labels::PlusMinusOne)?, disk(1000, 2, Labels::PlusMinusOne)?];
    let mut trainer =
        Trainer::new(device, model, Mse::new().decision(Decision::between(-1.0, 1.0)), Adam::new(0.01), 0)?;
    trainer.fit(&train, Fit::new(50, 50).evaluate_every(0))?;
    let accuracy = accuracy(trainer.evaluate(&test)?)?;
    println!("two branches: {accuracy:.3} of the points are classified correctly");
    Ok(accuracy > LEARNT)
}

/// Only a loss that has a decision measures an accuracy.
fn accuracy(metrics: Metrics) -> Result<f32> {
    metrics.accuracy.ok_or_else(|| {
        let detail = "no accuracy was measured, as the loss has no decision; give it one (Loss::decision)";
        Error::new(ErrorKind::InvalidInput, "autograd", detail)
    })
}

/// A Siamese network: one tower maps both points of a row x1 y1 x2 y2; the output is the squared distance of the
/// results. Both uses share the tower's weights, whose gradients add up.
struct Siamese {
    tower: Sequential,
}

impl Module for Siamese {
    fn forward(&self, graph: &mut Graph, pair: Var) -> Result<Var> {
        let (first, second) = (graph.slice_cols(pair, 0, 2)?, graph.slice_cols(pair, 2, 4)?);
        let (first, second) = (self.tower.forward(graph, first)?, self.tower.forward(graph, second)?);
        let apart = graph.sub(first, second)?;
        let squares = graph.pow(apart, 2.0)?;
        graph.sum_cols(squares)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("tower", &self.tower)
    }
}

/// A contrastive loss (Hadsell et al. 2006) of the squared distance d: `(1 - t) d + t max(0, 1 - d)²` draws points of
/// one class (t = 0) together, and drives those of two (t = 1) apart until d is 1.
struct Contrastive;

impl Loss for Contrastive {
    fn forward(&self, graph: &mut Graph, d: Var, t: Var) -> Result<Var> {
        let negated = graph.neg(d)?;
        let margin = graph.add_scalar(negated, 1.0)?;
        let missing = graph.relu(margin)?;
        let squared = graph.pow(missing, 2.0)?;
        let change = graph.sub(squared, d)?;
        let chosen = graph.mul(t, change)?;
        let errors = graph.add(d, chosen)?;
        graph.mean(errors)
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }

    /// The distance of a pair of two classes is driven to 1, that of one class to 0.
    fn decision(&self) -> Decision {
        Decision::between(0.0, 1.0)
    }
}

/// Pairs of points, with target 1 where one is in the disk and the other is not.
fn pairs(n: usize, seed: u64) -> Result<Dataset> {
    let [a, b] = [disk(n, seed, Labels::ZeroOne)?, disk(n, seed + 1, Labels::ZeroOne)?];
    let inputs = a.inputs().chunks(2).zip(b.inputs().chunks(2)).flat_map(|(a, b)| [a[0], a[1], b[0], b[1]]).collect();
    let targets = a.targets().iter().zip(b.targets()).map(|(a, b)| (a - b).abs()).collect();
    Dataset::new(inputs, 4, targets, 1)
}

/// Learns whether two points are of the same class, from pairs alone.
fn siamese(device: &Device) -> Result<bool> {
    // With PyTorch's smaller weights all distances are small at first, and the loss is flat.
    let first = Linear::new(2, 25).init(Init::HeNormal, Init::Normal { std: 0.5 });
    let tower = Sequential::new().add(first).add(ReLU).add(Linear::new(25, 25)).add(ReLU).add(Linear::new(25, 2));
    let mut trainer = Trainer::new(device, Siamese { tower }, Contrastive, Adam::new(0.003), 0)?;
    trainer.fit(&pairs(2000, 1)?, Fit::new(60, 50).evaluate_every(0))?;
    let accuracy = accuracy(trainer.evaluate(&pairs(1000, 3)?)?)?;
    println!("Siamese network: {accuracy:.3} of the pairs are classified correctly");
    Ok(accuracy > LEARNT)
}

/// An operation with its own kernel: the products of all pairs of rows, G = X Xᵀ.
#[derive(Debug)]
struct Gram;

/// An invocation computes one product. The function after the WGSL is the reference implementation, which the CPU runs.
static GRAM: Kernel = Kernel::new(
    "example.gram",
    "
        struct Params { rows: u32, cols: u32 }
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read> x: array<f32>;
        @group(0) @binding(2) var<storage, read_write> g: array<f32>;
        @compute @workgroup_size(8, 8)
        fn gram(@builtin(global_invocation_id) at: vec3u) {
            if at.x >= params.rows || at.y >= params.rows { return; }
            var sum = 0.0;
            for (var k = 0u; k < params.cols; k++) { sum += x[at.y * params.cols + k] * x[at.x * params.cols + k]; }
            g[at.y * params.rows + at.x] = sum;
        }
    ",
    "gram",
    [8, 8, 1],
    |call| {
        let [rows, cols] = call.params::<[u32; 2]>().map(|size| size as usize);
        let [x, ..] = call.inputs;
        let [g, ..] = call.outputs;
        for i in 0..rows {
            for j in 0..rows {
                g[i * rows + j] = (0..cols).map(|k| x[i * cols + k] * x[j * cols + k]).sum();
            }
        }
    },
)
.params::<[u32; 2]>()
.inputs(1);

impl Operation for Gram {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        match inputs {
            [[rows, _]] => Ok(vec![[*rows, *rows]]),
            _ => Err(Error::new(ErrorKind::InvalidInput, "gram", format!("{} operands; it takes 1", inputs.len()))),
        }
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let [rows, cols] = inputs[0].shape().map(|size| size as u32);
        let work = 2 * u64::from(rows) * u64::from(rows) * u64::from(cols);
        recording.dispatch(&GRAM, [rows.div_ceil(8); 2], [rows, cols], inputs, outputs, work)
    }

    /// dX = (dG + dGᵀ) X, as calls of other operations, which have gradients themselves.
    fn gradient(&self, graph: &mut Graph, x: &[Var], _g: Var, dg: Var) -> Result<Vec<Option<Var>>> {
        let transposed = graph.transpose(dg)?;
        let both = graph.add(dg, transposed)?;
        Ok(vec![Some(graph.matmul(both, x[0])?)])
    }
}

/// A parameter by itself is a module, too: the positions of some points, whatever the input.
struct Positions(Parameter);

impl Module for Positions {
    fn forward(&self, graph: &mut Graph, _: Var) -> Result<Var> {
        self.0.var(graph)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        vec![("positions".into(), self.0.clone())]
    }
}

/// Finds the corners of a square, up to a rotation, from the products of their positions: classical scaling, by a
/// hand-written training loop.
fn scaling(device: &Device) -> Result<bool> {
    #[rustfmt::skip]
    let products = [
         2.0,  0.0, -2.0,  0.0,
         0.0,  2.0,  0.0, -2.0,
        -2.0,  0.0,  2.0,  0.0,
         0.0, -2.0,  0.0,  2.0,
    ];
    let positions = Positions(Parameter::new(4, 2, Init::Normal { std: 0.5 }));
    let parameters = Parameters::new(device, &positions, 0)?;
    let mut graph = Graph::new(device);
    let target = graph.input(&Tensor::new(device, 4, 4, &products)?)?;
    let x = positions.forward(&mut graph, target)?;
    let g = graph.call1(Gram, &[x])?;
    let loss = graph.mse(g, target, Reduction::Mean)?;
    let pass = Backprop::new(&mut graph, &parameters, loss, &[])?;
    let mut optimizer = Optimizer::new(&parameters, Adam::new(0.05))?;
    for _ in 0..300 {
        optimizer.zero_grad()?;
        pass.forward()?;
        pass.backward()?;
        optimizer.step()?;
    }
    pass.forward()?;
    let error = pass.read(loss)?[0];
    println!("products of rows: the four corners were found, with a mean squared error of {error:.1e}:");
    for corner in positions.0.value()?.read()?.chunks(2) {
        println!("  ({:5.2}, {:5.2})", corner[0], corner[1]);
    }
    Ok(error < 1e-3)
}

fn run(options: &Options) -> Result<bool> {
    let device = options.device.as_deref().map_or_else(Device::auto, Device::named)?;
    println!("device: {}", device.describe());
    let learnt = [two_branches(&device)?, siamese(&device)?, scaling(&device)?];
    Ok(learnt.iter().all(|learnt| *learnt))
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("wgrad=warn")).init();
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("One of them did not learn.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
