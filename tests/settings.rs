//! Settings of optimizers: parameter groups, clipping and momentum against PyTorch's formulas in f64, and what is
//! refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, EPSILON, assert_close, assert_same_bits, on_every_device, signed};
use wgrad::data::{Labels, disk};
use wgrad::nn::{Linear, Mse, Parameters, Sequential, Tanh};
use wgrad::ops::optim::{self, Stretch, Update};
use wgrad::optim::{Adam, Algorithm, Optimizer, RmsProp, Schedule, Sgd};
use wgrad::{Device, ErrorKind, Fit, Recording, Result, Tensor, Trainer};

on_every_device!(
    groups_are_those_of_pytorch,
    a_group_learns_where_all_others_have_a_rate_of_0,
    values_are_clipped_before_norms
);

const STEPS: usize = 6;
const SGD: [f64; 2] = [0.9f32 as f64, 0.0];
const NAMES: [(&str, usize); 4] = [("0.weight", 6), ("0.bias", 3), ("2.weight", 3), ("2.bias", 1)];

fn model() -> Sequential {
    Sequential::new().add(Linear::new(2, 3)).add(Tanh).add(Linear::new(3, 1))
}

fn head(name: &str) -> bool {
    name.starts_with("2.")
}

/// A gradient for each parameter and step, of both signs.
fn gradient(step: usize, parameter: usize) -> Vec<f32> {
    signed((10 * step + parameter) as u64, NAMES[parameter].1)
}

/// The values after `STEPS` steps with these gradients, and those before.
fn stepped(device: &Device, algorithm: impl Algorithm + 'static) -> [Vec<Vec<f32>>; 2] {
    let parameters = Parameters::new(device, &model(), 1).unwrap();
    let values = |parameters: &Parameters| -> Vec<Vec<f32>> {
        parameters.named().map(|(_, parameter)| parameter.value().unwrap().read().unwrap()).collect()
    };
    let before = values(&parameters);
    let mut optimizer = Optimizer::new(&parameters, algorithm).unwrap();
    for step in 0..STEPS {
        for (i, (name, parameter)) in parameters.named().enumerate() {
            assert_eq!(name, NAMES[i].0);
            parameter.gradient().unwrap().write(&gradient(step, i)).unwrap();
        }
        optimizer.step().unwrap();
    }
    [values(&parameters), before]
}

/// What PyTorch's optimizers keep for a number.
#[derive(Default)]
struct State {
    velocity: f64,
    mean: f64,
    square: f64,
}

/// A step of torch.optim.SGD (`momentum`, `nesterov`, `weight_decay`).
fn sgd(p: &mut f64, g: f64, state: &mut State, rate: f64, decay: f64, [momentum, nesterov]: [f64; 2]) {
    let g = g + decay * *p;
    state.velocity = momentum * state.velocity + g;
    *p -= rate * if nesterov > 0.0 { g + momentum * state.velocity } else { state.velocity };
}

/// A step of torch.optim.AdamW.
fn adam_w(p: &mut f64, g: f64, state: &mut State, rate: f64, decay: f64, t: usize) {
    let [beta1, beta2] = [f64::from(0.9f32), f64::from(0.999f32)];
    *p -= rate * decay * *p;
    state.mean = beta1 * state.mean + (1.0 - beta1) * g;
    state.square = beta2 * state.square + (1.0 - beta2) * g * g;
    let corrected = state.square / (1.0 - beta2.powi(t as i32));
    *p -= rate * (state.mean / (1.0 - beta1.powi(t as i32))) / (corrected.sqrt() + 1e-8);
}

