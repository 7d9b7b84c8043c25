//! The playground: wgrad in a page. [`Lab`] is a run, with or without a browser; `page` is what JavaScript sees of it.

#[cfg(all(target_arch = "wasm32", feature = "bench"))]
pub mod bench;
pub mod data;
mod export;
mod lab;
#[cfg(target_arch = "wasm32")]
pub mod page;
pub mod spec;
pub mod table;
mod view;

pub use export::layers_in;
pub use lab::{Fault, Lab};
pub use spec::Spec;
pub use view::{Curve, SHOWN, Surface};
