//! Prediction without training.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::data;
use crate::device::{Device, PendingRead, Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Shape};
use crate::lower::{Lowering, StepPath};
use crate::nn::{Module, Parameters};
use crate::ops::mlp::{PredictPlan, predict, recognise_forward};

/// Samples that go through the model at once.
const CHUNK_ROWS: usize = 4096;
/// Forward passes kept for the next calls: as many as [`room`] has results.
const KEPT: usize = 44;
/// And the most rows that they have in all; one of each come to 26,608.
const KEPT_ROWS: usize = 7 * CHUNK_ROWS;
/// Chunks under way at a time: one is computed while the one before is read.
const IN_FLIGHT: usize = 2;

/// A model for inference: no loss, no optimizer. Clones share the model.
///
/// Calls with any numbers of rows share a few recordings, made when they are first needed: for 1 row to 8, then 10, 12, 14, 16, 20
/// and so on up to 4096. A row's result is the same to the bit whatever other rows are predicted with it. Both hold for models whose
/// operations [keep rows apart](crate::Operation::keeps_rows_apart), as all of wgrad's modules do; others have a recording for
/// each of the most recent numbers of rows.
///
/// ```
/// use wgrad::Device;
/// use wgrad::nn::{Linear, Predictor, Sequential, Tanh};
///
/// let model = Sequential::new().add(Linear::new(2, 3)).add(Tanh);
/// let predictor = Predictor::new(&Device::cpu(), model)?;
/// assert_eq!(predictor.predict(&[0.1, 0.2, 0.3, 0.4], 2)?.len(), 2 * 3);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Predictor {
    model: Arc<dyn Module>,
    parameters: Parameters,
    path: StepPath,
    networks: Arc<Mutex<VecDeque<Network>>>,
}

/// A forward pass.
struct Network {
    input: Tensor,
    output: Tensor,
    forward: Recording,
    /// How and why its dispatches came about.
    how: String,
    /// Whether it is for fewer rows than it has room for, too.
    rows_apart: bool,
}

impl Predictor {
    /// The model on this device, with the values that its parameters have: those of the training that they went through,
    /// or of the file that they come from; initial ones, drawn with seed 0, where they have none yet.
    ///
    /// # Errors
    /// See [`Parameters::new`].
    pub fn new(device: &Device, model: impl Module + 'static) -> Result<Self> {
        let parameters = Parameters::shared(device, &model)?;
        Ok(Self::of(Arc::new(model), parameters))
    }

    /// A model whose parameters are placed.
    pub(crate) fn of(model: Arc<dyn Module>, parameters: Parameters) -> Self {
        Self { model, parameters, path: StepPath::Auto, networks: Arc::default() }
    }

    /// The same model, with predictions that become dispatches in this way: [`StepPath::Auto`] unless set.
    pub fn with_path(self, path: StepPath) -> Self {
        Self { path, networks: Arc::default(), ..self }
    }

    /// How predictions for inputs of so many columns become dispatches, and why.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Predictor, Sequential, Tanh};
    /// use wgrad::{Device, StepPath};
    ///
    /// let model = Sequential::new().add(Linear::new(2, 3)).add(Tanh).add(Linear::new(3, 1));
    /// let predictor = Predictor::new(&Device::cpu(), model)?;
    /// assert!(predictor.path(2)?.starts_with("layered, 2 dispatches"));
    /// assert!(predictor.with_path(StepPath::Fused).path(2)?.starts_with("fused, one dispatch"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Inputs of another width than the model's; with [`StepPath::Fused`] a model that is no chain of linear layers and
    /// activations, or too wide for it.
    pub fn path(&self, input_cols: usize) -> Result<String> {
        Ok(self.network([1, input_cols])?.how)
    }

    /// The model itself.
    #[cfg(feature = "export")]
    pub(crate) fn model(&self) -> &dyn Module {
        &self.model
    }

