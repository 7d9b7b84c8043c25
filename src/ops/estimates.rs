//! Every kernel's time against its estimate, by which long replays are cut into submits. Times are not for a test that
//! must always pass, so this one is run by hand, on an idle machine, and prints a table:
//!
//! `cargo test --release --lib estimates -- --ignored --nocapture`

use std::collections::BTreeSet;
use std::time::Instant;

use super::chain::{From as Of, Step, What};
use super::loss::Elementwise::Squared;
use super::matmul::{Epilogue, Plan, Variant, matmul_by};
use super::optim::{Stretch, Update};
use super::*;
use crate::device::{Device, Recording};

/// Estimates need to be right to this factor, either way.
const FACTOR: f64 = 20.0;
/// Rows and columns: from a single number to long rows, long columns, and what takes tens of milliseconds.
const SHAPES: [[usize; 2]; 10] = [
    [1, 1],
    [1, 4096],
    [4096, 1],
    [64, 64],
    [100_000, 1],
    [1, 100_000],
    [1000, 10],
    [10, 100_000],
    [50_000, 10],
    [512, 784],
];
/// m, k and n of products.
const PRODUCTS: [[usize; 3]; 10] = [
    [1, 1, 1],
    [32, 2, 25],
    [32, 25, 2],
    [25, 4096, 25],
    [4096, 25, 4],
    [1, 4096, 512],
    [128, 784, 512],
    [100_000, 4, 1],
    [512, 512, 512],
    [4, 100_000, 4],
];

/// Records one operation, for a shape of its kind.
type Record<'a> = Box<dyn Fn(&mut Recording) -> Result<()> + 'a>;

