//! Trains a model.

use alloc::vec::Vec;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::model::Model;
use crate::options::TrainerOptions;
use crate::sys::{self, FitReport, Metrics, Progress};
use crate::tensor::{Element, Tensor, Type};

/// An output of a prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The type of each element.
    pub element_type: Type,
    /// The dimensions.
    pub shape: Vec<u32>,
    /// The elements, little-endian.
    pub data: Vec<u8>,
}

impl Output {
    /// The elements, when `T` is their type.
    #[must_use]
    pub fn elements<T: Element>(&self) -> Option<Vec<T>> {
        let bytes = core::mem::size_of::<T>();
        (T::TYPE == self.element_type).then(|| self.data.chunks_exact(bytes).map(T::from_bytes).collect())
    }
}

/// Trains one model, which has at most one trainer at a time. Closed when it is dropped.
#[derive(Debug)]
pub struct Trainer(u32);

impl Trainer {
    /// A trainer of `model`. Owners may override what the options say.
    pub fn new(model: &Model, options: &TrainerOptions) -> Result<Self> {
        Self::from_json(model, &options.to_json())
    }

    /// The same with the options as JSON.
    pub fn from_json(model: &Model, options: &str) -> Result<Self> {
        sys::trainer_create(model.handle(), options).map(Self)
    }

    /// Trains `epochs` more epochs, those of a checkpoint that the owner resumed included, each followed by an evaluation of
    /// `validation`. After early stopping the model has its best epoch's weights. A step that fails leaves no trace; those
    /// before it are kept, and the error says how many, unless `restore_on_error` undoes them. The next call goes on with
    /// the batch that failed.
    pub fn fit(&mut self, train: &Dataset, validation: Option<&Dataset>, epochs: u32) -> Result<FitReport> {
        sys::trainer_fit(self.0, train.handle(), validation.map_or(0, Dataset::handle), epochs)
    }

    /// Trains one epoch. Errors: as `fit`.
    pub fn epoch(&mut self, train: &Dataset) -> Result<Metrics> {
        sys::trainer_epoch(self.0, train.handle())
    }

    /// Trains one batch: [`backward`](Self::backward), then [`apply`](Self::apply).
    pub fn step(&mut self, inputs: &[Tensor<'_>], targets: &[Tensor<'_>]) -> Result<Metrics> {
        sys::trainer_step(self.0, inputs, targets)
    }

    /// Adds the gradient of the batch's mean loss to the trainer's gradients.
    pub fn backward(&mut self, inputs: &[Tensor<'_>], targets: &[Tensor<'_>]) -> Result<Metrics> {
        sys::trainer_backward(self.0, inputs, targets)
    }

    /// One optimizer step with the mean of the gradients that were added since the last one; clears them.
    pub fn apply(&mut self) -> Result<()> {
        sys::trainer_apply(self.0)
    }

    /// Loss and accuracy in evaluation mode.
    pub fn evaluate(&mut self, dataset: &Dataset) -> Result<Metrics> {
        sys::trainer_evaluate(self.0, dataset.handle())
    }

    /// Where the trainer stands: what a loop begins with, since the owner may have resumed a checkpoint.
    pub fn progress(&self) -> Result<Progress> {
        sys::trainer_progress(self.0)
    }

    /// All outputs of the model in evaluation mode.
    pub fn predict(&mut self, inputs: &[Tensor<'_>]) -> Result<Vec<Output>> {
        let count = sys::trainer_predict(self.0, inputs)?;
        let output = |index| {
            let (info, data) = sys::trainer_output(self.0, index)?;
            let shape = info.dims.iter().take(info.rank as usize).copied().collect();
            Ok(Output { element_type: Type::of(info.element_type), shape, data })
        };
        (0..count).map(output).collect()
    }

    /// Changes a hyper-parameter from the next step on: `learning_rate`, `weight_decay`, `momentum`, ...
    pub fn set(&mut self, key: &str, value: f64) -> Result<()> {
        sys::trainer_set(self.0, key, value)
    }

    /// The trainable parameters, one after the other in the model's order.
    pub fn parameters(&self) -> Result<Vec<f32>> {
        sys::trainer_parameters(self.0)
    }

    /// Replaces them; the optimizer's state stays.
    pub fn set_parameters(&mut self, values: &[f32]) -> Result<()> {
        sys::trainer_set_parameters(self.0, values)
    }

    /// The mean of the gradients that were added since the last [`apply`](Self::apply), in the parameters' order.
    pub fn gradients(&self) -> Result<Vec<f32>> {
        sys::trainer_gradients(self.0)
    }

    /// Replaces them: [`apply`](Self::apply) then uses these.
    pub fn set_gradients(&mut self, values: &[f32]) -> Result<()> {
        sys::trainer_set_gradients(self.0, values)
    }

    /// The buffers of floating point, such as batch norm's running statistics, in the model's order. Who averages the
    /// parameters of models averages these too.
    pub fn buffers(&self) -> Result<Vec<f32>> {
        sys::trainer_buffers(self.0)
    }

    /// Replaces them.
    pub fn set_buffers(&mut self, values: &[f32]) -> Result<()> {
        sys::trainer_set_buffers(self.0, values)
    }

    /// The whole state as a safetensors file.
    pub fn checkpoint(&self) -> Result<Vec<u8>> {
        sys::trainer_checkpoint(self.0)
    }

    /// Restores a checkpoint of the same model and options: the run goes on bit by bit as if it had not ended.
    pub fn restore(&mut self, checkpoint: &[u8]) -> Result<()> {
        sys::trainer_restore(self.0, checkpoint)
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        sys::trainer_close(self.0);
    }
}
