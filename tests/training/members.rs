//! Many networks in one dispatch: each is trained as if it were alone, to the bit.

use wgrad::ops::loss::Elementwise;
use wgrad::ops::mlp::{Chain, Loss, Rule, Run, Weights, train};
use wgrad::ops::optim::Update;
use wgrad::ops::{Activation, Reduction};
use wgrad::{Device, Recording, Tensor};

use crate::common::{assert_same_bits, cpu_and_gpus, signed};

const MEMBERS: usize = 3;
const SAMPLES: usize = 40;
const BATCH: usize = 8;
const STEPS: usize = 5;

fn chain() -> Chain {
    let mut update = Update::default();
    (update.beta1, update.beta2, update.epsilon) = (0.9, 0.99, 1e-8);
    Chain {
        inputs: 3,
        layers: vec![(9, Activation::Tanh), (2, Activation::Identity)],
        loss: Loss::Elementwise(Elementwise::Squared),
        scale: Reduction::Mean.scale(BATCH, 2),
        weights: Weights::None,
        rule: Rule::Adam,
        update,
        rows: BATCH,
        stride: BATCH,
    }
}

/// What a member has of its own: values, two states, order, rates.
#[derive(Clone)]
struct Member {
    values: Vec<f32>,
    states: [Vec<f32>; 2],
    order: Vec<f32>,
    rates: Vec<f32>,
}

fn member(number: u64) -> Member {
    let len = chain().values_len();
    let order = (0..SAMPLES).map(|i| f32::from_bits(((7 + 2 * number as usize) * i % SAMPLES) as u32)).collect();
    let rate = 0.01 * (1.0 + number as f32);
    let states = [vec![0.0; len], vec![0.0; len]];
    Member { values: signed(number, len), states, order, rates: [rate, 1.5, 1.25, 0.0].repeat(STEPS) }
}

/// Values, states and losses of all members after the steps, each a row for each of them.
fn trained(device: &Device, members: &[Member]) -> [Vec<f32>; 4] {
    let chain = chain();
    let rows = members.len();
    let tensor = |rows: usize, part: fn(&Member) -> &[f32]| {
        let values: Vec<f32> = members.iter().flat_map(|member| part(member).to_vec()).collect();
        Tensor::new(device, rows, values.len() / rows, &values).unwrap()
    };
    let data = Tensor::new(device, 1, 128 + 2 * SAMPLES, &signed(9, 128 + 2 * SAMPLES)).unwrap();
    let [inputs, targets] = [data.view(0, SAMPLES, 3), data.view(128, SAMPLES, 2)].map(Result::unwrap);
    let (order, rates) = (tensor(rows, |m| &m.order), tensor(rows * STEPS, |m| &m.rates));
    let values = tensor(rows, |m| &m.values);
    let state = [tensor(rows, |m| &m.states[0]), tensor(rows, |m| &m.states[1])];
    let losses = Tensor::zeros(device, rows, STEPS).unwrap();
    let run = Run {
        data: [&inputs, &targets],
        order: &order,
        rates: &rates,
        values: &values,
        state: &state,
        losses: &losses,
    };
    let mut recording = Recording::new(device);
    train(&mut recording, &chain, run).unwrap();
    assert_eq!(recording.len(), 1);
    recording.run_steps(0..STEPS as u32).unwrap();
    [&values, &state[0], &state[1], &losses].map(|tensor| tensor.read().unwrap())
}

/// Asserts that row `at` of each output is the one row of another.
fn assert_row(name: &str, all: &[Vec<f32>; 4], at: usize, alone: &[Vec<f32>; 4]) {
    for (all, alone) in all.iter().zip(alone) {
        assert_same_bits(name, &all[at * alone.len()..][..alone.len()], alone);
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_member_is_trained_as_if_it_were_alone() {
    for (name, device) in cpu_and_gpus() {
        let members: Vec<_> = (0..MEMBERS as u64).map(member).collect();
        let all = trained(&device, &members);
        for (at, member) in members.iter().enumerate() {
            let alone = trained(&device, std::slice::from_ref(member));
            assert_row(&format!("{name}, member {at}"), &all, at, &alone);
            // Each trains on data, values and rates of its own: no two come out the same.
            assert_ne!(alone[3], trained(&device, &members[(at + 1) % MEMBERS..][..1])[3], "{name}");
        }
        // One that diverges takes nobody along: not by its sums, not by what lies next to it in memory.
        let mut planted = members;
        planted[1].values.fill(f32::NAN);
        let [healthy, spoilt] = [all, trained(&device, &planted)];
        for at in [0, 2] {
            let row = |all: &[Vec<f32>; 4]| {
                all.each_ref().map(|rows| rows[at * rows.len() / MEMBERS..][..rows.len() / MEMBERS].to_vec())
            };
            assert_row(&format!("{name}, member {at} next to NaN"), &spoilt, at, &row(&healthy));
        }
        assert!(spoilt[3][STEPS..2 * STEPS].iter().all(|loss| loss.is_nan()), "{name}: the planted NaN is gone");
    }
}
