//! Optimizers: algorithms that update parameters by their gradients, and schedules of the learning rate.

mod algorithm;
mod optimizer;
mod schedule;
mod step;

pub use algorithm::{Adam, Algorithm, RmsProp, Settings, Sgd};
pub use optimizer::Optimizer;
pub use schedule::Schedule;
pub(crate) use step::check;
