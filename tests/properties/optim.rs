//! Optimizers and schedules, by hand.

use wgrad::nn::{Linear, Loss, Module, Mse, Parameters, Sequential};
use wgrad::optim::{Adam, Algorithm, Optimizer, RmsProp, Schedule, Settings, Sgd};
use wgrad::{Device, Graph, lower};

use crate::Case;
use crate::device::tensor;
use crate::draw::Draw;

pub(crate) const CASES: &[Case] = &[("schedules", schedules), ("optimizers", optimizers)];

pub(crate) fn schedule(d: &mut Draw) -> Schedule {
    let mut schedule = Schedule::constant();
    for _ in 0..d.below(3) {
        let (length, factor) = (d.size(), d.share());
        let next = match d.below(6) {
            0 => Schedule::step(length, factor),
            1 => {
                let milestones: Vec<(usize, f64)> = (0..d.small()).map(|_| (d.size(), d.share())).collect();
                Schedule::multi_step(&milestones)
            }
            2 => Schedule::exponential(factor),
            3 => Schedule::cosine(length, factor),
            4 => Schedule::warmup(length, factor),
            _ => Schedule::custom(move |_| factor),
        };
        schedule = if d.chance(0.5) { schedule.and(next) } else { next };
    }
    if d.chance(0.3) { schedule.per_step() } else { schedule }
}

fn schedules(d: &mut Draw) {
    let schedule = schedule(d);
    for _ in 0..5 {
        let _ = schedule.factor(d.size());
    }
}

/// An algorithm whose settings make sense mostly.
pub(crate) fn algorithm(d: &mut Draw) -> Box<dyn Algorithm> {
    let rate = if d.chance(0.8) { 0.01 } else { d.real() };
    macro_rules! set {
        ($rule:expr) => {{
            let mut rule = $rule;
            for _ in 0..d.below(3) {
                let number = if d.chance(0.6) { 0.1 } else { d.real() };
                rule = match d.below(7) {
                    0 => rule.schedule(schedule(d)),
                    1 => rule.weight_decay(number),
                    2 => rule.decoupled_weight_decay(number),
                    3 => rule.shrink(number),
                    4 => rule.clip_value(number),
                    5 => rule.clip_norm(number),
                    _ => {
                        let text = d.text();
                        rule.group(move |name| name.contains(&text), number, 0.0)
                    }
                };
            }
            Box::new(rule)
        }};
    }
    let number = if d.chance(0.6) { 0.5 } else { d.real() };
    match d.below(4) {
        0 => set!(Sgd::new(rate)),
        1 => set!(Sgd::new(rate).momentum(number).nesterov(d.chance(0.5))),
        2 => set!(Adam::new(rate).betas(number, d.real()).epsilon(1e-8)),
        _ => set!(RmsProp::new(rate).alpha(number).epsilon(d.real()).momentum(number)),
    }
}

fn optimizers(d: &mut Draw) {
    let device = Device::cpu();
    let layer = Linear::new(2, 1);
    let model = Sequential::new().add(layer.clone()).add(Linear::new(1, 1));
    let parameters = Parameters::new(&device, &model, 0).unwrap();
    assert!(!format!("{:?}", Settings::new(d.real())).is_empty());
    let optimizer = Optimizer::new(&parameters, algorithm(d));
    let Some(mut optimizer) = d.see(optimizer) else { return };
    for _ in 0..d.below(8) {
        let done = match d.below(7) {
            0 => optimizer.step(),
            1 => optimizer.zero_grad(),
            2 => {
                optimizer.next_epoch();
                Ok(())
            }
            3 => optimizer.set_learning_rate(d.real()),
            4 => {
                layer.weight().set_frozen(d.chance(0.5));
                Ok(())
            }
            5 => {
                let values = d.reals(2);
                layer.weight().gradient().and_then(|gradient| gradient.write(&values))
            }
            _ => {
                let [x, t] = [(3, 2), (3, 1)].map(|(rows, cols)| tensor(d, &device, rows, cols).unwrap());
                let mut graph = Graph::new(&device);
                let [x, t] = [x, t].map(|tensor| graph.input(&tensor).unwrap());
                let y = model.forward(&mut graph, x).unwrap();
                let loss = Mse::new().forward(&mut graph, y, t).unwrap();
                let loss = if d.chance(0.1) { y } else { loss };
                optimizer.train_step(&mut graph, loss).and_then(|wanted| lower(&graph, &wanted)?.run())
            }
        };
        d.see(done);
        let _ = (optimizer.learning_rate(), optimizer.steps());
    }
}
