//! Metrics of predictions, besides the loss: how outputs are read as classes ([`Decision`]), which classes are confused
//! ([`ConfusionMatrix`]), how good scores and probabilities are, and how far off regressions are. All of it runs on the
//! host, in f64, and heeds the weights of the samples, where [`Dataset::weights`](crate::data::Dataset::weights) has some.

mod classification;
mod confusion;
mod decision;
mod regression;

pub use classification::{accuracy, balanced_accuracy, log_loss, roc_auc, top_k_accuracy};
pub use confusion::{ConfusionMatrix, Scores};
pub use decision::Decision;
pub use regression::{mae, mape, pinball, r2, rmse};
