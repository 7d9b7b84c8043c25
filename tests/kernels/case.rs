//! One dispatch with its data, to be run on several devices.

use std::ops::Range;

use wgrad::{Device, Recording, Result as Recorded, Tensor};

use crate::common::{Guarded, compare};

type Record = Box<dyn Fn(&mut Recording, &[&Tensor], &[&Tensor]) -> Recorded<()>>;
/// How far element i may be off, where the reference has this value.
type Tolerance = Box<dyn Fn(usize, f64) -> f64>;

/// A dispatch, what it reads, and what it may write.
pub(crate) struct Case {
    pub(crate) name: String,
    inputs: Vec<([usize; 2], Vec<f32>)>,
    outputs: Vec<Output>,
    steps: Range<u32>,
    dispatches: Option<usize>,
    open_ended: bool,
    record: Record,
}

struct Output {
    shape: [usize; 2],
    /// NaN everywhere if there is nothing that the dispatch adds to.
    before: Option<Vec<f32>>,
    tolerance: Tolerance,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        record: impl Fn(&mut Recording, &[&Tensor], &[&Tensor]) -> Recorded<()> + 'static,
    ) -> Self {
        let record = Box::new(record);
        Self {
            name: name.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            steps: 0..1,
            dispatches: None,
            open_ended: true,
            record,
        }
    }

    pub(crate) fn input(mut self, shape: [usize; 2], values: Vec<f32>) -> Self {
        self.inputs.push((shape, values));
        self
    }

    /// An output that must come out with the reference's values to the bit.
    pub(crate) fn exact(self, shape: [usize; 2]) -> Self {
        self.close(shape, |_, _| 0.0)
    }

    /// An output that may differ from the reference by `tolerance(element, reference value)`.
    pub(crate) fn close(mut self, shape: [usize; 2], tolerance: impl Fn(usize, f64) -> f64 + 'static) -> Self {
        self.outputs.push(Output { shape, before: None, tolerance: Box::new(tolerance) });
        self
    }

    /// What the last output holds before the dispatch.
    pub(crate) fn before(mut self, values: Option<Vec<f32>>) -> Self {
        self.outputs.last_mut().unwrap().before = values;
        self
    }

    pub(crate) fn steps(mut self, steps: Range<u32>) -> Self {
        self.steps = steps;
        self
    }

    /// With tensors bound to their end and no further: the kernel takes their lengths for something.
    pub(crate) fn bound_exactly(mut self, exactly: bool) -> Self {
        self.open_ended = !exactly;
        self
    }

    /// How many dispatches there are.
    pub(crate) fn dispatches(mut self, dispatches: usize) -> Self {
        self.dispatches = Some(dispatches);
        self
    }

    /// How much it reads and writes.
    pub(crate) fn elements(&self) -> usize {
        let shapes = self.inputs.iter().map(|(shape, _)| shape).chain(self.outputs.iter().map(|output| &output.shape));
        shapes.map(|[rows, cols]| rows * cols).sum()
    }

    /// The outputs on this device, of a recording that dispatches `kernel`.
    pub(crate) fn run(&self, kernel: &str, device: &Device) -> Result<Vec<Vec<f32>>, String> {
        self.run_changed(kernel, device, Ok)
    }

    /// The same of a recording that is changed first.
    pub(crate) fn run_changed(
        &self,
        kernel: &str,
        device: &Device,
        change: impl FnOnce(Recording) -> Recorded<Recording>,
    ) -> Result<Vec<Vec<f32>>, String> {
        let inputs: Vec<_> = self.inputs.iter().map(|(shape, values)| Guarded::input(device, *shape, values)).collect();
        let outputs: Vec<_> = self
            .outputs
            .iter()
            .map(|output| match &output.before {
                Some(values) => Guarded::output(device, output.shape, values),
                None => Guarded::poisoned(device, output.shape),
            })
            .collect();
        let tensors = |list: &[Guarded]| list.iter().map(|guarded| guarded.tensor().clone()).collect::<Vec<_>>();
        let (input_tensors, output_tensors) = (tensors(&inputs), tensors(&outputs));
        let input_refs: Vec<_> = input_tensors.iter().collect();
        let output_refs: Vec<_> = output_tensors.iter().collect();

        let mut recording = Recording::new(device);
        let recorded = (self.record)(&mut recording, &input_refs, &output_refs);
        recorded.map_err(|error| error.to_string())?;
        if !recording.to_string().contains(&format!("{kernel} ")) {
            return Err(format!("{kernel} is not among the dispatches:\n{recording}"));
        }
        if self.dispatches.is_some_and(|dispatches| dispatches != recording.len()) {
            return Err(format!("{} dispatches:\n{recording}", recording.len()));
        }
        // The CPU's references take a tensor's end for the end of the work; a shader must know it by itself.
        if self.open_ended && device.describe().kind != wgrad::DeviceKind::Cpu {
            let pairs: Vec<_> = inputs.iter().chain(&outputs).map(|g| (g.tensor(), g.open_ended())).collect();
            recording = recording.rebound(&pairs).map_err(|error| error.to_string())?;
        }
        recording = change(recording).map_err(|error| error.to_string())?;
        recording.run_steps(self.steps.clone()).map_err(|error| error.to_string())?;
        for (input, (_, values)) in inputs.iter().zip(&self.inputs) {
            // Row numbers are stored as bits, so bits are compared.
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            if values.len() < 100_000 && bits(&input.read()?) != bits(values) {
                return Err("an input was changed".into());
            }
        }
        outputs.iter().map(Guarded::read).collect()
    }

    pub(crate) fn compare(&self, actual: &[Vec<f32>], expected: &[Vec<f32>]) -> Result<(), String> {
        assert_eq!(expected.len(), self.outputs.len());
        for (i, output) in self.outputs.iter().enumerate() {
            let tolerance = |element| (output.tolerance)(element, f64::from(expected[i][element]));
            compare(&format!("output {i}"), &actual[i], &expected[i], 0.0, tolerance)?;
        }
        Ok(())
    }
}

/// Sums of magnitudes: what the rounding of a sum is measured by.
pub(crate) fn magnitude<'a>(values: impl IntoIterator<Item = &'a f32>) -> f64 {
    values.into_iter().map(|v| f64::from(v.abs())).sum()
}
