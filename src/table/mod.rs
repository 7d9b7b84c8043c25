//! From a table to predictions in one call.
//!
//! A [`Classifier`] predicts a column of classes, a [`Regressor`] one of numbers, from all other columns of a
//! [`Table`](crate::data::Table): numbers and categories, with values missing. Columns are told apart, gaps filled in,
//! numbers standardised and categories one-hot encoded; a few small networks are trained, each with another part of the rows
//! held out, and averaged. One file holds all of it.
//!
//! ```
//! use wgrad::Device;
//! use wgrad::data::Table;
//! use wgrad::table::Classifier;
//!
//! # let path = std::env::temp_dir().join("wgrad-doc-penguins.safetensors");
//! let device = Device::auto()?;
//! let (train, test) = Table::read("examples/data/penguins.csv")?.split(0.8, 0)?;
//! let model = Classifier::fit(&device, &train, "species")?;
//! println!("{}accuracy {:.3}", model.summary(), model.score(&test)?);
//! model.save(&path)?;
//!
//! // In another program.
//! let model = Classifier::load(&device, &path)?;
//! let penguin = Table::from_row([
//!     ("island", "Biscoe"), ("bill_length_mm", "46.5"), ("bill_depth_mm", "14"), ("flipper_length_mm", "217"),
//!     ("body_mass_g", ""), ("sex", "female"), ("year", "2008"),
//! ])?;
//! assert_eq!(model.predict(&penguin)?, ["Gentoo"]);
//! # assert!(model.score(&test)? > 0.95);
//! # std::fs::remove_file(path).unwrap();
//! # Ok::<(), wgrad::Error>(())
//! ```

mod classifier;
mod columns;
mod cross_validation;
mod file;
mod fitted;
mod importance;
mod network;
mod preprocess;
mod regressor;
mod settings;

pub use classifier::Classifier;
pub use cross_validation::{CrossValidation, Folds};
pub use importance::Importance;
pub use preprocess::Unknown;
pub use regressor::Regressor;
pub use settings::{Impute, Settings};
