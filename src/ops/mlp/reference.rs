//! The kernel as plain loops over the same steps.

use super::{Chain, How, Loss, Params, Rule, UPDATE_CELLS, Weights, padded};
use crate::device::Call;
use crate::ops::Activation;
use crate::ops::cross_entropy::row_loss;
use crate::ops::optim::{Constants, Update};

/// What the parameters say of the chain.
struct Shape {
    chain: Chain,
    params: Params,
}

impl Shape {
    fn new(params: Params) -> Self {
        let how = How::unpack(params.how);
        let constants = [params.a0, params.a1, params.a2];
        let layers = (0..params.depth as usize).map(|l| {
            let slot = (params.slots >> (2 * l) & 3) as usize;
            let kind = params.functions >> (8 * slot) & 15;
            (params.layers[l][0] as usize, Activation::from_kind(kind, [constants[slot], 0.0]))
        });
        let chain = Chain {
            inputs: params.inputs as usize,
            layers: layers.collect(),
            loss: Loss::from_kind(how.loss, params.constant),
            scale: params.scale,
            weights: Weights::ALL.get(how.weights as usize).copied().unwrap_or_default(),
            rule: Rule::from_kind(how.rule),
            // Each member's is in its scratch.
            update: Update::default(),
            rows: params.rows as usize,
            stride: params.stride as usize,
        };
        Self { chain, params }
    }
}

pub(super) fn train(call: Call<'_>) {
    let shape = Shape::new(call.params());
    let (len, entries) = (shape.params.len as usize, shape.params.entries as usize);
    let (slots, rows_of_rates) = (shape.params.last_slot as usize + 1, shape.params.last_rate as usize + 1);
    let [all_data, order, rates, ..] = call.inputs;
    let order: &[u32] = bytemuck::cast_slice(order);
    let [values, losses, scratch, state1, state2] = call.outputs;
    let (data_len, own) = (shape.params.data_len as usize, 4 * shape.params.own_cells as usize);
    let member = |states: &'_ mut [f32], m: usize| if states.is_empty() { 0..0 } else { m * len..(m + 1) * len };
    for m in 0..values.len() / len {
        let (own1, own2) = (member(state1, m), member(state2, m));
        let order = &order[m * entries..][..entries];
        let values = &mut values[m * len..][..len];
        // Data as long as one member's is that of all.
        let data = if all_data.len() > data_len { &all_data[m * data_len..][..data_len] } else { all_data };
        let constants = read_update(&scratch[m * own..]);
        for step in call.step..=call.last {
            let row = rates[4 * (m * rows_of_rates + step.min(shape.params.last_rate as usize))..][..4].try_into();
            let rates: [f32; 4] = row.unwrap_or_default();
            let (x, rows) = shape.batch(data, order, step);
            let (loss, gradients) = shape.gradients(values, x, data, &rows);
            losses[m * slots + step.min(shape.params.last_slot as usize)] = loss;
            let state = [&mut state1[own1.clone()], &mut state2[own2.clone()]];
            update(shape.chain.rule, &constants, rates, &gradients, values, state);
        }
    }
}

impl Shape {
    /// The mini-batch's inputs, and which rows of the data they are.
    fn batch(&self, data: &[f32], order: &[u32], step: usize) -> (Vec<f32>, Vec<usize>) {
        let Chain { inputs, rows, stride, .. } = self.chain;
        let entry = |r: usize| order[(step * stride + r) % order.len()].min(self.params.last_row) as usize;
        let picked: Vec<usize> = (0..rows).map(entry).collect();
        let x = picked.iter().flat_map(|row| &data[row * inputs..][..inputs]).copied().collect();
        (x, picked)
    }

