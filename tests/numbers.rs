//! Numbers that are easily lost: NaN, small values next to large ones, long sums. On the CPU path and on every GPU, against
//! f64; bounds are relative to the value.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Accuracy, Devices, EPSILON, TINY, compare, everywhere, exact, flushed, on_every_device, sigmoid};
use wgrad::nn::{Backprop, Init, Linear, Module, Parameters};
use wgrad::ops::Activation::{self, ELU, GELUTanh, LeakyReLU, Pow, SiLU, Softplus};
use wgrad::ops::loss::Elementwise::{self, Absolute, BceWithLogits, Huber, Squared};
use wgrad::ops::matmul::{Epilogue, Plan, Variant, matmul_by};
use wgrad::ops::{activation, bias, cross_entropy, loss, matmul, metrics, reduce, softmax};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, DeviceKind, Graph, Lowering, Recording, Result, Tensor, gradients};

on_every_device!(
    functions_are_right_over_all_exponents,
    small_values_keep_their_digits,
    confident_cross_entropies_keep_their_digits,
    large_logits_keep_their_digits,
    elu_with_a_negative_alpha_has_the_right_gradient,
    nan_is_never_hidden,
    nan_is_never_right,
    the_norm_is_that_of_clamped_gradients,
    sums_of_many_keep_their_digits,
);

/// The kernel that compiles quickest.
const SMALL: Plan = Plan { variant: Variant::Small, parts: 1 };

/// What a recording leaves in an output of this shape.
fn outcome(
    device: &Device,
    [rows, cols]: [usize; 2],
    record: impl Fn(&mut Recording, &Tensor) -> Result<()>,
) -> Vec<f32> {
    let out = Tensor::zeros(device, rows, cols).unwrap();
    let mut recording = Recording::new(device);
    record(&mut recording, &out).unwrap();
    recording.run().unwrap();
    out.read().unwrap()
}

fn row(device: &Device, values: &[f32]) -> Tensor {
    Tensor::new(device, 1, values.len(), values).unwrap()
}

/// Value and derivative of each element; the derivative is computed from the value where the table says so.
fn value_and_derivative(device: &Device, function: Activation, x: &[f32]) -> [Vec<f32>; 2] {
    let (at, ones) = (row(device, x), row(device, &vec![1.0; x.len()]));
    let value = outcome(device, [1, x.len()], |r, out| activation::forward(r, function, &at, out));
    let y = row(device, &value);
    let slope = outcome(device, [1, x.len()], |r, out| activation::backward(r, function, [&at, &y, &ones], out, false));
    [value, slope]
}

