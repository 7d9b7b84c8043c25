//! `shaders/mlp/predict.wgsl`

use wgrad::ops::{Activation, mlp};
use wgrad::{Device, Recording, Tensor};

use crate::case::Case;
use crate::common::{EPSILON, signed};

use Activation::{ELU, GELU, GELUTanh, Identity, LeakyReLU, ReLU, SiLU, Sigmoid, Softplus, Tanh};

/// U(±1/√inputs), as layers are initialised; NaN between the parameters, and none behind the last.
fn values(inputs: usize, layers: &[(usize, Activation)]) -> Vec<f32> {
    let (mut values, mut inputs): (Vec<f32>, _) = (Vec::new(), inputs);
    for (seed, (outputs, _)) in layers.iter().enumerate() {
        for len in [inputs * outputs, *outputs] {
            values.resize(values.len().next_multiple_of(64), f32::NAN);
            let bound = 1.0 / (inputs as f32).sqrt();
            values.extend(signed(seed as u64, len).iter().map(|v| v * bound));
        }
        inputs = *outputs;
    }
    values
}

fn case(inputs: usize, layers: &[(usize, Activation)], rows: usize) -> Case {
    let name = format!("{inputs} {layers:?}, {rows} rows");
    let (outputs, _) = layers[layers.len() - 1];
    let (x, w) = (signed(100, rows * inputs), values(inputs, layers));
    let owned = layers.to_vec();
    let tolerance = tolerance(inputs, layers, rows, &x, &w);
    Case::new(name, move |recording, inputs, outputs| mlp::predict(recording, &owned, inputs[0], inputs[1], outputs[0]))
        .dispatches(1)
        .input([1, w.len()], w)
        .input([rows, inputs], x)
        .close([rows, outputs], move |_, value| tolerance + 4.0 * EPSILON * value.abs())
}

/// Every sum is rounded as often as it has terms, and the functions have errors of their own: relatively that acts like a
/// movement of the values. How far outputs follow one is the largest of four random ones, times four, as the worst direction is
/// not among them.
fn tolerance(inputs: usize, layers: &[(usize, Activation)], rows: usize, x: &[f32], w: &[f32]) -> f64 {
    const MOVE: f32 = 1e-3;
    let outcome = |w: &[f32]| {
        let device = Device::cpu();
        let values = Tensor::new(&device, 1, w.len(), w).unwrap();
        let x = Tensor::new(&device, rows, inputs, x).unwrap();
        let y = Tensor::zeros(&device, rows, layers[layers.len() - 1].0).unwrap();
        let mut recording = Recording::new(&device);
        mlp::predict(&mut recording, layers, &values, &x, &y).unwrap();
        recording.run().unwrap();
        y.read().unwrap()
    };
    let widest = layers.iter().map(|(outputs, _)| *outputs).max().unwrap().max(inputs);
    // exp and a division are off by at most (3 + 2 |x|) and 2.5 units, at |x| up to 4.
    let rounding = (widest + 8 + 32) as f64 * EPSILON;
    let expected = outcome(w);
    let mut largest = 0.0_f64;
    for seed in 0..4 {
        let signs = signed(900 + seed, w.len());
        let moved: Vec<_> = w.iter().zip(signs).map(|(v, sign)| v * (1.0 + MOVE.copysign(sign))).collect();
        for (a, b) in outcome(&moved).iter().zip(&expected) {
            largest = largest.max(f64::from((a - b).abs() / MOVE));
        }
    }
    4.0 * largest * rounding
}

pub(crate) fn predict() -> Vec<Case> {
    let disk = [(25, ReLU), (25, ReLU), (25, ReLU), (2, Sigmoid)];
    vec![
        case(1, &[(1, Identity)], 1),
        case(2, &disk, 1),
        case(2, &disk, 31),
        case(2, &disk, 33),
        case(2, &disk, 4096),
        // More than 65,535 workgroups.
        case(1, &[(2, ReLU)], 65_536 * 32 + 5),
        case(7, &[(8, Tanh), (9, GELU), (17, SiLU)], 40),
        case(5, &[(3, GELUTanh), (1, Softplus), (9, ELU { alpha: 0.5 }), (4, Softplus)], 6),
        case(4, &[(16, LeakyReLU { slope: 0.5 }), (3, LeakyReLU { slope: -0.25 })], 100),
        case(2, &[(6, Tanh), (7, Sigmoid), (8, Tanh), (9, ReLU), (8, Tanh), (7, ReLU), (6, Tanh), (5, Sigmoid)], 9),
        // Fewer rows in a workgroup: one cell of them, and some.
        case(64, &[(128, Tanh), (100, Tanh), (10, Identity)], 50),
        case(300, &[(20, ReLU), (1, Sigmoid)], 21),
        case(3, &[(500, ReLU), (2, Identity)], 21),
    ]
}
