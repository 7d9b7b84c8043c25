//! The functions that record a kernel's dispatch, with tensors of any shape.

use wgrad::ops::loss::Elementwise;
use wgrad::ops::matmul::{Epilogue, Factor, Plan, Variant, matmul, matmul_by};
use wgrad::ops::mlp::{Chain, Loss, Rule, Run, Weights};
use wgrad::ops::optim::{Stretch, Update};
use wgrad::ops::{
    Activation, Binary, activation, bias, broadcast, chain, copy, cross_entropy, dropout, embedding, fill, gather,
    loss, metrics, mlp, one_hot, optim, reduce, softmax,
};
use wgrad::{Device, Recording, Result, Tensor};

use crate::Case;
use crate::device::tensor;
use crate::draw::Draw;
use crate::graph::{activation as any_activation, elementwise, reduction};

pub(crate) const CASES: &[Case] = &[
    ("dispatches", dispatches),
    ("products", products),
    ("updates", updates),
    ("networks", networks),
    ("numbers", numbers),
];

/// Tensors of few shapes, so that most fit each other.
fn tensors<const N: usize>(d: &mut Draw, device: &Device) -> [Tensor; N] {
    let sizes = [1 + d.below(5), 1 + d.below(5), 1];
    [(); N].map(|()| {
        let (rows, cols) = (d.pick(&sizes), d.pick(&sizes));
        tensor(d, device, rows, cols).unwrap()
    })
}

fn dispatches(d: &mut Draw) {
    let device = Device::cpu();
    let mut recording = Recording::new(&device);
    let [a, b, c, e, f] = tensors(d, &device);
    let (a, b, c, e, f) = (&a, &b, &c, &e, &f);
    let (number, flag) = (d.real(), d.chance(0.5));
    let r = &mut recording;
    let done: Result<()> = match d.below(28) {
        0 => activation::forward(r, any_activation(d), a, b),
        1 => activation::backward(r, any_activation(d), [a, b, c], e, flag),
        2 => bias::forward(r, a, b, c),
        3 => bias::backward(r, a, b, flag),
        4 => broadcast::forward(r, d.pick(&[Binary::Add, Binary::Sub, Binary::Mul, Binary::Div]), [a, b], c),
        5 => chain::run(r, &steps(d), &[a, b, c][..d.below(4)], e),
        6 => copy::broadcast(r, a, number, b, flag),
        7 => copy::transpose(r, a, b, flag),
        8 => copy::columns(r, (a, d.size()), (b, d.size()), flag),
        9 => copy::rows_of_steps(r, a, d.size(), b),
        10 => cross_entropy::forward(r, [a, b], number, c),
        11 => cross_entropy::both(r, [a, b, c], number, [e, f]),
        12 => cross_entropy::backward(r, [a, b, c], number, e, flag),
        13 => dropout::apply(r, [a, b], (number, d.seed() as u32), c, flag),
        14 => embedding::forward(r, a, b, c),
        15 => embedding::backward(r, a, b, c),
        16 => fill::fill(r, number, a),
        17 => gather(r, a, [b, c], [e, f], d.size()),
        18 => loss::forward(r, elementwise(d), [a, b], number, c),
        19 => {
            let through = flag.then(|| (any_activation(d), a));
            loss::both(r, elementwise(d), [a, b, c], number, through, [e, f])
        }
        20 => loss::backward(r, (elementwise(d), flag), [a, b, c], number, e, d.chance(0.5)),
        21 => metrics::count_correct(r, a, b, flag.then_some(c), [number, d.real()], e),
        22 => one_hot::one_hot(r, a, [number, d.real()], flag.then_some(1.0), b),
        23 => reduce::sum(r, a, number, b),
        24 => reduce::sum_of_squares(r, a, b),
        25 => reduce::rows(r, a, number, b, flag),
        26 => softmax::forward(r, a, flag, b),
        _ => softmax::backward(r, [a, b], flag, c, d.chance(0.5)),
    };
    if d.see(done).is_some() {
        let run = recording.run();
        d.see(run);
    }
}

fn steps(d: &mut Draw) -> Vec<chain::Step> {
    let operand = |d: &mut Draw| match d.below(3) {
        0 => chain::From::Input(d.small()),
        1 => chain::From::Input(0),
        _ => chain::From::Step(d.small()),
    };
    let step = |d: &mut Draw| {
        let what = match d.below(3) {
            0 => chain::What::Arithmetic(Binary::Mul),
            1 => chain::What::Apply(any_activation(d)),
            _ => chain::What::Slope(any_activation(d)),
        };
        chain::Step { what, operands: [operand(d), operand(d)] }
    };
    (0..d.below(10)).map(|_| step(d)).collect()
}

fn products(d: &mut Draw) {
    let device = Device::cpu();
    let mut recording = Recording::new(&device);
    let [a, b, c, e, f, g] = tensors(d, &device);
    let factor = |tensor, transposed| -> Factor<'_> {
        let tensor: &Tensor = tensor;
        if transposed { tensor.t() } else { tensor.into() }
    };
    let (a, b) = (factor(&a, d.chance(0.5)), factor(&b, d.chance(0.5)));
    let epilogue = Epilogue {
        alpha: d.real(),
        beta: d.real(),
        bias: d.chance(0.3).then_some(&e),
        activation: if d.chance(0.3) { any_activation(d) } else { Activation::Identity },
        derivative: d.chance(0.3).then(|| (any_activation(d), &f)),
        keep: d.chance(0.3).then_some(&g),
        row_sums: d.chance(0.3).then_some(&e),
    };
    let plan = Plan::new(device.capabilities(), a, b);
    let variant = d.pick(&[Variant::Small, Variant::Direct, Variant::Direct4, Variant::Tiled, Variant::Wide]);
    let _ = variant.takes(a, b);
    let plan = if d.chance(0.5) { plan } else { Plan { variant, parts: d.size() } };
    for done in [matmul(&mut recording, a, b, &c, epilogue), matmul_by(&mut recording, plan, a, b, &c, epilogue)] {
        d.see(done);
    }
    let run = recording.run();
    d.see(run);
}