    /// The loss of a mini-batch, and the parameters' gradients, laid out as the parameters.
    fn gradients(&self, values: &[f32], x: Vec<f32>, data: &[f32], rows: &[usize]) -> (f32, Vec<f32>) {
        // What goes into each layer, and the derivative of the function at its end.
        let (mut xs, mut slopes, mut starts, mut start) = (vec![x], Vec::new(), Vec::new(), 0);
        for ([inputs, outputs], (_, function)) in self.chain.sizes().zip(&self.chain.layers) {
            let bias = start + padded(inputs * outputs);
            let (mut y, mut slope) = (Vec::new(), Vec::new());
            for x in xs[xs.len() - 1].chunks_exact(inputs) {
                for j in 0..outputs {
                    let w = &values[start + j * inputs..][..inputs];
                    let z = x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>() + values[bias + j];
                    let value = function.apply(z);
                    y.push(value);
                    slope.push(function.derivative(if function.derivative_needs_input() { z } else { value }));
                }
            }
            xs.push(y);
            slopes.push(slope);
            starts.push((start, bias));
            start = bias + padded(outputs);
        }
        let mut gradients = vec![0.0; start];
        let (loss, mut dy) = self.loss(&xs[xs.len() - 1], data, rows);
        for (l, [inputs, outputs]) in self.chain.sizes().enumerate().rev() {
            dy.iter_mut().zip(&slopes[l]).for_each(|(dy, slope)| *dy *= slope);
            let (weights, bias) = starts[l];
            let mut dx = vec![0.0; rows.len() * inputs];
            let in_rows = xs[l].chunks_exact(inputs).zip(dx.chunks_exact_mut(inputs)).zip(dy.chunks_exact(outputs));
            for ((x, dx), dy) in in_rows {
                for (j, dy) in dy.iter().enumerate() {
                    gradients[bias + j] += dy;
                    for k in 0..inputs {
                        gradients[weights + j * inputs + k] += dy * x[k];
                        dx[k] += dy * values[weights + j * inputs + k];
                    }
                }
            }
            dy = dx;
        }
        (loss, gradients)
    }

    /// The loss, and its gradient with respect to the last layer's outputs.
    fn loss(&self, y: &[f32], data: &[f32], rows: &[usize]) -> (f32, Vec<f32>) {
        let outputs = self.chain.outputs();
        let weights = self.chain.weights;
        let cols = self.params.target_cols as usize;
        let row_cols = cols + weights.cols();
        let targets = || rows.iter().map(|row| &data[self.params.targets_at as usize + row * row_cols..][..row_cols]);
        let scale = match weights {
            Weights::Mean => self.chain.scale / targets().map(|row| row[cols]).sum::<f32>().max(1e-30),
            Weights::None | Weights::Sum => self.chain.scale,
        };
        let (mut total, mut dy) = (0.0, Vec::new());
        for (p, t) in y.chunks_exact(outputs).zip(targets()) {
            let weight = t.get(cols).copied().unwrap_or(1.0);
            match self.chain.loss {
                Loss::Elementwise(error) => p.iter().zip(&t[..cols]).for_each(|(p, t)| {
                    total += weight * error.error(*p, *t);
                    dy.push(scale * weight * error.derivative(*p, *t));
                }),
                Loss::CrossEntropy => {
                    let (loss, slopes) = row_loss(p, &t[..cols]);
                    total += weight * loss;
                    dy.extend(slopes.iter().map(|slope| scale * weight * slope));
                }
            }
        }
        (scale * total, dy)
    }
}

fn read_update(cells: &[f32]) -> Update {
    let constants: [f32; 4 * UPDATE_CELLS] = std::array::from_fn(|i| cells[i]);
    let [rate_factor, decay, decoupled_decay, shrink, clip_value, momentum, nesterov, beta1, beta2, epsilon, ..] =
        constants;
    let nesterov = u32::from(nesterov > 0.0);
    Update {
        rate_factor,
        decay,
        decoupled_decay,
        shrink,
        clip_value,
        momentum,
        nesterov,
        beta1,
        beta2,
        epsilon,
        ..Update::default()
    }
}

fn update(
    rule: Rule,
    update: &Update,
    rates: [f32; 4],
    gradients: &[f32],
    values: &mut [f32],
    [one, two]: [&mut [f32]; 2],
) {
    let [rate, correction1, correction2, _] = rates;
    let constants = Constants::new(update, [rate, correction1, correction2], 0.0);
    // States that the rule does not have are empty.
    let (mut ones, mut twos) = (one.iter_mut(), two.iter_mut());
    for (value, gradient) in values.iter_mut().zip(gradients) {
        let (mut none, mut no_other) = (0.0, 0.0);
        let (one, two) = (ones.next().unwrap_or(&mut none), twos.next().unwrap_or(&mut no_other));
        match rule {
            Rule::Sgd => constants.sgd(*gradient, value),
            Rule::Momentum => constants.momentum(*gradient, value, one),
            Rule::Adam => constants.adam(*gradient, value, one, two),
            Rule::RmsProp => constants.rmsprop(*gradient, value, one, two),
        }
    }
}
