//! Tensors between guard rows.

use wgrad::{Device, Tensor};

/// Elements on either side; views start at multiples of it.
const GUARD: usize = 64;

/// A tensor in the middle of a larger buffer whose other values are a NaN of their own: reading beyond the tensor
/// spoils results, and writing beyond it shows, even if what is written was read beyond an input.
pub(crate) struct Guarded {
    guard: u32,
    whole: Tensor,
    middle: Tensor,
    open_ended: Tensor,
}

/// NaN around inputs, and around what may be written.
const INPUT: u32 = 0x7fc0_1bad;
const OUTPUT: u32 = 0x7fc0_5afe;

impl Guarded {
    /// An input.
    pub(crate) fn input(device: &Device, shape: [usize; 2], values: &[f32]) -> Self {
        Self::within(INPUT, device, shape, values)
    }

    /// What is written to, and holds these values.
    pub(crate) fn output(device: &Device, shape: [usize; 2], values: &[f32]) -> Self {
        Self::within(OUTPUT, device, shape, values)
    }

    fn within(guard: u32, device: &Device, [rows, cols]: [usize; 2], values: &[f32]) -> Self {
        assert_eq!(values.len(), rows * cols);
        let mut all = vec![f32::from_bits(guard); GUARD + values.len() + GUARD];
        all[GUARD..GUARD + values.len()].copy_from_slice(values);
        let whole = Tensor::new(device, 1, all.len(), &all).unwrap();
        let middle = whole.view(GUARD, rows, cols).unwrap();
        let open_ended = whole.view(GUARD, 1, values.len() + GUARD).unwrap();
        Self { guard, whole, middle, open_ended }
    }

    /// Full of NaN: what a kernel leaves out stays NaN, and so does what it adds to.
    pub(crate) fn poisoned(device: &Device, shape: [usize; 2]) -> Self {
        Self::output(device, shape, &vec![f32::NAN; shape[0] * shape[1]])
    }

    /// The tensor in the middle.
    pub(crate) fn tensor(&self) -> &Tensor {
        &self.middle
    }

    /// The tensor and the guard behind it: software drivers let nothing be written beyond what is bound, and so hide a
    /// kernel that does not know where to stop.
    pub(crate) fn open_ended(&self) -> &Tensor {
        &self.open_ended
    }

    /// The tensor and its guards.
    pub(crate) fn whole(&self) -> &Tensor {
        &self.whole
    }

    /// The values, unless a guard was written to.
    pub(crate) fn read(&self) -> Result<Vec<f32>, String> {
        let mut all = self.whole.read().map_err(|error| error.to_string())?;
        let end = GUARD + self.middle.len();
        let touched = |i: &usize| all[*i].to_bits() != self.guard;
        if let Some(i) = (0..GUARD).chain(end..all.len()).find(touched) {
            let place = i as i64 - GUARD as i64;
            return Err(format!("element {place} of {:?}, outside of it, was set to {:e}", self.middle, all[i]));
        }
        all.truncate(end);
        all.drain(..GUARD);
        Ok(all)
    }
}
