//! Optimizers against 20 steps of PyTorch's, and schedules against PyTorch's rates (`tests/oracle/optimizers.json`), by
//! hand: a graph, its passes, an optimizer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{
    Devices, EPSILON, ROUNDING, compare, floats, list, number, numbers, on_every_device, oracle, shape, tanh_error,
    text,
};
use serde_json::Value;
use wgrad::nn::{Backprop, Init, Module, Parameter, Parameters};
use wgrad::ops::Reduction;
use wgrad::optim::{Adam, Optimizer, RmsProp, Schedule, Sgd};
use wgrad::{Device, Graph, Result, Tensor, Var};

on_every_device!(trajectories_are_those_of_pytorch, a_schedule_of_a_recorded_epoch_is_that_of_single_steps);

/// What PyTorch has and wgrad does not.
const NOT_OFFERED: &[&str] = &["sgd dampening", "rmsprop centered", "rmsprop centered, momentum, weight decay"];

/// y = tanh(x w1ᵀ + b1) w2ᵀ + b2.
struct Network([Parameter; 4]);

const NAMES: [&str; 4] = ["w1", "b1", "w2", "b2"];

impl Module for Network {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let mut parameters = Vec::new();
        for parameter in &self.0 {
            parameters.push(parameter.var(graph)?);
        }
        let hidden = graph.linear(x, parameters[0], parameters[1])?;
        let hidden = graph.tanh(hidden)?;
        graph.linear(hidden, parameters[2], parameters[3])
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        NAMES.map(String::from).into_iter().zip(self.0.clone()).collect()
    }
}

/// The objective on a device, with PyTorch's initial parameters.
struct Objective {
    network: Network,
    parameters: Parameters,
    pass: Backprop,
    loss: Var,
}

impl Objective {
    fn new(file: &Value, device: &Device) -> Self {
        let objective = &file["objective"];
        let shapes = &objective["shapes"];
        let network = Network(NAMES.map(|name| {
            let [rows, cols] = shape(&shapes[name]);
            Parameter::new(rows, cols, Init::Constant(0.0))
        }));
        let parameters = Parameters::new(device, &network, 0).unwrap();
        for (name, parameter) in NAMES.iter().zip(&network.0) {
            parameter.value().unwrap().write(&floats(&objective[name])).unwrap();
        }
        let mut graph = Graph::new(device);
        let [x, target] = ["x", "target"].map(|name| {
            let [rows, cols] = shape(&shapes[name]);
            Tensor::new(device, rows, cols, &floats(&objective[name])).unwrap()
        });
        let (x, target) = (graph.input(&x).unwrap(), graph.input(&target).unwrap());
        let y = network.forward(&mut graph, x).unwrap();
        let loss = graph.mse(y, target, Reduction::Mean).unwrap();
        let pass = Backprop::new(&mut graph, &parameters, loss, &[]).unwrap();
        Self { network, parameters, pass, loss }
    }

    /// The loss, then the update.
    fn step(&self, optimizer: &mut Optimizer) -> Result<f32> {
        optimizer.zero_grad()?;
        self.pass.forward()?;
        self.pass.backward()?;
        optimizer.step()?;
        Ok(self.pass.read(self.loss)?[0])
    }

    fn values(&self) -> Vec<f32> {
        self.network.0.iter().flat_map(|parameter| parameter.value().unwrap().read().unwrap()).collect()
    }

    fn gradients(&self) -> Vec<f32> {
        self.network.0.iter().flat_map(|parameter| parameter.gradient().unwrap().read().unwrap()).collect()
    }
}

/// A number of a case, 0 where it has none.
fn option(case: &Value, name: &str) -> f32 {
    case.get(name).map_or(0.0, |value| number(value) as f32)
}

/// The methods that all rules have, on this one, as the case asks.
macro_rules! settings {
    ($rule:expr, $case:expr, $schedule:expr) => {{
        let case = $case;
        let mut rule = $rule;
        if text(&case["optimizer"]) == "adamw" {
            // PyTorch's own decay where all parameters are in groups that have theirs.
            rule = rule.decoupled_weight_decay(case.get("weight_decay").map_or(0.01, |decay| number(decay) as f32));
        } else {
            rule = rule.weight_decay(option(case, "weight_decay"));
        }
        if let Some(decay) = case.get("decoupled_decay") {
            rule = rule.decoupled_weight_decay(number(decay) as f32);
        }
        if let Some(share) = case.get("unscaled_decay") {
            rule = rule.shrink(number(share) as f32);
        }
        if let Some(limit) = case.get("clip_value") {
            rule = rule.clip_value(number(limit) as f32);
        }
        if let Some(limit) = case.get("clip_norm") {
            rule = rule.clip_norm(number(limit) as f32);
        }
        for group in case.get("groups").map_or(&[][..], list) {
            let members: Vec<String> = list(&group["parameters"]).iter().map(|name| text(name).into()).collect();
            let (rate, decay) = (option(group, "lr"), option(group, "weight_decay"));
            rule = rule.group(move |name| members.iter().any(|member| member == name), rate, decay);
        }
        rule.schedule($schedule)
    }};
}

