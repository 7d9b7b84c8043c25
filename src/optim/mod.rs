//! Optimisers: rules that change parameters by their gradients, and schedules of the learning rate.

mod optimizer;
mod rules;
mod schedule;

pub use optimizer::Optimizer;
pub use rules::{Adam, RmsProp, Rule, Settings, Sgd};
pub use schedule::Schedule;