fn update(d: &mut Draw) -> Update {
    let mut update = Update::default();
    for _ in 0..d.below(3) {
        let number = d.real();
        match d.below(8) {
            0 => update.decay = number,
            1 => update.decoupled_decay = number,
            2 => update.clip_value = number,
            3 => update.clip_norm = number,
            4 => update.momentum = number,
            5 => update.beta1 = number,
            6 => update.beta2 = number,
            _ => update.epsilon = number,
        }
    }
    update
}

fn updates(d: &mut Draw) {
    let device = Device::cpu();
    let mut recording = Recording::new(&device);
    let (rows, cols) = (d.small().max(1), d.small().max(1));
    let [rates, squared_norm, other] = tensors(d, &device);
    let like = |d: &mut Draw| if d.chance(0.9) { tensor(d, &device, rows, cols).unwrap() } else { other.clone() };
    let (gradients, values) = (like(d), like(d));
    let state: Vec<Tensor> = (0..d.below(4)).map(|_| like(d)).collect();
    let rates = if d.chance(0.8) { tensor(d, &device, 1 + rows, 4).unwrap() } else { rates };
    let on =
        Stretch { gradients: &gradients, values: &values, state: &state, rates: &rates, squared_norm: &squared_norm };
    let update = update(d);
    let done = match d.below(4) {
        0 => optim::sgd(&mut recording, update, on),
        1 => optim::momentum(&mut recording, update, on),
        2 => optim::adam(&mut recording, update, on),
        _ => optim::rmsprop(&mut recording, update, on),
    };
    if d.see(done).is_some() {
        let run = recording.run_steps(0..3);
        d.see(run);
    }
}

/// `mlp.train`, with tensors of the right shapes mostly.
fn networks(d: &mut Draw) {
    let device = Device::cpu();
    let layers: Vec<(usize, Activation)> = (0..d.small()).map(|_| (d.size(), any_activation(d))).collect();
    let rows = d.size();
    let chain = Chain {
        inputs: d.size(),
        layers,
        loss: if d.chance(0.3) { Loss::CrossEntropy } else { Loss::Elementwise(elementwise(d)) },
        scale: d.real(),
        weights: d.pick(&[Weights::None, Weights::Sum, Weights::Mean]),
        rule: d.pick(&[Rule::Sgd, Rule::Momentum, Rule::Adam, Rule::RmsProp]),
        update: update(d),
        rows,
        stride: d.near(rows),
    };
    let predict = mlp::PredictPlan::new(chain.inputs, &chain.layers, device.capabilities());
    d.see(predict);
    let members = d.size();
    let plan = mlp::Plan::new(&chain, members, device.capabilities());
    if let Some(plan) = d.see(plan) {
        let _ = plan.objection();
    }
    let states = chain.rule.states();
    let len = chain.values_len();
    if len > 1 << 16 || chain.inputs.saturating_mul(chain.layers.last().map_or(1, |last| last.0)) > 1 << 16 {
        return;
    }
    let members = members.clamp(1, 4);
    let samples = 1 + d.below(5);
    let inputs = chain.inputs.max(1);
    let outputs = chain.layers.last().map_or(1, |last| last.0).max(1) + usize::from(chain.weights != Weights::None);
    let shaped = |d: &mut Draw, rows: usize, cols: usize| {
        let (rows, cols) = if d.chance(0.05) { (d.small().max(1), d.small().max(1)) } else { (rows, cols) };
        Tensor::zeros(&device, rows, cols).unwrap()
    };
    let first = (samples * inputs).next_multiple_of(64);
    let whole = Tensor::zeros(&device, 1, first + samples * outputs).unwrap();
    let data = [whole.view(0, samples, inputs).unwrap(), whole.view(first, samples, outputs).unwrap()];
    let order = shaped(d, members, chain.stride.clamp(1, 64));
    let rates = shaped(d, members * 2, 4);
    let values = shaped(d, members, len.max(1));
    let state: Vec<Tensor> = (0..states).map(|_| shaped(d, members, len.max(1))).collect();
    let losses = shaped(d, members, 2);
    let mut recording = Recording::new(&device);
    let run = Run {
        data: [&data[0], &data[1]],
        order: &order,
        rates: &rates,
        values: &values,
        state: &state,
        losses: &losses,
    };
    let done = mlp::train(&mut recording, &chain, run);
    if d.see(done).is_some() {
        let run = recording.run_steps(0..2);
        d.see(run);
    }
}

/// What is plain arithmetic.
fn numbers(d: &mut Draw) {
    let (reduction, error, activation) = (reduction(d), elementwise(d), any_activation(d));
    let _ = reduction.scale(d.size(), d.size());
    let _ = (error.error(d.real(), d.real()), error.derivative(d.real(), d.real()));
    let _ = (activation.apply(d.real()), activation.derivative(d.real()), activation.derivative_needs_input());
    let _ = Elementwise::Squared.error(1.0, 2.0);
    let [a, b, counts] = [(); 3].map(|()| d.reals(4));
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    let _ = reduction.combine(&wide(&a), &wide(&counts));
    reduction.combine_into(&[&a, &b], &wide(&counts), &mut vec![0.0; d.below(5)]);
}