fn functions_are_right_over_all_exponents(devices: &Devices) {
    let mut faults = Vec::new();
    let mut functions = Activation::all([0.75, 0.25]);
    functions.extend([ELU { alpha: -0.7 }, LeakyReLU { slope: -0.5 }, Pow { exponent: -2.0 }]);
    for (label, device) in devices {
        let accuracy = Accuracy::of(device);
        for function in &functions {
            let x = everywhere(*function);
            let [value, slope] = value_and_derivative(device, *function, &x);
            let (y, d): (Vec<f64>, Vec<f64>) = x.iter().map(|x| exact(*function, (*x).into())).unzip();
            let name = format!("{function:?} on {label}");
            let is_cpu = device.describe().kind == DeviceKind::Cpu;
            let other: Vec<_> =
                x.iter().map(|x| exact(*function, if is_cpu { *x } else { flushed(*x) }.into())).collect();
            let bound = |i: usize| accuracy.value(*function, x[i].into(), y[i]) + (y[i] - other[i].0).abs();
            faults.extend(
                compare(&name, &value, &y, 0.0, bound).map_err(|e| format!("{e}\n  ({x:?})", x = at(&e, &x))).err(),
            );
            let bound = |i: usize| accuracy.derivative(*function, x[i].into(), y[i], d[i]) + (d[i] - other[i].1).abs();
            let verdict = compare(&format!("{name}, derivative"), &slope, &d, 0.0, bound);
            faults.extend(verdict.map_err(|e| format!("{e}\n  ({x:?})", x = at(&e, &x))).err());
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The inputs that an error names.
fn at(fault: &str, x: &[f32]) -> Vec<f32> {
    let places = fault.split('[').skip(1).filter_map(|text| text.split(']').next()?.parse::<usize>().ok());
    places.filter_map(|i| x.get(i)).copied().collect()
}

fn small_values_keep_their_digits(devices: &Devices) {
    // Of exp(x) a driver may err by (3 + 2 |x|) units; these do better.
    let bound = |x: f64| (6.0 + 0.5 * x.abs()) * EPSILON;
    let mut faults = Vec::new();
    for (label, device) in devices {
        let mut check = |what: String, actual: f32, expected: f64, x: f64| {
            let off = (f64::from(actual) - expected).abs() / expected.abs();
            if off.is_nan() || off > bound(x) {
                faults.push(format!("{what} on {label}: {actual:e}, expected {expected:e}, off by {off:e}"));
            }
        };
        let elu = ELU { alpha: 1.0 };
        let cases: [(Activation, &[f32]); 5] = [
            (Activation::Tanh, &[1e-8, 1e-6, -1e-6, 1e-3, 0.1, 0.5, 0.624, 0.626, 1.0, -3.0]),
            (elu, &[-1e-30, -1e-8, -1e-6, -1e-3, -0.1, -0.49, -0.51, -1.0, -14.0, -17.0, -50.0]),
            (Softplus, &[-1.0, -5.0, -14.0, -17.0, -30.0, -60.0, 1.0, 14.0]),
            (SiLU, &[-1e-6, -14.0, -17.0, -60.0]),
            (GELUTanh, &[-1e-6, 1e-6, 1.0, -3.0]),
        ];
        for (function, inputs) in cases {
            let [value, slope] = value_and_derivative(device, function, inputs);
            for (i, x) in inputs.iter().enumerate() {
                let (y, d) = exact(function, (*x).into());
                let scale = if function == GELUTanh { 4.0 } else { 1.0 };
                check(format!("{function:?} of {x}"), value[i], y, scale * f64::from(*x));
                if function == elu || function == Softplus {
                    check(format!("{function:?}' of {x}"), slope[i], d, (*x).into());
                }
            }
        }
        let one = row(device, &[1.0]);
        for p in [12.0f32, 15.0, 17.0, 30.0, 60.0] {
            for (p, t) in [(p, 1.0f32), (-p, 0.0)] {
                let (logit, target) = (row(device, &[p]), row(device, &[t]));
                let value =
                    outcome(device, [1, 1], |r, out| loss::forward(r, BceWithLogits, [&logit, &target], 1.0, out));
                let operands = [&logit, &target, &one];
                let slope = outcome(device, [1, 1], |r, out| {
                    loss::backward(r, (BceWithLogits, false), operands, 1.0, out, false)
                });
                let x = f64::from(p.abs());
                check(format!("cross-entropy of logit {p}"), value[0], (-x).exp().ln_1p(), x);
                let expected = if t == 1.0 { -sigmoid(-x) } else { sigmoid(-x) };
                check(format!("its derivative, {p}"), slope[0], expected, x);
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Loss and gradient of one row of logits with a class number, and of log_softmax.
fn cross_entropy_of(device: &Device, logits: &[f32], class: f32) -> (f32, Vec<f32>, Vec<f32>) {
    let (z, t, one) = (row(device, logits), row(device, &[class]), row(device, &[1.0]));
    let value = outcome(device, [1, 1], |r, out| cross_entropy::forward(r, [&z, &t], 1.0, out));
    let shape = [1, logits.len()];
    let gradient = outcome(device, shape, |r, out| cross_entropy::backward(r, [&z, &t, &one], 1.0, out, false));
    let logs = outcome(device, shape, |r, out| softmax::forward(r, &z, true, out));
    (value[0], gradient, logs)
}

fn confident_cross_entropies_keep_their_digits(devices: &Devices) {
    for (label, device) in devices {
        for z in [8.0f32, 14.0, 20.0, 60.0] {
            let (value, gradient, logs) = cross_entropy_of(device, &[z, 0.0], 0.0);
            let (rest, loss) = (sigmoid(-f64::from(z)), (-f64::from(z)).exp().ln_1p());
            // The driver's exp is most of the error.
            let within = |name: &str, actual: f32, expected: f64| {
                let off = (f64::from(actual) - expected).abs() / expected.abs();
                assert!(
                    off <= (8.0 + f64::from(z) / 4.0) * EPSILON,
                    "{name} at {z} on {label}: {actual:e}, {expected:e}, {off:e}"
                );
            };
            within("loss", value, loss);
            within("gradient", gradient[0], -rest);
            within("other gradient", gradient[1], rest);
            within("log_softmax", logs[0], -loss);
        }
        let (_, gradient, _) = cross_entropy_of(device, &[14.0, 0.0], 0.0);
        let off = (f64::from(gradient[0]) / -sigmoid(-14.0) - 1.0).abs();
        assert!(off <= 1e-6, "{label}: {off:e}");
    }
}

fn large_logits_keep_their_digits(devices: &Devices) {
    for (label, device) in devices {
        for base in [0.0f32, 100.0, 1e4, -1e4, 1e6] {
            let (value, gradient, _) = cross_entropy_of(device, &[base, base + 1.0], 0.0);
            let (loss, share) = (1f64.exp().ln_1p(), sigmoid(1.0));
            assert!((loss - 1.313262).abs() < 1e-6);
            assert!((f64::from(value) / loss - 1.0).abs() < 6.0 * EPSILON, "{base} on {label}: {value}");
            for (actual, expected) in gradient.iter().zip([-share, share]) {
                assert!((f64::from(*actual) / expected - 1.0).abs() < 6.0 * EPSILON, "{base} on {label}: {actual}");
            }
        }
    }
}

fn elu_with_a_negative_alpha_has_the_right_gradient(devices: &Devices) {
    let function = ELU { alpha: -0.7 };
    let inputs: Vec<f32> = vec![-3.0, -1.0, -0.25, 0.5, 2.0, -14.0];
    let expected: Vec<f64> = inputs.iter().map(|x| exact(function, (*x).into()).1).collect();
    for (label, device) in devices {
        for fused in [false, true] {
            // x is a product, so that its activation, and the activation's derivative, may end products.
            let mut graph = Graph::new(device);
            let x = graph.input(&Tensor::new(device, inputs.len(), 1, &inputs).unwrap()).unwrap();
            let one = graph.input(&row(device, &[1.0])).unwrap();
            let z = graph.matmul(x, one).unwrap();
            let y = graph.activation(z, function).unwrap();
            let last = graph.matmul(y, one).unwrap();
            let sum = graph.sum(last).unwrap();
            let slope = gradients(&mut graph, sum, &[x]).unwrap()[0].unwrap();
            let plain = Lowering::default().rules(&[]).lower(&graph, &[slope]).unwrap();
            let merged = Lowering::default().lower(&graph, &[slope]).unwrap();
            assert!(merged.recording().len() < plain.recording().len());
            let lowered = if fused { merged } else { plain };
            lowered.run().unwrap();
            let slope = lowered.read(slope).unwrap();
            let bound = |i: usize| Accuracy::of(device).derivative_at(function, inputs[i].into(), expected[i]) + TINY;
            let verdict = compare(&format!("fused {fused} on {label}"), &slope, &expected, 4.0 * EPSILON, bound);
            verdict.unwrap();
        }
    }
}

fn nan_is_never_hidden(devices: &Devices) {
    let x: Vec<f32> = (0..37).map(|i| if i % 3 == 0 { f32::NAN } else { 0.5 }).collect();
    // Processors make NaN with a sign, too.
    let negative: Vec<f32> = x.iter().map(|x| if x.is_nan() { -f32::NAN.copysign(1.0) } else { *x }).collect();
    let mut faults = Vec::new();
    for (label, device) in devices {
        let mut check = |what: &str, values: &[f32]| {
            if values.iter().enumerate().any(|(i, value)| value.is_nan() != (i % 3 == 0)) {
                faults.push(format!("{what} on {label}: {values:?}"));
            }
        };
        for x in [&x, &negative] {
            let (column, one) = (Tensor::new(device, 37, 1, x).unwrap(), row(device, &[1.0]));
            for function in Activation::all([0.75, 0.25]) {
                let [value, slope] = value_and_derivative(device, function, x);
                check(&format!("{function:?}"), &value);
                let constant = matches!(function, Activation::Identity | Activation::Affine { .. });
                if !constant {
                    check(&format!("{function:?}'"), &slope);
                }
                if matmul_takes(function) {
                    let epilogue = Epilogue { activation: function, ..Epilogue::default() };
                    let value = outcome(device, [37, 1], |r, out| matmul_by(r, SMALL, &column, &one, out, epilogue));
                    check(&format!("product to {function:?}"), &value);
                    let slope = outcome(device, [37, 1], |r, out| {
                        let dy = Tensor::zeros(device, 37, 1)?;
                        let ones = Tensor::new(device, 37, 1, &[1.0; 37])?;
                        matmul_by(r, SMALL, &ones, &one, &dy, Epilogue::default())?;
                        activation::backward(r, function, [&column, &column, &dy], out, false)
                    });
                    if !constant {
                        check(&format!("product times {function:?}'"), &slope);
                    }
                }
            }
            let (p, zero) = (row(device, x), row(device, &[0.0; 37]));
            for error in [Squared, Absolute, Huber { delta: 0.25 }, Huber { delta: 2.0 }, BceWithLogits] {
                for operands in [[&p, &zero, &one], [&zero, &p, &one]] {
                    let slope =
                        outcome(device, [1, 37], |r, out| loss::backward(r, (error, false), operands, 1.0, out, false));
                    check(&format!("{error:?}'"), &slope);
                    let value =
                        outcome(device, [1, 1], |r, out| loss::forward(r, error, [operands[0], operands[1]], 1.0, out));
                    check(&format!("{error:?}"), &value);
                }
            }
            // A NaN anywhere in a row.
            for place in 0..3 {
                let logits: Vec<f32> = (0..36).map(|i| if i % 9 == place { x[0] } else { (i % 4) as f32 }).collect();
                let z = Tensor::new(device, 12, 3, &logits).unwrap();
                let class = Tensor::new(device, 12, 1, &[1.0; 12]).unwrap();
                let spread = |values: &[f32]| values.iter().step_by(3).copied().collect::<Vec<_>>();
                for log in [false, true] {
                    let y = outcome(device, [12, 3], |r, out| softmax::forward(r, &z, log, out));
                    check("softmax", &spread(&y));
                }
                let slope =
                    outcome(device, [12, 3], |r, out| cross_entropy::backward(r, [&z, &class, &one], 1.0, out, false));
                check("cross-entropy's gradient", &spread(&slope));
                let row = Tensor::new(device, 1, 3, &logits[..3]).unwrap();
                let first = Tensor::new(device, 1, 1, &[1.0]).unwrap();
                check(
                    "cross-entropy",
                    &outcome(device, [1, 1], |r, out| cross_entropy::forward(r, [&row, &first], 1.0, out)),
                );
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn matmul_takes(function: Activation) -> bool {
    let device = Device::cpu();
    let one = row(&device, &[1.0]);
    let epilogue = Epilogue { activation: function, ..Epilogue::default() };
    matmul(&mut Recording::new(&device), &one, &one, &Tensor::zeros(&device, 1, 1).unwrap(), epilogue).is_ok()
}

fn nan_is_never_right(devices: &Devices) {
    let nan = f32::NAN;
    // Predictions, targets, columns of targets, how many rows are right.
    let cases: [(&[f32], &[f32], usize, f32); 4] = [
        (&[nan, 1.0, 0.0, 1.0, nan, 0.0, 0.0, 1.0], &[0.0, 1.0, 0.0, 1.0], 1, 2.0),
        (&[nan, nan, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0], &[0.0, nan, -1.0, 0.0], 1, 1.0),
        (&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0], &[0.5, 0.0, 2.0, -0.0], 1, 2.0),
        (&[1.0, 0.0, nan, 0.0, 1.0, 0.0, 0.0, 1.0], &[1.0, 0.0, 1.0, 0.0, nan, 0.0, 0.0, 1.0], 2, 2.0),
    ];
    for (label, device) in devices {
        for (i, (p, t, cols, right)) in cases.iter().enumerate() {
            let [p, t] = [(p, 2), (t, *cols)].map(|(v, cols)| Tensor::new(device, 4, cols, v).unwrap());
            let count = outcome(device, [1, 1], |r, out| metrics::count_correct(r, &p, &t, None, [0.5; 2], out));
            assert_eq!(count, [*right], "case {i} on {label}");
        }
        let [p, t] = [[nan, 1.0, 0.0, nan], [0.0, 1.0, nan, 1.0]].map(|v| Tensor::new(device, 4, 1, &v).unwrap());
        let count = outcome(device, [1, 1], |r, out| metrics::count_correct(r, &p, &t, None, [0.5; 2], out));
        assert_eq!(count, [1.0], "one column on {label}");
    }
}

/// PyTorch's clip_grad_value_, then clip_grad_norm_.
fn the_norm_is_that_of_clamped_gradients(devices: &Devices) {
    for (label, device) in devices {
        let layer = Linear::new(2, 1).init(Init::Constant(1.0), Init::Constant(1.0));
        let parameters = Parameters::new(device, &layer, 0).unwrap();
        let rule = Sgd::new(1.0).clip_value(0.5).clip_norm(0.3);
        let mut optimizer = Optimizer::new(&parameters, rule).unwrap();
        let mut graph = Graph::new(device);
        // Gradients of 30, 0.1 and 1.
        let x = graph.input(&row(device, &[30.0, 0.1])).unwrap();
        let y = layer.forward(&mut graph, x).unwrap();
        let sum = graph.sum(y).unwrap();
        let pass = Backprop::new(&mut graph, &parameters, sum, &[]).unwrap();
        pass.forward().unwrap();
        pass.backward().unwrap();
        optimizer.step().unwrap();
        let clamped = [0.5f64, f64::from(0.1f32), 0.5];
        let norm = clamped.iter().map(|g| g * g).sum::<f64>().sqrt();
        let expected: Vec<f64> = clamped.iter().map(|g| 1.0 - g * f64::from(0.3f32) / (norm + 1e-6)).collect();
        let actual: Vec<f32> =
            parameters.named().flat_map(|(_, parameter)| parameter.value().unwrap().read().unwrap()).collect();
        compare(label, &actual, &expected, 4.0 * EPSILON, |_| 0.0).unwrap();
    }
}

fn sums_of_many_keep_their_digits(devices: &Devices) {
    for (label, device) in devices {
        // One chain of rounding is as long as an invocation's share and the tree above it.
        let bound = if device.describe().kind == DeviceKind::Cpu { EPSILON } else { 100.0 * EPSILON };
        let within = |what: &str, actual: &[f32], expected: f64| {
            for actual in actual {
                let off = (f64::from(*actual) / expected - 1.0).abs();
                assert!(off <= bound, "{what} on {label}: {actual}, expected {expected}, off by {off:e}");
            }
        };
        let tenth = f64::from(0.1f32);
        let flat = row(device, &[0.1; 4096]);
        within("mean", &outcome(device, [1, 1], |r, out| reduce::sum(r, &flat, 1.0 / 4096.0, out)), tenth);
        within(
            "squares",
            &outcome(device, [1, 1], |r, out| reduce::sum_of_squares(r, &flat, out)),
            4096.0 * tenth * tenth,
        );
        within("row", &outcome(device, [1, 1], |r, out| reduce::rows(r, &flat, 1.0, out, false)), 4096.0 * tenth);
        let tall = Tensor::new(device, 4096, 3, &[0.1; 3 * 4096]).unwrap();
        within("columns", &outcome(device, [1, 3], |r, out| bias::backward(r, &tall, out, false)), 4096.0 * tenth);
        let zeros = row(device, &[0.0; 4096]);
        for error in [Squared, Absolute, Huber { delta: 1.0 }, BceWithLogits] {
            let each = match error {
                Squared => tenth * tenth,
                Absolute => tenth,
                Huber { .. } => 0.5 * tenth * tenth,
                _ => exact(Softplus, tenth).0,
            };
            // Each term has its own error.
            let value = outcome(device, [1, 1], |r, out| loss::forward(r, error, [&flat, &zeros], 1.0, out));
            let off = (f64::from(value[0]) / (4096.0 * each) - 1.0).abs();
            assert!(off <= bound + 4.0 * EPSILON, "{error:?} on {label}: off by {off:e}");
        }
        // A linear layer's bias gradient, beside its weight gradient.
        let mut graph = Graph::new(device);
        let layer = Linear::new(1, 1);
        let parameters = Parameters::new(device, &layer, 0).unwrap();
        let x = graph.input(&Tensor::new(device, 4096, 1, &[1.0; 4096]).unwrap()).unwrap();
        let y = layer.forward(&mut graph, x).unwrap();
        let scaled = graph.mul_scalar(y, 0.1).unwrap();
        let sum = graph.sum(scaled).unwrap();
        let pass = Backprop::new(&mut graph, &parameters, sum, &[]).unwrap();
        pass.forward().unwrap();
        pass.backward().unwrap();
        within("bias gradient", &layer.bias().unwrap().gradient().unwrap().read().unwrap(), 4096.0 * tenth);
    }
}

/// A public formula takes any delta.
#[test]
fn a_delta_that_is_nan_is_no_panic() {
    assert_eq!(Elementwise::Huber { delta: f32::NAN }.derivative(1.0, 0.0), 1.0);
}
