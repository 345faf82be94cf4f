//! Train neural networks from inside a WebAssembly sandbox.
//!
//! A guest loads a [`Model`], streams rows into a [`Dataset`], and drives a [`Trainer`] with a loop of its own. All three
//! live on the host and are closed when they are dropped; the guest holds their handles.
//!
//! ```no_run
//! use wasmgrad::{Dataset, Loss, Model, Tensor, Trainer, TrainerOptions};
//!
//! fn main() -> wasmgrad::Result<()> {
//!     let model = Model::load_by_name("model.pt")?;
//!     let mut points = Dataset::new()?;
//!     let (inputs, targets) = ([0.5f32; 64 * 8], [1.0f32; 64]);
//!     points.append(&[Tensor::new(&inputs, &[64, 8])], &[Tensor::new(&targets, &[64, 1])])?;
//!
//!     let options = TrainerOptions { loss: vec![Loss::of_model("mse")], ..TrainerOptions::default() };
//!     let mut trainer = Trainer::new(&model, &options)?;
//!     println!("loss {:.4}", trainer.epoch(&points)?.loss);
//!     Ok(())
//! }
//! ```
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod dataset;
mod error;
mod json;
mod model;
mod options;
mod sys;
mod tensor;
mod trainer;

pub use dataset::Dataset;
pub use error::{Errno, Error, Result};
pub use model::{Encoding, Model};
pub use options::{EarlyStopping, Input, Loss, Optimizer, ParameterGroup, Schedule, TrainerOptions};
pub use sys::{
    last_error, process_group, run_config, run_report, FitReport, Metrics, ProcessGroup, Progress,
};
pub use tensor::{Bf16, Element, Half, Tensor, Type};
pub use trainer::{Output, Trainer};
