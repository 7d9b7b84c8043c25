//! Nodes with parameters as layers.

use std::sync::Arc;

use super::{Chain, Found};
use crate::export::file::Node;
use crate::nn::{BatchNorm1d, Embedding, LayerNorm, Linear, Module};

/// What LayerNorm adds to a variance.
const LAYER_NORM_EPS: f32 = 1e-5;

impl<'a> Chain<'a> {
    pub(super) fn linear(&mut self, node: &'a Node<'a>, value: &str, mut output: &'a str) -> Found<'a> {
        let file = self.file;
        let fault = |what: &str| format!("{node} {what}");
        let (name, mut bias) = match node.inputs[..] {
            [x, weight] if x == value => (weight, None),
            [x, weight, bias] if x == value && node.op == "Gemm" => {
                (weight, Some(bias).filter(|bias| !bias.is_empty()))
            }
            _ => return Err(fault("does not multiply what the node before gives by a weight")),
        };
        let ([rows, cols], values) = file.tensor(name).ok_or_else(|| fault("has a weight that is no f32 constant"))?
        else {
            return Err(fault("has a weight that is no matrix"));
        };
        let (rows, cols, is_transposed) = (*rows, *cols, node.int("transB", 0) == 1);
        let [outputs, inputs] = if is_transposed { [rows, cols] } else { [cols, rows] };
        if node.int("transA", 0) != 0 || [node.float("alpha", 1.0), node.float("beta", 1.0)] != [1.0; 2] {
            return Err(fault("transposes its input or scales its product"));
        }
        if bias.is_none() && node.op == "MatMul" {
            let next = self.readers(output);
            let sum =
                next.first().and_then(|sum| file.nodes.get(*sum)).filter(|sum| sum.op == "Add" && next.len() == 1);
            let row = sum.and_then(|sum| sum.inputs.iter().find(|input| file.row(input).is_some()));
            if let (Some(row), Some(sum)) = (row, next.first()) {
                (bias, output) = (Some(*row), self.output(*sum)?);
                self.visit(*sum)?;
            }
        }
        let module = self.once([Some(name), bias].into_iter().flatten().collect(), || {
            let weight = match is_transposed {
                true => values.to_vec(),
                false => (0..values.len()).map(|i| values[i % rows.max(1) * cols + i / rows.max(1)]).collect(),
            };
            let layer = Linear::new(inputs, outputs);
            let Some(bias) = bias else { return loaded(layer.without_bias(), vec![weight]) };
            let bias = match file.row(bias) {
                Some([one]) => vec![*one; outputs],
                Some(bias) if bias.len() == outputs => bias.to_vec(),
                _ => return Err(format!("a bias that is not {outputs} numbers")),
            };
            loaded(layer, vec![weight, bias])
        });
        Ok((Some(module.map_err(|what| fault(&format!("has {what}")))?), output))
    }

    pub(super) fn embedding(&mut self, node: &'a Node<'a>, value: &str, output: &'a str) -> Found<'a> {
        let file = self.file;
        let table = match node.inputs[..] {
            [table, numbers] if numbers == value && node.int("axis", 0) == 0 => file.tensor(table).map(|t| (table, t)),
            _ => None,
        };
        let Some((name, ([rows, cols], values))) = table else {
            return Err(format!("{node} does not take rows of a constant matrix"));
        };
        if self.reader(output).is_none_or(|next| next.op != "Flatten" || next.int("axis", 1) != 1) {
            return Err(format!("{node} is not followed by Flatten; an Embedding gives its rows side by side"));
        }
        let module = self.once(vec![name], || loaded(Embedding::new(*rows, *cols), vec![values.to_vec()]));
        Ok((Some(module.map_err(|what| format!("{node} has {what}"))?), output))
    }

    pub(super) fn normalisation(&mut self, node: &'a Node<'a>, output: &'a str) -> Found<'a> {
        let file = self.file;
        let fault = |what: &str| format!("{node} {what}");
        let names = node.inputs.get(1..).unwrap_or_default().to_vec();
        let rows = names.iter().map(|name| file.row(name)).collect::<Option<Vec<_>>>();
        let rows = rows.ok_or_else(|| fault("has parameters that are no f32 vectors"))?;
        let cols = rows.first().map_or(0, |row| row.len());
        if rows.iter().any(|row| row.len() != cols) {
            return Err(fault("has parameters of several lengths"));
        }
        let values = |rows: &[&[f32]]| rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>();
        let eps = node.float("epsilon", 1e-5);
        // ONNX counts the other share; what is meant by 1 - 0.9 is 0.1.
        let momentum = ((1.0 - node.float("momentum", 0.9)) * 1e6).round() / 1e6;
        let module = match (node.op, &rows[..]) {
            ("BatchNormalization", [_, _, _, _]) if node.int("training_mode", 0) == 0 => {
                let layer = BatchNorm1d::new(cols).eps(eps).momentum(momentum);
                self.once(names, || loaded(layer, values(&rows)))
            }
            ("LayerNormalization", _) if eps != LAYER_NORM_EPS || ![-1, 1].contains(&node.int("axis", -1)) => {
                return Err(fault(&format!(
                    "has an epsilon of {eps}, not {LAYER_NORM_EPS}, or another axis than the last"
                )));
            }
            ("LayerNormalization", [weight]) => {
                self.once(names, || loaded(LayerNorm::new(cols), vec![weight.to_vec(), vec![0.0; cols]]))
            }
            ("LayerNormalization", [_, _]) => self.once(names, || loaded(LayerNorm::new(cols), values(&rows))),
            _ => return Err(fault("has an unexpected number of parameters, or is in training mode")),
        };
        Ok((Some(module.map_err(|what| fault(&format!("has {what}")))?), output))
    }

    /// The module of these parameters: a new one, or the one that has them already.
    fn once<M: Module + 'static>(
        &mut self,
        names: Vec<&'a str>,
        new: impl FnOnce() -> Result<M, String>,
    ) -> Result<Box<dyn Module>, String> {
        if let Some(known) = self.shared.get(&names) {
            return Ok(Box::new(known.clone()));
        }
        let module: Arc<dyn Module> = Arc::new(new()?);
        let parameters = module.named_parameters();
        self.numbers += parameters.iter().map(|(_, p)| p.shape().iter().product::<usize>()).sum::<usize>();
        if self.numbers > self.file.bytes {
            return Err("parameters that too many other layers have, too".into());
        }
        self.shared.insert(names, module.clone());
        Ok(Box::new(module))
    }
}

/// A module with these values for its parameters.
fn loaded<M: Module>(module: M, values: Vec<Vec<f32>>) -> Result<M, String> {
    let parameters = module.named_parameters();
    for ((name, parameter), values) in parameters.iter().zip(values) {
        let [rows, cols] = parameter.shape();
        if values.is_empty() || rows.checked_mul(cols) != Some(values.len()) {
            return Err(format!("{} numbers for its {name} of {rows} x {cols}", values.len()));
        }
        parameter.set_loaded(values);
    }
    Ok(module)
}