/// The same in f64: `step` gets the number, its gradient, its state, whether it is in the group, and the step from 0.
fn expected(before: &[Vec<f32>], step: impl Fn(&mut f64, f64, &mut State, bool, usize)) -> Vec<Vec<f64>> {
    let of = |(i, values): (usize, &Vec<f32>)| {
        let one = |(j, value): (usize, &f32)| {
            let (mut p, mut state) = (f64::from(*value), State::default());
            for t in 0..STEPS {
                step(&mut p, f64::from(gradient(t, i)[j]), &mut state, head(NAMES[i].0), t);
            }
            p
        };
        values.iter().enumerate().map(one).collect()
    };
    before.iter().enumerate().map(of).collect()
}

fn compare(name: &str, after: &[Vec<f32>], expected: &[Vec<f64>], tolerance: f64) {
    for ((after, expected), (parameter, _)) in after.iter().zip(expected).zip(NAMES) {
        assert_close(&format!("{name}, {parameter}"), after, expected, 0.0, tolerance);
    }
}

fn groups_are_those_of_pytorch(devices: &Devices) {
    // Values of the order of 1, moved by a few tenths in six steps of some ten roundings each.
    let tolerance = 60.0 * EPSILON;
    for (label, device) in devices {
        // A rate for all of 0.1, 0 or next to 0: the group's is what it is.
        for rate in [0.1f32, 0.0, 1e-41] {
            let algorithm = Sgd::new(rate).momentum(0.9).weight_decay(0.01).group(head, 0.05, 0.25);
            let [after, before] = stepped(device, algorithm);
            let by_hand = expected(&before, |p, g, state, grouped, _| {
                let [rate, decay] = if grouped { [0.05f32, 0.25] } else { [rate, 0.01] }.map(f64::from);
                sgd(p, g, state, rate, decay, SGD);
            });
            compare(&format!("sgd, rate {rate:e}, {label}"), &after, &by_hand, tolerance);
        }
        // The schedule multiplies both.
        let schedule = Schedule::exponential(0.5).per_step();
        let algorithm = Sgd::new(0.1).momentum(0.9).nesterov(true).schedule(schedule).group(head, 0.4, 0.0);
        let [after, before] = stepped(device, algorithm);
        let by_hand = expected(&before, |p, g, state, grouped, t| {
            let rate = f64::from(if grouped { 0.4f32 } else { 0.1 });
            sgd(p, g, state, rate * 0.5f64.powi(t as i32), 0.0, [0.9f32 as f64, 1.0]);
        });
        compare(&format!("nesterov, scheduled, {label}"), &after, &by_hand, tolerance);

        let algorithm = Adam::new(0.01).decoupled_weight_decay(0.1).group(head, 0.05, 0.5);
        let [after, before] = stepped(device, algorithm);
        let by_hand = expected(&before, |p, g, state, grouped, t| {
            let [rate, decay] = if grouped { [0.05f32, 0.5] } else { [0.01, 0.1] }.map(f64::from);
            adam_w(p, g, state, rate, decay, t + 1);
        });
        // WGSL's division and square root are off by some epsilons, of steps of 0.05.
        compare(&format!("adamw, {label}"), &after, &by_hand, tolerance);
    }
}

fn a_group_learns_where_all_others_have_a_rate_of_0(devices: &Devices) {
    let data = disk(40, 0, Labels::PlusMinusOne).unwrap();
    for (label, device) in devices {
        let trained = |algorithm: Sgd| {
            let mut trainer = Trainer::new(device, model(), Mse::new(), algorithm, 0).unwrap();
            let values = |trainer: &Trainer, which: fn(&str) -> bool| -> Vec<f32> {
                let named = trainer.parameters().named().filter(|(name, _)| which(name));
                named.flat_map(|(_, parameter)| parameter.value().unwrap().read().unwrap()).collect()
            };
            let (all, rest) = (|_: &str| true, |name: &str| !head(name));
            let (before, first) = (values(&trainer, rest), values(&trainer, head));
            trainer.fit(&data, Fit::new(3, 10)).unwrap();
            assert_same_bits(label, &values(&trainer, rest), &before);
            assert!(
                values(&trainer, head).iter().zip(&first).all(|(a, b)| a != b),
                "{label}: the head was not trained"
            );
            values(&trainer, all)
        };
        let values = trained(Sgd::new(0.0).group(head, 0.1, 0.0));
        // As if the others were frozen.
        let mut frozen = Trainer::new(device, model(), Mse::new(), Sgd::new(0.1), 0).unwrap();
        frozen
            .parameters()
            .named()
            .filter(|(name, _)| !head(name))
            .for_each(|(_, parameter)| parameter.set_frozen(true));
        frozen.fit(&data, Fit::new(3, 10)).unwrap();
        let all: Vec<f32> =
            frozen.parameters().named().flat_map(|(_, parameter)| parameter.value().unwrap().read().unwrap()).collect();
        assert_same_bits(label, &values, &all);
    }
}

