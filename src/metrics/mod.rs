//! What is measured of predictions beside the loss: how classes are told ([`Decision`]), which are taken for which
//! ([`ConfusionMatrix`]), how good scores and probabilities are, and how far off predicted numbers are. All of it runs on
//! the host, in f64.

mod classification;
mod confusion;
mod decision;
mod regression;

pub use classification::{accuracy, balanced_accuracy, log_loss, roc_auc, top_k_accuracy};
pub use confusion::{ConfusionMatrix, Scores};
pub use decision::Decision;
pub use regression::{mae, mape, r2, rmse};
