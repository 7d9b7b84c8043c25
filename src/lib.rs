//! wgrad trains and runs small neural networks on any GPU: readable WGSL kernels on wgpu (Vulkan, Metal, DX12, GL),
//! modules, losses and optimizers on top, and a CPU path that checks every kernel and runs networks where there is no
//! GPU.
//!
//! ```
//! use wgrad::data::{Labels, disk};
//! use wgrad::metrics::Decision;
//! use wgrad::nn::{Linear, Mse, ReLU, Sequential, Tanh};
//! use wgrad::optim::Sgd;
//! use wgrad::{Device, Fit, Trainer};
//!
//! let device = Device::auto()?; // the best GPU, or the CPU; WGRAD_DEVICE=cpu (or llvmpipe, vulkan...) decides
//! let train = disk(1000, 0, Labels::PlusMinusOne)?; // points in a square: inside or outside of a disk?
//! let test = disk(1000, 1, Labels::PlusMinusOne)?;
//!
//! let model = Sequential::new()
//!     .add(Linear::new(2, 25)).add(ReLU)
//!     .add(Linear::new(25, 25)).add(ReLU)
//!     .add(Linear::new(25, 1)).add(Tanh);
//! let loss = Mse::new().decision(Decision::between(-1.0, 1.0)); // an output above 0 says inside
//! let mut trainer = Trainer::new(&device, model, loss, Sgd::new(0.1), 0)?;
//! trainer.fit(&train, Fit::new(100, 20))?;
//!
//! let metrics = trainer.evaluate(&test)?;
//! assert!(metrics.accuracy.unwrap() > 0.9, "{metrics:?}");
//! let inside = trainer.predict(&[0.5, 0.5], 2)?[0] > 0.0;
//! assert!(inside);
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! From the top down:
//! - `table` (a feature) goes from a table to predictions in one call.
//! - [`Trainer`] runs epochs of shuffled mini-batches and evaluates the model; nothing is read back within an epoch. It
//!   blocks; a [`Session`] is its async counterpart.
//! - `export` (feature `export`) takes a trained model elsewhere: as ONNX, or as Rust source without dependencies.
//! - [`nn`] has modules, losses and initialisers, [`optim`] optimizers and learning-rate schedules, [`data`] datasets,
//!   [`metrics`] measures of predictions.
//! - [`Graph`] keeps what was called, as data; [`gradients`] adds the backward pass as calls of the same graph, and
//!   [`lower()`] merges calls and turns them into a [`Recording`]. [`nn::Backprop`] does it for a training loop of your own,
//!   as in PyTorch.
//! - [`ops`] has the kernels, each with a function that pushes its dispatch onto a [`Recording`], which can be printed and
//!   compared, and is replayed every step.
//! - [`Device`] runs recordings on a GPU, or on the CPU by the reference implementation of each [`Kernel`].
//!
//! `docs/GUIDE.md` has recipes for common tasks, `docs/TROUBLESHOOTING.md` explains errors and bad results;
//! [`coming_from_pytorch`] maps PyTorch's names to wgrad's.
//!
//! The same seed on the same device gives the same bits, whatever the number of steps in one submit.
// Tests may panic; the library returns errors.
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

pub mod data;
mod device;
mod error;
#[cfg(feature = "export")]
pub mod export;
mod files;
mod gradient;
mod graph;
mod lower;
pub mod metrics;
pub mod nn;
pub mod ops;
pub mod optim;
#[cfg(feature = "plot")]
pub mod plot;
mod random;
#[cfg(feature = "safetensors")]
mod save;
mod simd;
#[cfg(feature = "table")]
pub mod table;
mod train;

pub use device::{
    Backend, Call, Capabilities, Constants, Counters, Device, DeviceInfo, DeviceKind, DeviceOptions, Dispatch, Field,
    Kernel, MAX_BINDINGS, MAX_INPUTS, MAX_OUTPUTS, PendingRead, Recording, Tensor,
};
pub use error::{Error, ErrorKind, Result};
pub use gradient::gradients;
pub use graph::{Graph, Merge, Node, Operation, Program, Rule, Shape, Var};
pub use lower::{Lowered, Lowering, StepPath, lower};
pub use ops::KERNELS;
#[cfg(feature = "safetensors")]
pub use save::Mismatch;
pub use train::{
    Control, EarlyStopping, Ensemble, EnsemblePrediction, EpochRecord, Exchange, Fit, History, LearningRates, LrFind,
    MetricRecord, Metrics, Monitor, Session, Statistics, StepGradient, Trainer,
};

#[cfg(doc)]
#[doc = include_str!("../docs/COMING_FROM_PYTORCH.md")]
pub mod coming_from_pytorch {}

/// The code in the Markdown pages runs as documentation tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../ARCHITECTURE.md")]
    mod architecture {}
    #[cfg(all(feature = "csv", feature = "export", feature = "ndarray", feature = "safetensors", feature = "table"))]
    #[doc = include_str!("../docs/GUIDE.md")]
    mod guide {}
    #[doc = include_str!("../docs/SCALING.md")]
    mod scaling {}
    #[cfg(feature = "csv")]
    #[doc = include_str!("../docs/TROUBLESHOOTING.md")]
    mod troubleshooting {}
}