#[test]
fn rates_of_groups_keep_their_proportion() {
    let device = Device::cpu();
    let parameters = Parameters::new(&device, &model(), 0).unwrap();
    // What one step by a gradient of 1 moves a bias of the head by.
    let moved = |optimizer: &mut Optimizer| {
        let (_, bias) = parameters.named().last().unwrap();
        bias.value().unwrap().write(&[0.0]).unwrap();
        bias.gradient().unwrap().write(&[1.0]).unwrap();
        optimizer.step().unwrap();
        -bias.value().unwrap().read().unwrap()[0]
    };
    let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.1).group(head, 0.5, 0.0)).unwrap();
    for (rate, group) in [(0.1, 0.5), (0.05, 0.25), (0.0, 0.0), (0.2, 1.0), (0.1, 0.5)] {
        optimizer.set_learning_rate(rate).unwrap();
        assert!((moved(&mut optimizer) - group).abs() <= f32::EPSILON * group, "rate {rate}");
    }
    // Nothing is in proportion to 0.
    let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.0).group(head, 0.5, 0.0)).unwrap();
    optimizer.set_learning_rate(0.1).unwrap();
    assert_eq!(moved(&mut optimizer), 0.5);
    // Nor can be what f32 does not hold.
    let mut optimizer = Optimizer::new(&parameters, Sgd::new(1e-41).group(head, 0.5, 0.0)).unwrap();
    assert_eq!(moved(&mut optimizer), 0.5);
    let error = optimizer.set_learning_rate(0.1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("that of a group inf"), "{error}");
    assert_eq!(moved(&mut optimizer), 0.5);
}

/// torch.nn.utils.clip_grad_value_, then clip_grad_norm_.
fn values_are_clipped_before_norms(devices: &Devices) {
    let (norm, value) = (0.5f32, 0.4f32);
    let limit = f64::from(value);
    for (label, device) in devices {
        let [after, before] = stepped(device, Sgd::new(0.1).clip_norm(norm).clip_value(value));
        let clipped = |g: f64| g.clamp(-limit, limit);
        let total = |t: usize| -> f64 {
            let all = (0..NAMES.len()).flat_map(|i| gradient(t, i));
            all.map(|g| clipped(g.into()).powi(2)).sum::<f64>().sqrt()
        };
        let all: Vec<f64> =
            (0..STEPS).flat_map(|t| (0..NAMES.len()).flat_map(move |i| gradient(t, i))).map(f64::from).collect();
        let clamped = all.iter().filter(|g| g.abs() > limit).count();
        assert!(clamped > 5 && all.len() - clamped > 5, "{clamped} of {} gradients are clamped", all.len());
        assert!((0..STEPS).any(|t| total(t) > f64::from(norm)), "no norm is clipped");
        let by_hand = expected(&before, |p, g, state, _, t| {
            let scale = (f64::from(norm) / (total(t) + 1e-6)).min(1.0);
            sgd(p, clipped(g) * scale, state, f64::from(0.1f32), 0.0, [0.0; 2]);
        });
        compare(label, &after, &by_hand, 20.0 * EPSILON);
    }
}

