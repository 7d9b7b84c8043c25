//! One training of a [`wgrad`] model on several machines, over MPI: each rank holds its rows, and the gradients of all
//! are added up after every step.
#![doc = include_str!("../README.md")]

mod lost;
mod ranks;
mod wire;
mod world;

pub use world::World;
