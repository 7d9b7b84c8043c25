//! A recording with other tensors, or another kernel.

use super::{Dispatch, Recording};
use crate::device::Runner;
use crate::device::kernel::Kernel;
use crate::device::tensor::Tensor;
use crate::error::{Error, Result};

impl Recording {
    /// The same dispatches on other tensors: of each pair the second takes the place of the first, and views of the first
    /// become views of the second. It may be longer: kernels keep to the sizes they were recorded with, and on a GPU are given
    /// all of it.
    ///
    /// ```
    /// use wgrad::{Device, Recording, Tensor, ops};
    ///
    /// let device = Device::cpu();
    /// let (one, other) = (Tensor::new(&device, 1, 2, &[1.0, 2.0])?, Tensor::new(&device, 1, 2, &[3.0, 4.0])?);
    /// let sum = Tensor::zeros(&device, 1, 1)?;
    /// let mut recording = Recording::new(&device);
    /// ops::reduce::sum(&mut recording, &one, 1.0, &sum)?;
    /// recording.rebound(&[(&one, &other)])?.run()?;
    /// assert_eq!(sum.read()?, [7.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A tensor that is shorter than the one it replaces, of another device, or of a buffer that the dispatch writes;
    /// one to be replaced that is only a part of what a dispatch binds as a whole: a merged dispatch may write a
    /// weight's and a bias's gradients as one range of memory.
    pub fn rebound(&self, pairs: &[(&Tensor, &Tensor)]) -> Result<Self> {
        if let Some((from, to)) = pairs.iter().find(|(from, to)| to.len() < from.len()) {
            return Err(Error::shape("rebound", format!("{to:?} in place of {from:?}; give one at least as long")));
        }
        let mut recording = Self::new(&self.device);
        // References take the end of a tensor for the end of the work.
        let longer = !matches!(self.device.runner(), Runner::Cpu(_));
        for dispatch in &self.dispatches {
            let replaced = |tensors: &[Tensor]| -> Result<Vec<Tensor>> {
                tensors.iter().map(|tensor| replace(tensor, pairs, longer)).collect()
            };
            let (inputs, outputs) = (replaced(&dispatch.inputs)?, replaced(&dispatch.outputs)?);
            let [bound_inputs, bound_outputs] = [&inputs, &outputs].map(|tensors| tensors.iter().collect::<Vec<_>>());
            recording.check_tensors(dispatch.kernel, &bound_inputs, &bound_outputs)?;
            recording.dispatches.push(Dispatch { inputs, outputs, ..dispatch.clone() });
        }
        Ok(recording)
    }

    /// The same dispatches, with `to` in place of the kernel `from`: to try a changed shader on a whole training's recording.
    ///
    /// ```
    /// use wgrad::{Device, KERNELS, Kernel, Recording, Tensor, ops};
    ///
    /// let device = Device::cpu();
    /// let x = Tensor::zeros(&device, 2, 2)?;
    /// let mut recording = Recording::new(&device);
    /// ops::fill::fill(&mut recording, 1.5, &x)?;
    ///
    /// let fill: &'static Kernel = KERNELS.iter().find(|kernel| kernel.name == "fill.fill").unwrap();
    /// let changed = fill.wgsl.replace("params.value", "(2.0 * params.value)");
    /// let changed: &'static Kernel = Box::leak(Box::new(fill.with_wgsl(changed.leak())));
    /// recording.replacing(fill, changed)?.run()?;
    /// // The CPU path calls the reference implementation, which is the same.
    /// assert_eq!(x.read()?, [1.5; 4]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Kernels that differ in their inputs, outputs, parameters or steps.
    pub fn replacing(&self, from: &Kernel, to: &'static Kernel) -> Result<Self> {
        let signature =
            |kernel: &Kernel| (kernel.inputs, kernel.outputs, kernel.params_size, kernel.uses_step, kernel.runs_steps);
        if signature(from) != signature(to) {
            let detail = format!("{to:?} in place of {from:?}, which has other inputs, outputs, parameters or steps");
            return Err(Error::input("replacing", detail));
        }
        let mut recording = Self::of(&self.device, self.dispatches.clone());
        for dispatch in recording.dispatches.iter_mut().filter(|dispatch| std::ptr::eq(dispatch.kernel, from)) {
            dispatch.kernel = to;
        }
        Ok(recording)
    }
}

/// What takes a tensor's place.
fn replace(tensor: &Tensor, pairs: &[(&Tensor, &Tensor)], longer: bool) -> Result<Tensor> {
    for (from, to) in pairs {
        if longer && tensor.is(from) {
            return Ok((*to).clone());
        }
        if let Some(moved) = tensor.moved(from, to) {
            return Ok(moved);
        }
        if tensor.overlaps(from) {
            let detail =
                format!("a dispatch takes {tensor:?} as a whole, of which {from:?} is a part; replace the whole");
            return Err(Error::input("rebound", detail));
        }
    }
    Ok(tensor.clone())
}