/// PyTorch: "Nesterov momentum requires a momentum and zero dampening".
#[test]
fn nesterov_needs_momentum() {
    let device = Device::cpu();
    let parameters = Parameters::new(&device, &model(), 0).unwrap();
    let error = Optimizer::new(&parameters, Sgd::new(0.1).nesterov(true)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("Nesterov") && error.to_string().contains("Sgd::momentum"), "{error}");
    assert!(Trainer::new(&device, model(), Mse::new(), Sgd::new(0.1).nesterov(true), 0).is_err());
    Optimizer::new(&parameters, Sgd::new(0.1).nesterov(true).momentum(0.9)).unwrap();
    Optimizer::new(&parameters, Sgd::new(0.1).nesterov(false)).unwrap();
}

fn assert_kind<T>(what: &str, result: Result<T>, kind: ErrorKind) {
    match result {
        Ok(_) => panic!("{what} was accepted"),
        Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
    }
}

#[test]
fn optimizers_refuse_impossible_settings() {
    let layer = Linear::new(2, 2);
    let parameters = Parameters::new(&Device::cpu(), &layer, 0).unwrap();
    let refused = |what: &str, result: Result<Optimizer>| assert_kind(what, result, ErrorKind::InvalidInput);
    for bad in [-0.1, f32::NAN, f32::INFINITY] {
        let sgd = |rule: Sgd| Optimizer::new(&parameters, rule);
        refused(&format!("learning rate {bad}"), sgd(Sgd::new(bad)));
        refused(&format!("weight decay {bad}"), sgd(Sgd::new(0.1).weight_decay(bad)));
        refused(&format!("decoupled weight decay {bad}"), sgd(Sgd::new(0.1).decoupled_weight_decay(bad)));
        refused(&format!("shrink {bad}"), sgd(Sgd::new(0.1).shrink(bad)));
        refused(&format!("clip value {bad}"), sgd(Sgd::new(0.1).clip_value(bad)));
        refused(&format!("clip norm {bad}"), sgd(Sgd::new(0.1).clip_norm(bad)));
        refused(&format!("group's rate {bad}"), sgd(Sgd::new(0.1).group(|_| true, bad, 0.0)));
        refused(&format!("group's decay {bad}"), sgd(Sgd::new(0.1).group(|_| true, 0.1, bad)));
        refused(&format!("momentum {bad}"), sgd(Sgd::new(0.1).momentum(bad)));
        refused(&format!("epsilon {bad}"), Optimizer::new(&parameters, Adam::new(0.1).epsilon(bad)));
        refused(&format!("momentum {bad}"), Optimizer::new(&parameters, RmsProp::new(0.1).momentum(bad)));
    }
    for bad in [-0.1, 1.0, 2.0, f32::NAN] {
        refused(&format!("beta1 {bad}"), Optimizer::new(&parameters, Adam::new(0.1).betas(bad, 0.9)));
        refused(&format!("beta2 {bad}"), Optimizer::new(&parameters, Adam::new(0.1).betas(0.9, bad)));
        refused(&format!("alpha {bad}"), Optimizer::new(&parameters, RmsProp::new(0.1).alpha(bad)));
    }
    let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.1)).unwrap();
    for bad in [-0.1, f32::NAN, f32::INFINITY] {
        assert_kind("a new rate", optimizer.set_learning_rate(bad), ErrorKind::InvalidInput);
    }
    assert_eq!(optimizer.learning_rate(), 0.1);
}