fn optimizer(parameters: &Parameters, case: &Value, schedule: Schedule) -> Result<Optimizer> {
    // Where every parameter is in a group, the rule's own rate only scales what the schedule multiplies.
    let rate = case.get("lr").map_or(1.0, |rate| number(rate) as f32);
    let betas = case.get("betas").map(floats).unwrap_or_default();
    match text(&case["optimizer"]) {
        "sgd" => {
            let rule = Sgd::new(rate).momentum(option(case, "momentum")).nesterov(case.get("nesterov").is_some());
            Optimizer::new(parameters, settings!(rule, case, schedule))
        }
        "adam" | "adamw" => {
            let rule = Adam::new(rate).betas(betas[0], betas[1]).epsilon(option(case, "eps"));
            Optimizer::new(parameters, settings!(rule, case, schedule))
        }
        "rmsprop" => {
            let rule = RmsProp::new(rate).alpha(option(case, "alpha")).epsilon(option(case, "eps"));
            Optimizer::new(parameters, settings!(rule.momentum(option(case, "momentum")), case, schedule))
        }
        other => panic!("no optimiser {other}"),
    }
}

/// The schedule of this name, by step.
fn schedule(file: &Value, name: &str) -> Schedule {
    let options = list(&file["schedules"]).iter().find(|schedule| text(&schedule["name"]) == name).unwrap();
    // PyTorch was given the nearest f32.
    let of = |key: &str| f64::from(number(&options[key]) as f32);
    let base = of("base");
    let schedule = match text(&options["torch"]) {
        "ConstantLR" => Schedule::constant(),
        "StepLR" => Schedule::step(of("step_size") as usize, of("gamma")),
        "LambdaLR" => {
            let factors = floats(&options["rates"]).into_iter().skip(1).map(|rate| f64::from(rate) / base);
            let milestones: Vec<_> = numbers(&options["milestones"]).iter().map(|m| *m as usize).zip(factors).collect();
            Schedule::multi_step(&milestones)
        }
        "ExponentialLR" => Schedule::exponential(of("gamma")),
        "CosineAnnealingLR" => Schedule::cosine(
            of("T_max") as usize,
            if options.get("eta_min").is_some() { of("eta_min") / base } else { 0.0 },
        ),
        "LinearLR" => Schedule::warmup(of("total_iters") as usize, of("start_factor")),
        other => panic!("no schedule {other}"),
    };
    schedule.per_step()
}

/// PyTorch's own run in f32 strays from f64 by `float32_error`, which its roundings of 2^-24 add up to; ours may stray
/// four times as far, the order of additions being another, and by what storing a value rounds. Where tanh is less
/// exact than a rounding, all of it grows as much.
fn tolerance(case: &Value, device: &Device) -> impl Fn(f64) -> f64 {
    let strays = number(&case["float32_error"]);
    let factor = (tanh_error(device) / ROUNDING).max(1.0);
    move |value: f64| 4.0 * factor * (strays + EPSILON * value.abs())
}