/// Every kernel but products, on a matrix of this shape.
fn elementwise(device: &Device, [rows, cols]: [usize; 2]) -> Result<Vec<Record<'static>>> {
    let new = |rows, cols| Tensor::zeros(device, rows, cols);
    let [x, y, out] = [new(rows, cols)?, new(rows, cols)?, new(rows, cols)?];
    let [state, state2, turned] = [new(rows, cols)?, new(rows, cols)?, new(cols, rows)?];
    let (row, column, one, loss) = (new(1, cols)?, new(rows, 1)?, new(1, 1)?, new(1, 1)?);
    let (order, classes, rates) = (new(1, rows)?, new(rows, 1)?, new(1, 4)?);
    let mut list: Vec<Record<'static>> = Vec::new();
    macro_rules! add {
        ([$($tensor:ident),*], $record:expr) => {{
            $(let $tensor = $tensor.clone();)*
            list.push(Box::new($record));
        }};
    }
    for f in [Activation::ReLU, Activation::Tanh, Activation::GELU] {
        add!([x, out], move |r| activation::forward(r, f, &x, &out));
        add!([x, y, state, out], move |r| activation::backward(r, f, [&x, &y, &state], &out, false));
    }
    add!([x, row, out], move |r| bias::forward(r, &x, &row, &out));
    add!([x, row], move |r| bias::backward(r, &x, &row, false));
    add!([x, column, out], move |r| broadcast::forward(r, Binary::Mul, [&x, &column], &out));
    for steps in [1_usize, 8] {
        let step = |i| {
            let before = if i == 0 { Of::Input(0) } else { Of::Step(i - 1) };
            Step { what: What::Arithmetic(Binary::Add), operands: [before, Of::Input(1)] }
        };
        let steps: Vec<_> = (0..steps).map(step).collect();
        add!([x, row, out], move |r| chain::run(r, &steps, &[&x, &row], &out));
    }
    add!([x, turned], move |r| copy::transpose(r, &x, &turned, false));
    add!([row, out], move |r| copy::broadcast(r, &row, 1.0, &out, true));
    // What takes a row each takes no longer ones.
    if (2..=13_000).contains(&cols) {
        add!([x, classes, loss], move |r| cross_entropy::forward(r, [&x, &classes], 1.0, &loss));
        add!([x, classes, one, out, loss], move |r| cross_entropy::both(r, [&x, &classes, &one], 1.0, [&loss, &out]));
        add!([x, classes, one, out], move |r| cross_entropy::backward(r, [&x, &classes, &one], 1.0, &out, false));
        add!([x, classes, loss], move |r| metrics::count_correct(r, &x, &classes, None, [0.5; 2], &loss));
        add!([classes, out], move |r| one_hot::one_hot(r, &classes, [1.0, 0.0], None, &out));
        let table = new(32, cols)?;
        add!([classes, table, out], move |r| embedding::forward(r, &classes, &table, &out));
        add!([classes, table, out], move |r| embedding::backward(r, &classes, &out, &table));
    }
    add!([x, one, out], move |r| dropout::apply(r, [&x, &one], (0.5, 7), &out, false));
    add!([out], move |r| fill::fill(r, 1.0, &out));
    add!([order, x, column, out, classes], move |r| gather(r, &order, [&x, &column], [&out, &classes], rows));
    add!([x, y, loss], move |r| loss::forward(r, Squared, [&x, &y], 1.0, &loss));
    add!([x, y, one, out, loss], move |r| loss::both(r, Squared, [&x, &y, &one], 1.0, None, [&loss, &out]));
    add!([x, y, one, out], move |r| loss::backward(r, (Squared, false), [&x, &y, &one], 1.0, &out, false));
    for (update, states) in [(optim::sgd as fn(&mut _, _, Stretch<'_>) -> _, 0), (optim::momentum, 1)]
        .into_iter()
        .chain([(optim::adam as fn(&mut _, _, Stretch<'_>) -> _, 2), (optim::rmsprop, 2)])
    {
        let state = [state.clone(), state2.clone()];
        add!([x, out, rates, one], move |r| {
            let on =
                Stretch { gradients: &x, values: &out, state: &state[..states], rates: &rates, squared_norm: &one };
            update(r, Update { beta2: 0.9, epsilon: 1e-8, ..Update::default() }, on)
        });
    }
    add!([x, loss], move |r| reduce::sum(r, &x, 1.0, &loss));
    add!([x, column], move |r| reduce::rows(r, &x, 1.0, &column, false));
    add!([x, out], move |r| softmax::forward(r, &x, false, &out));
    add!([x, y, out], move |r| softmax::backward(r, [&x, &y], false, &out, false));
    Ok(list)
}

/// Steps of whole networks: inputs, outputs of each layer, rows of a mini-batch.
const NETWORKS: [(usize, &[usize], usize); 3] = [(4, &[16, 3], 16), (2, &[25, 25, 25, 2], 32), (8, &[64, 64, 1], 64)];

/// A training run in one dispatch.
fn training(device: &Device, (inputs, outputs, rows): (usize, &[usize], usize)) -> Result<Record<'static>> {
    let chain = mlp::Chain {
        inputs,
        layers: outputs.iter().map(|outputs| (*outputs, Activation::ReLU)).collect(),
        loss: mlp::Loss::Elementwise(Squared),
        scale: 1.0,
        weights: mlp::Weights::None,
        rule: mlp::Rule::Sgd,
        update: Update::default(),
        rows,
        stride: rows,
    };
    let last = outputs[outputs.len() - 1];
    let behind = (rows * inputs).next_multiple_of(64);
    let both = Tensor::zeros(device, 1, behind + rows * last)?;
    let (x, t) = (both.view(0, rows, inputs)?, both.view(behind, rows, last)?);
    let (order, rates) = (Tensor::zeros(device, 1, rows)?, Tensor::zeros(device, 1, 4)?);
    let (values, losses) = (Tensor::zeros(device, 1, chain.values_len())?, Tensor::zeros(device, 1, 1)?);
    Ok(Box::new(move |r| {
        let data = [&x, &t];
        mlp::train(
            r,
            &chain,
            mlp::Run { data, order: &order, rates: &rates, values: &values, state: &[], losses: &losses },
        )
    }))
}

/// A product by every kernel that takes it.
fn products(device: &Device, [m, k, n]: [usize; 3]) -> Result<Vec<Record<'static>>> {
    let (a, b) = (Tensor::zeros(device, m, k)?, Tensor::zeros(device, k, n)?);
    let out = Tensor::zeros(device, m, n)?;
    let variants = Variant::ALL.into_iter().filter(|variant| variant.takes(&a, &b));
    let plans = variants.map(|variant| Plan { variant, parts: 1 }).chain([Plan::new(device.capabilities(), &a, &b)]);
    let record = |plan| -> Record<'static> {
        let (a, b, out) = (a.clone(), b.clone(), out.clone());
        Box::new(move |r| matmul_by(r, plan, &a, &b, &out, Epilogue::default()))
    };
    Ok(plans.map(record).collect())
}

/// Microseconds of a step: the shortest of three rounds of about 50 ms.
fn microseconds(recording: &Recording) -> Result<f64> {
    let device = recording.device();
    let round = |steps: u32| -> Result<f64> {
        let start = Instant::now();
        recording.run_steps(0..steps)?;
        device.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(steps))
    };
    // The first compiles.
    round(1)?;
    let steps = (50_000.0 / round(1)?).clamp(1.0, 256.0) as u32;
    let rounds = [round(steps)?, round(steps)?, round(steps)?];
    Ok(rounds.into_iter().fold(f64::INFINITY, f64::min))
}

#[test]
#[ignore = "measures times: see the module"]
fn times_are_within_a_factor_of_their_estimates() -> Result<()> {
    let device = Device::gpu()?;
    println!("{}\n{:>12} {:>12} {:>7}", device.describe(), "measured/us", "estimate/us", "ratio");
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    let mut list = Vec::new();
    for shape in SHAPES {
        list.extend(elementwise(&device, shape)?);
    }
    for shape in PRODUCTS {
        list.extend(products(&device, shape)?);
    }
    for network in NETWORKS {
        list.push(training(&device, network)?);
    }
    for record in list {
        let mut recording = Recording::new(&device);
        record(&mut recording)?;
        let dispatches = recording.dispatches();
        seen.extend(dispatches.iter().map(|dispatch| dispatch.kernel.name));
        let estimate: f64 = dispatches.iter().map(|dispatch| device.capabilities().microseconds(dispatch)).sum();
        let measured = microseconds(&recording)?;
        let ratio = measured / estimate;
        let text = recording.to_string();
        let line = format!("{measured:12.1} {estimate:12.1} {ratio:7.3}  {}", text.lines().next().unwrap_or_default());
        println!("{line}");
        if !(1.0 / FACTOR..=FACTOR).contains(&ratio) {
            wrong.push(line);
        }
    }
    let missing: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "not measured: {missing:?}");
    assert!(
        wrong.is_empty(),
        "{} estimates are off by more than a factor of {FACTOR}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}