/// What has no effect, or another than its name says, is no setting.
#[test]
fn settings_that_can_do_nothing_are_errors() {
    let parameters = Parameters::new(&Device::cpu(), &model(), 0).unwrap();
    let refused = |rule: Sgd, words: &str| {
        let error = Optimizer::new(&parameters, rule).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let sgd = || Sgd::new(0.1);
    refused(sgd().clip_norm(0.0), "a norm to clip to of 0; give a positive one");
    refused(sgd().clip_value(0.0), "a value to clip to of 0; give a positive one");
    refused(sgd().shrink(1.0), "a shrink of 1; give a share from 0 to below 1");
    refused(sgd().shrink(2.0), "a shrink of 2");
    let names = "has no parameters; the model's are 0.weight, 0.bias, 2.weight, 2.bias";
    refused(sgd().group(|name| name.starts_with("head."), 0.1, 0.0), &format!("group 0 {names}"));
    // The first one has them all.
    refused(sgd().group(|_| true, 0.1, 0.0).group(head, 0.2, 0.0), &format!("group 1 {names}"));
    Optimizer::new(&parameters, sgd().group(head, 0.1, 0.0).group(|_| true, 0.2, 0.0)).unwrap();
    // Before anything is placed.
    let layer = Linear::new(2, 1);
    let trained = Trainer::new(&Device::cpu(), layer.clone(), Mse::new(), sgd().group(|_| false, 0.1, 0.0), 0);
    assert_kind("a group of none", trained, ErrorKind::InvalidInput);
    assert!(layer.weight().value().is_err());
}

/// Constants that only the recording functions see, which anyone may call.
#[test]
fn updates_refuse_impossible_constants_and_shapes() {
    let device = Device::cpu();
    let zeros = |cols| Tensor::zeros(&device, 1, cols).unwrap();
    let (gradients, values, rates, norm) = (zeros(4), zeros(4), zeros(4), zeros(1));
    let on = Stretch { gradients: &gradients, values: &values, state: &[], rates: &rates, squared_norm: &norm };
    let mut recording = Recording::new(&device);
    for clip_value in [-1.0, f32::NAN] {
        let mut update = Update::default();
        update.clip_value = clip_value;
        assert_kind("a value to clip to", optim::sgd(&mut recording, update, on), ErrorKind::InvalidInput);
    }
    let short = zeros(3);
    let velocity = [zeros(4)];
    let on = Stretch { state: &velocity, ..on };
    let bad = [
        Stretch { gradients: &short, ..on },
        Stretch { rates: &short, ..on },
        Stretch { state: std::slice::from_ref(&short), ..on },
    ];
    for on in bad {
        assert_kind("a length", optim::momentum(&mut recording, Update::default(), on), ErrorKind::Shape);
    }
    // SGD keeps nothing, Adam two numbers for each.
    assert_kind("one state", optim::sgd(&mut recording, Update::default(), on), ErrorKind::InvalidInput);
    assert_kind("one state", optim::adam(&mut recording, Update::default(), on), ErrorKind::InvalidInput);
    assert!(recording.is_empty());
}

#[test]
fn schedules_that_give_no_rate_are_errors() {
    let layer = Linear::new(2, 2);
    let parameters = Parameters::new(&Device::cpu(), &layer, 0).unwrap();
    for factor in [f64::NAN, -1.0, f64::INFINITY, 1e300] {
        let rule = Sgd::new(0.1).schedule(Schedule::custom(move |step| if step < 2 { 1.0 } else { factor }).per_step());
        let mut optimizer = Optimizer::new(&parameters, rule.clone()).unwrap();
        optimizer.step().unwrap();
        optimizer.step().unwrap();
        assert_kind(&format!("a factor of {factor}"), optimizer.step(), ErrorKind::InvalidInput);
        assert_eq!(optimizer.steps(), 2);
        let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), rule, 0).unwrap();
        let fit = trainer.fit(&disk(5, 0, Labels::ZeroOne).unwrap(), Fit::new(1, 1));
        assert_kind(&format!("a factor of {factor} in an epoch"), fit, ErrorKind::InvalidInput);
    }
    // A rate of 0 is one: nothing moves.
    let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.0)).unwrap();
    let before = parameters.read().unwrap();
    optimizer.step().unwrap();
    assert_eq!(parameters.read().unwrap(), before);
    assert_eq!(Schedule::step(0, 0.5).factor(3), 0.125);
}