fn trajectories_are_those_of_pytorch(devices: &Devices) {
    let file = oracle("optimizers.json");
    let checkpoints: Vec<usize> = numbers(&file["checkpoints"]).iter().map(|c| *c as usize).collect();
    let cases = list(&file["cases"]);
    let offered: Vec<_> = cases.iter().filter(|case| !NOT_OFFERED.contains(&text(&case["name"]))).collect();
    assert_eq!(offered.len() + NOT_OFFERED.len(), cases.len());
    let mut faults = Vec::new();
    for (label, device) in devices {
        for case in &offered {
            let name = format!("{} on {label}", text(&case["name"]));
            let objective = Objective::new(&file, device);
            let schedule = case.get("schedule").map_or(Schedule::constant(), |name| schedule(&file, text(name)));
            let mut optimizer = optimizer(&objective.parameters, case, schedule).unwrap();
            let tolerance = tolerance(case, device);
            let expected = numbers(&case["losses"]);
            let mut losses = Vec::new();
            let mut reached = checkpoints.iter().zip(list(&case["parameters"]));
            let mut next = reached.next();
            for step in 1..=expected.len() {
                losses.push(objective.step(&mut optimizer).unwrap());
                if step == 1 {
                    let expected = numbers(&file["objective"]["initial_gradient"]);
                    let what = format!("{name}, first gradient");
                    faults.extend(
                        compare(&what, &objective.gradients(), &expected, 0.0, |i| tolerance(expected[i])).err(),
                    );
                }
                if let Some((_, values)) = next.filter(|(checkpoint, _)| **checkpoint == step) {
                    let (what, expected) = (format!("{name}, after step {step}"), numbers(values));
                    faults
                        .extend(compare(&what, &objective.values(), &expected, 0.0, |i| tolerance(expected[i])).err());
                    next = reached.next();
                }
            }
            assert!(next.is_none(), "{name}: not every checkpoint was compared");
            faults
                .extend(compare(&format!("{name}, losses"), &losses, &expected, 0.0, |i| tolerance(expected[i])).err());
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn schedules_are_those_of_pytorch() {
    let file = oracle("optimizers.json");
    let objective = Objective::new(&file, &Device::cpu());
    for case in list(&file["schedules"]) {
        let expected = numbers(&case["sequence"]);
        let name = text(&case["name"]);
        let schedule = schedule(&file, name);
        let base = f64::from(number(&case["base"]) as f32);
        let factors: Vec<f64> = (0..expected.len()).map(|step| schedule.factor(step) * base).collect();
        // PyTorch multiplies step by step, in f64.
        compare(name, &factors, &expected, 1e-14, |_| 1e-15).unwrap();
        let rule = Sgd::new(number(&case["base"]) as f32).schedule(schedule);
        let mut optimizer = Optimizer::new(&objective.parameters, rule).unwrap();
        let mut rates = Vec::new();
        for _ in 0..expected.len() {
            rates.push(optimizer.learning_rate());
            optimizer.step().unwrap();
        }
        compare(name, &rates, &expected, EPSILON / 2.0, |_| 1e-15).unwrap();
    }
}

#[test]
fn a_schedule_by_epoch_waits_for_the_epochs() {
    let file = oracle("optimizers.json");
    let objective = Objective::new(&file, &Device::cpu());
    let rule = Sgd::new(0.5).schedule(Schedule::multi_step(&[(1, 0.5), (3, 0.25)]));
    let mut optimizer = Optimizer::new(&objective.parameters, rule).unwrap();
    let mut rates = Vec::new();
    for _ in 0..5 {
        for _ in 0..2 {
            rates.push(optimizer.learning_rate());
            optimizer.step().unwrap();
        }
        optimizer.next_epoch();
    }
    assert_eq!(rates, [0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125]);
}

#[test]
fn after_its_end_a_schedule_keeps_its_last_value() {
    for (schedule, last) in [
        (Schedule::cosine(10, 0.0), 0.0),
        (Schedule::cosine(10, 0.25), 0.25),
        (Schedule::warmup(10, 0.1), 1.0),
        (Schedule::multi_step(&[(5, 0.3), (10, 0.1)]), 0.1),
        (Schedule::warmup(0, 0.1).and(Schedule::cosine(0, 0.5)), 0.5),
    ] {
        for at in [10, 11, 1000, usize::MAX] {
            assert!((schedule.factor(at) - last).abs() < 1e-15, "{schedule:?} at {at}: {}", schedule.factor(at));
        }
    }
}

/// The rates of many steps lie in a buffer, of which a run of several steps reads a row each.
fn a_schedule_of_a_recorded_epoch_is_that_of_single_steps(devices: &Devices) {
    use wgrad::data::{Labels, disk};
    use wgrad::nn::{Linear, Mse};
    use wgrad::{Fit, Trainer};
    let data = disk(60, 0, Labels::OneHot).unwrap();
    let schedule = || Schedule::warmup(3, 0.1).and(Schedule::exponential(0.7)).per_step();
    for (label, device) in devices {
        let train = |steps_per_submit| {
            let rule = Adam::new(0.1).schedule(schedule());
            let mut trainer = Trainer::new(device, Linear::new(2, 2), Mse::new(), rule, 3).unwrap();
            let history = trainer.fit(&data, Fit::new(3, 11).steps_per_submit(steps_per_submit)).unwrap();
            assert_eq!(trainer.optimizer().steps(), 18, "on {label}");
            let expected = 0.1 * schedule().factor(18);
            assert!((f64::from(trainer.optimizer().learning_rate()) - expected).abs() < 1e-9, "on {label}");
            history.step_losses
        };
        common::assert_same_bits(&format!("one or many steps in a submit, {label}"), &train(1), &train(u32::MAX));
    }
}
