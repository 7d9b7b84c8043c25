//! Runs a case, and tells how far apart two runs of it may be.

use wgrad::{Device, ErrorKind, Fit, StepPath};

use crate::assert_same_bits;
use crate::case::{Case, number};
use crate::common::{EPSILON, compare};

/// What WGSL lets a function such as tanh be off by, relatively, where the CPU's is right to an epsilon.
pub(crate) const FUNCTIONS: f64 = 1e-5;

/// How a training is run. It changes no result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) path: StepPath,
    pub(crate) resident_bytes: u64,
    pub(crate) steps_per_submit: u32,
}

impl Way {
    pub(crate) fn by(path: StepPath) -> Self {
        Self { path, resident_bytes: u64::MAX, steps_per_submit: u32::MAX }
    }
}

impl Default for Way {
    fn default() -> Self {
        Self::by(StepPath::Layered)
    }
}

/// What a training gives.
#[derive(Clone)]
pub(crate) struct Outcome {
    /// Of all steps.
    pub(crate) losses: Vec<f32>,
    /// Each parameter's values, in order.
    pub(crate) parameters: Vec<Vec<f32>>,
    /// Of the inputs, after the training.
    pub(crate) predictions: Vec<f32>,
}

impl Outcome {
    /// `None` where the case can't be run this way, or diverges.
    pub(crate) fn of(device: &Device, case: &Case, way: Way) -> Option<Self> {
        Self::moved(device, case, way, |_, values| values)
    }

    /// The same, from parameters (lists counted from 0) and inputs (the next list) that are `moved`.
    fn moved(device: &Device, case: &Case, way: Way, moved: impl Fn(u64, Vec<f32>) -> Vec<f32>) -> Option<Self> {
        let mut trainer = case.trainer(device);
        let mut lists = 0..;
        for (_, parameter) in trainer.parameters().named() {
            let value = parameter.value().unwrap();
            value.write(&moved(lists.next().unwrap(), value.read().unwrap())).unwrap();
        }
        let data = case.data(|inputs| moved(lists.next().unwrap(), inputs));
        let fit = Fit::new(case.epochs, case.batch)
            .drop_last(case.drop_last)
            .shuffle(case.shuffle)
            .evaluate(false)
            .path(way.path)
            .resident_bytes(way.resident_bytes)
            .steps_per_submit(way.steps_per_submit);
        let history = match trainer.fit(&data, fit) {
            Err(error) if error.kind() == ErrorKind::InvalidInput && way.path == StepPath::Fused => return None,
            Err(error) if error.kind() == ErrorKind::NotFinite => return None,
            fitted => fitted.unwrap_or_else(|error| panic!("{error}: {case} on {}", device.name())),
        };
        let parameters = trainer.parameters().named();
        let parameters = parameters.map(|(_, parameter)| parameter.value().unwrap().read().unwrap()).collect();
        let predictions = trainer.predict(data.inputs(), case.inputs).unwrap();
        let outcome = Self { losses: history.step_losses, parameters, predictions };
        outcome.parts().iter().all(|(_, values)| values.iter().all(|v| v.is_finite())).then_some(outcome)
    }

    pub(crate) fn assert_same(&self, name: &str, other: &Self) {
        for ((part, own), (_, other)) in self.parts().into_iter().zip(other.parts()) {
            assert_same_bits(&format!("{part} {name}"), own, other);
        }
    }

    /// The parts, by name.
    fn parts(&self) -> Vec<(String, &[f32])> {
        let parameters = self.parameters.iter().enumerate();
        let mut parts: Vec<_> = parameters.map(|(i, values)| (format!("parameter {i}"), values.as_slice())).collect();
        parts.push(("predictions".to_string(), &self.predictions));
        parts.push(("losses".to_string(), &self.losses));
        parts
    }
}

/// How far from a case's outcome another may be: see the head of `main.rs`.
pub(crate) struct Bound<'a> {
    case: &'a Case,
    expected: &'a Outcome,
    /// Of each part.
    tolerances: Vec<f64>,
    learnt: f64,
}

impl<'a> Bound<'a> {
    /// When each function errs by this much besides rounding, relatively.
    pub(crate) fn new(case: &'a Case, expected: &'a Outcome, functions: f64) -> Self {
        let rounding = (case.terms() + 4) as f64 * EPSILON + functions;
        let steps = (case.epochs * case.steps()) as f64;
        let largest = |values: &[f32]| values.iter().fold(0.0, |max: f64, v| max.max(f64::from(v.abs())));
        // What is not moved at all is rounded in its last digits all the same.
        let own = expected.parts().into_iter().map(|(_, values)| rounding * largest(values));
        let mut tolerances: Vec<f64> = own.collect();
        for seed in 0..4 {
            let moved = |list: u64, values: Vec<f32>| {
                let drawn = number(seed, 1000 + list);
                let by = |i: usize| (rounding as f32).copysign(drawn(i));
                values.iter().enumerate().map(|(i, v)| v * (1.0 + by(i))).collect()
            };
            let Some(outcome) = Outcome::moved(&Device::cpu(), case, Way::default(), moved) else {
                tolerances.fill(f64::MAX);
                continue;
            };
            for ((tolerance, (_, a)), (_, b)) in tolerances.iter_mut().zip(outcome.parts()).zip(expected.parts()) {
                let apart = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
                *tolerance = tolerance.max(apart);
            }
        }
        tolerances.iter_mut().for_each(|tolerance| *tolerance *= 4.0 * steps);
        let before = case.trainer(&Device::cpu());
        let changes = before.parameters().named().zip(&expected.parameters).flat_map(|((_, parameter), after)| {
            let before = parameter.value().unwrap().read().unwrap();
            before.into_iter().zip(after.clone()).map(|(before, after)| f64::from((after - before).abs()))
        });
        Self { case, expected, tolerances, learnt: changes.fold(0.0, f64::max) }
    }

    /// Whether the bound on the parameters is narrow beside what they have learnt.
    pub(crate) fn says_something(&self) -> bool {
        let parameters = &self.tolerances[..self.expected.parameters.len()];
        parameters.iter().fold(0.0, |max: f64, tolerance| max.max(*tolerance)) < self.learnt / 10.0
    }

    pub(crate) fn compare(&self, outcome: &Outcome) -> Result<(), String> {
        for (((name, actual), (_, expected)), tolerance) in
            outcome.parts().into_iter().zip(self.expected.parts()).zip(&self.tolerances)
        {
            compare(&name, actual, expected, 0.0, |_| *tolerance)?;
        }
        Ok(())
    }

    /// How far the sum of squares of parameter `i` may be from another outcome's.
    pub(crate) fn of_squares(&self, i: usize) -> f64 {
        let (tolerance, values) = (self.tolerances[i], &self.expected.parameters[i]);
        values.iter().map(|v| tolerance * (2.0 * f64::from(v.abs()) + tolerance)).sum()
    }

    #[track_caller]
    pub(crate) fn check(&self, name: &str, outcome: &Outcome) {
        if let Err(fault) = self.compare(outcome) {
            panic!("{name}: {fault}\n{}", self.case);
        }
    }
}