    /// The model's parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The model's outputs for these inputs [n, i], row by row.
    ///
    /// # Errors
    /// Inputs that are not whole rows, not finite, or of another width than the model's; a lost device.
    pub fn predict(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<f32>> {
        self.parameters.device().block_on("predict", "Predictor::predict_async", self.predict_async(inputs, input_cols))
    }

    /// [`Predictor::predict`] without blocking.
    ///
    /// # Errors
    /// See [`Predictor::predict`].
    pub async fn predict_async(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<f32>> {
        let rows = data::rows("predict", "inputs", inputs, input_cols)?;
        let mut outputs = Vec::new();
        let mut pending: VecDeque<PendingRead> = VecDeque::new();
        for chunk in inputs.chunks(CHUNK_ROWS.min(rows) * input_cols) {
            pending.push_back(self.queue(chunk, [chunk.len() / input_cols, input_cols]).await?);
            while pending.len() >= IN_FLIGHT {
                let Some(read) = pending.pop_front() else { break };
                outputs.extend(read.await?);
            }
        }
        for read in pending {
            outputs.extend(read.await?);
        }
        Ok(outputs)
    }

    /// Has a chunk go through the model; what comes back are its outputs.
    async fn queue(&self, chunk: &[f32], shape: Shape) -> Result<PendingRead> {
        // Taken while it is in use, so that threads don't share one.
        let kept = {
            let mut networks = self.kept();
            let fitting = networks.iter().position(|network| network.is_for(shape));
            fitting.and_then(|fitting| networks.remove(fitting))
        };
        let device = self.parameters.device();
        let network = match kept {
            Some(network) => network,
            None => self.network(shape)?,
        };
        let [input, output] = network.of_rows(shape)?;
        let outputs = device.run_through(&network.forward, (&input, chunk), &output).await?;
        let mut networks = self.kept();
        networks.push_front(network);
        networks.truncate(KEPT);
        let mut rows = 0;
        networks.retain(|network| {
            rows += network.input.rows();
            rows <= KEPT_ROWS
        });
        Ok(outputs)
    }

    /// A new forward pass for these rows.
    fn network(&self, [rows, cols]: Shape) -> Result<Network> {
        let new = |rows| Network::new(self.parameters.device(), &*self.model, [rows, cols], self.path);
        match new(room(rows)) {
            Ok(network) if network.is_for([rows, cols]) => Ok(network),
            // Also if so many rows more do not fit in memory.
            _ => new(rows),
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Network>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Predictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predictor({} parameters on {})", self.parameters.count(), self.parameters.device().name())
    }
}

/// Rows of the recording that serves so many: at most a quarter more, and 4 between a power of two and the next.
fn room(rows: usize) -> usize {
    rows.next_multiple_of((rows.next_power_of_two() / 8).max(1))
}

impl Network {
    fn new(device: &Device, model: &dyn Module, [rows, cols]: Shape, path: StepPath) -> Result<Self> {
        let input = Tensor::zeros(device, rows, cols)?;
        let mut graph = Graph::for_evaluation(device);
        let x = graph.input(&input)?;
        let y = model.forward(&mut graph, x)?;
        let rows_apart = graph.keeps_rows_apart(x, y);
        let layered = |why: String| {
            let lowering = Lowering::default().rows_apart(rows_apart);
            let lowering = if path == StepPath::Unmerged { lowering.rules(&[]) } else { lowering };
            let lowered = lowering.lower(&graph, &[y])?;
            let unwanted = || Error::input("predict", "the model's output is no value of its graph");
            let output = lowered.tensor(y).cloned().ok_or_else(unwanted)?;
            let (input, forward) = (input.clone(), lowered.into_recording());
            let how = format!("layered, {} dispatches: {why}", forward.len());
            Ok(Self { input, output, forward, how, rows_apart })
        };
        if matches!(path, StepPath::Layered | StepPath::Unmerged) {
            return layered("chosen by Predictor::with_path".into());
        }
        let found = recognise_forward(&graph, x, y)
            .and_then(|found| Ok((PredictPlan::new(cols, &found.layers, device.capabilities())?, found)));
        match found {
            Ok((plan, _)) if path == StepPath::Auto && plan.objection().is_some() => {
                layered(plan.objection().unwrap_or_default().into())
            }
            Err(why) if path == StepPath::Auto => layered(why.to_string()),
            Err(error) => Err(error),
            Ok((plan, found)) => {
                let [_, output_cols] = graph.shape(y)?;
                let output = Tensor::zeros(device, rows, output_cols)?;
                let mut forward = Recording::new(device);
                predict(&mut forward, &found.layers, &found.values, &input, &output)?;
                Ok(Self { input, output, forward, how: format!("fused, {plan}"), rows_apart: true })
            }
        }
    }

    fn is_for(&self, [rows, cols]: Shape) -> bool {
        self.input.shape() == [rows, cols] || self.rows_apart && self.input.shape() == [room(rows), cols]
    }

    /// Inputs and outputs of the first rows. Behind them is what the last call has left.
    fn of_rows(&self, [rows, cols]: Shape) -> Result<[Tensor; 2]> {
        let input = self.input.view(0, rows, cols)?;
        let output = if self.rows_apart { self.output.view(0, rows, self.output.cols())? } else { self.output.clone() };
        Ok([input, output])
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_ROWS, KEPT, KEPT_ROWS, Predictor, room};
    use crate::device::{Device, Tensor};
    use crate::error::Result;
    use crate::graph::{Graph, Var};
    use crate::nn::{Linear, Module, Sequential, Tanh};

    /// Each row less the mean of all.
    struct Centred;

    impl Module for Centred {
        fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
            let mean = graph.mean_rows(x)?;
            graph.sub(x, mean)
        }
    }

    #[test]
    fn any_numbers_of_rows_share_a_few_recordings() {
        let mut rooms: Vec<usize> = (1..=CHUNK_ROWS).map(room).collect();
        for (rows, room) in (1..).zip(&rooms) {
            assert!((rows..=rows + rows / 4).contains(room), "{rows}: {room}");
        }
        rooms.dedup();
        assert!(rooms.len() <= KEPT && rooms.iter().sum::<usize>() <= KEPT_ROWS);

        let device = Device::cpu();
        let predictor = Predictor::new(&device, Sequential::new().add(Linear::new(1, 2)).add(Tanh)).unwrap();
        for _ in 0..2 {
            for rows in 1..=5000 {
                assert_eq!(predictor.predict(&vec![0.5; rows], 1).unwrap().len(), 2 * rows);
            }
        }
        assert_eq!(predictor.kept().len(), rooms.len());
    }

    #[test]
    fn rows_that_depend_on_each_other_are_predicted_by_themselves() {
        let model = Sequential::new().add(Centred).add(Linear::new(1, 1));
        let predictor = Predictor::new(&Device::cpu(), model).unwrap();
        // y = x
        let mut values = predictor.parameters().read().unwrap();
        values.fill(0.0);
        values[0] = 1.0;
        predictor.parameters().write(&values).unwrap();
        for rows in 1..=100 {
            let mut x = vec![-1.0; rows];
            x[rows / 2] = (rows - 1) as f32;
            assert_eq!(predictor.predict(&x, 1).unwrap(), x, "{rows}");
        }
        assert!(predictor.kept().len() <= KEPT);
        assert_eq!(predictor.predict(&[1.0; 4096], 1).unwrap(), [0.0; 4096]);
    }

    #[test]
    fn what_is_added_up_is_no_row() {
        let device = Device::cpu();
        let x = Tensor::zeros(&device, 4, 4).unwrap();
        let table = Tensor::zeros(&device, 4, 4).unwrap();
        type Call = fn(&mut Graph, Var, Var) -> Result<Var>;
        let cases: [(bool, Call); 9] = [
            (true, |graph, x, w| graph.matmul(x, w)),
            (false, |graph, x, w| graph.matmul(w, x)),
            (false, |graph, x, _| graph.matmul(x, x)),
            (false, |graph, x, _| graph.transpose(x)),
            (false, |graph, x, w| graph.add(x, w)),
            (true, |graph, x, _| graph.mul(x, x)),
            (true, |graph, x, _| {
                let sum = graph.sum_cols(x)?;
                graph.div(x, sum)
            }),
            (false, |graph, x, _| {
                let sum = graph.sum_rows(x)?;
                graph.div(x, sum)
            }),
            (false, |graph, _, w| graph.relu(w)),
        ];
        for (i, (expected, call)) in cases.into_iter().enumerate() {
            let mut graph = Graph::for_evaluation(&device);
            let (x, table) = (graph.input(&x).unwrap(), graph.input(&table).unwrap());
            let y = call(&mut graph, x, table).unwrap();
            assert_eq!(graph.keeps_rows_apart(x, y), expected, "case {i}");
        }
    }
}
