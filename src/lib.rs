//! Trains and runs small neural networks on any GPU: WGSL compute kernels on wgpu, a module layer that schedules
//! them, and a CPU path that proves every result and serves where there is no GPU.

mod cpu;
pub mod data;
mod device;
mod error;
#[cfg(feature = "gpu")]
mod gpu;
mod kernel;
pub mod nn;
pub mod ops;
pub mod optim;
#[cfg(feature = "plot")]
pub mod plot;
mod recording;
mod tape;
mod tensor;
mod train;

pub use device::{Counters, Device, DeviceInfo, DeviceOptions, PendingRead};
pub use error::{Error, ErrorKind, Result};
pub use kernel::{Call, KERNELS, Kernel, MAX_INPUTS, MAX_OUTPUTS};
pub use recording::{Dispatch, Recording};
pub use tape::{BackwardPass, Graph, Sink, Tape, Var};
pub use tensor::Tensor;
pub use train::{EpochRecord, Fit, History, Metrics, Trainer};
