//! The options of a trainer, and the JSON text that the host reads.
//!
//! What is `None` or empty is left out: the host has the defaults (docs/training-abi.md#options) and judges the values.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::json::Object;

/// How parameters are updated.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    /// `adam`, `adamw`, `rmsprop` or `sgd`.
    pub name: String,
    /// The base step size.
    pub learning_rate: Option<f64>,
    /// L2 penalty; decoupled for `adamw`.
    pub weight_decay: Option<f64>,
    /// Of `adam` and `adamw`.
    pub beta1: Option<f64>,
    /// Of `adam` and `adamw`.
    pub beta2: Option<f64>,
    /// Of `adam`, `adamw` and `rmsprop`.
    pub epsilon: Option<f64>,
    /// Of `sgd` and `rmsprop`.
    pub momentum: Option<f64>,
    /// Of `sgd` with momentum.
    pub nesterov: Option<bool>,
    /// Smoothing of `rmsprop`.
    pub alpha: Option<f64>,
}

impl Optimizer {
    /// An optimizer with the host's defaults.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_string(),
            learning_rate: None,
            weight_decay: None,
            beta1: None,
            beta2: None,
            epsilon: None,
            momentum: None,
            nesterov: None,
            alpha: None,
        }
    }

    fn to_object(&self) -> Object {
        Object::default()
            .add("name", Some(self.name.as_str()))
            .add("learning_rate", self.learning_rate)
            .add("weight_decay", self.weight_decay)
            .add("beta1", self.beta1)
            .add("beta2", self.beta2)
            .add("epsilon", self.epsilon)
            .add("momentum", self.momentum)
            .add("nesterov", self.nesterov)
            .add("alpha", self.alpha)
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::new("adam")
    }
}

/// The loss of one output, or of the whole model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loss {
    /// `cross_entropy`, `mse`, ...; `model` when the model itself returns its loss.
    pub name: String,
    /// The output's name or position; empty: the model has one output.
    pub output: String,
    /// Its factor in the sum of losses.
    pub weight: Option<f64>,
}

impl Loss {
    /// The loss of a model with one output.
    #[must_use]
    pub fn of_model(name: &str) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }

    /// The loss of one output among several.
    #[must_use]
    pub fn of_output(output: &str, name: &str) -> Self {
        Self { name: name.to_string(), output: output.to_string(), weight: None }
    }
}

/// The learning rate over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    /// `constant`, `step` or `cosine`.
    pub name: String,
    /// Epochs of linear warm-up.
    pub warmup_epochs: Option<u32>,
    /// `step`: epochs between two steps.
    pub step_epochs: Option<u32>,
    /// `step`: factor of each step.
    pub gamma: Option<f64>,
    /// `cosine`: factor reached at the end.
    pub minimum_factor: Option<f64>,
}

/// When [`crate::Trainer::fit`] ends before its last epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    /// Epochs without improvement.
    pub patience: u32,
    /// What counts as one.
    pub min_delta: f64,
    /// Whether the model ends with the weights of its best epoch.
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 3, min_delta: 0.0, restore_best: true }
    }
}

/// An input becomes x * scale + offset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// Its name or position.
    pub input: String,
    /// The factor.
    pub scale: Option<f64>,
    /// What is added.
    pub offset: Option<f64>,
}

/// Everything that [`crate::Trainer::new`] can be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainerOptions {
    /// The update rule.
    pub optimizer: Optimizer,
    /// One for the whole model, or one for each output that counts.
    pub loss: Vec<Loss>,
    /// The learning rate over time.
    pub schedule: Option<Schedule>,
    /// What schedules count with.
    pub epochs: Option<u32>,
    /// Rows in a batch.
    pub batch_size: Option<u32>,
    /// Batches in an epoch, in place of all.
    pub batches_per_epoch: Option<u32>,
    /// Whether each epoch has a new order.
    pub shuffle: Option<bool>,
    /// Of order and dropout.
    pub seed: Option<u64>,
    /// Threads on the host; 0: all.
    pub threads: Option<u32>,
    /// Batches in an optimizer step.
    pub accumulate: Option<u32>,
    /// Largest L2 norm of all gradients together.
    pub clip_norm: Option<f64>,
    /// Largest absolute gradient element.
    pub clip_value: Option<f64>,
    /// k of the second accuracy.
    pub top_k: Option<u32>,
    /// When `fit` ends early.
    pub early_stopping: Option<EarlyStopping>,
    /// What happens to inputs first.
    pub inputs: Vec<Input>,
    /// Patterns of the names of parameters that are not trained, such as `features.*`.
    pub freeze: Vec<String>,
}

impl TrainerOptions {
    /// The text that the host reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        let object = Object::default().add("optimizer", Some(self.optimizer.to_object()));
        let object = match self.loss.as_slice() {
            [] => object,
            [only] if only.output.is_empty() && only.weight.is_none() => {
                object.add("loss", Some(only.name.as_str()))
            }
            losses => {
                let outputs = losses.iter().fold(Object::default(), |outputs, loss| {
                    let value =
                        Object::default().add("name", Some(loss.name.as_str())).add("weight", loss.weight);
                    outputs.add(&loss.output, Some(value))
                });
                object.add("loss", Some(outputs))
            }
        };
        let schedule = self.schedule.as_ref().map(|schedule| {
            Object::default()
                .add("name", Some(schedule.name.as_str()))
                .add("warmup_epochs", schedule.warmup_epochs)
                .add("step_epochs", schedule.step_epochs)
                .add("gamma", schedule.gamma)
                .add("minimum_factor", schedule.minimum_factor)
        });
        let stopping = self.early_stopping.map(|stopping| {
            Object::default()
                .add("patience", Some(stopping.patience))
                .add("min_delta", Some(stopping.min_delta))
                .add("restore_best", Some(stopping.restore_best))
        });
        let inputs = self.inputs.iter().fold(Object::default(), |inputs, input| {
            let value = Object::default().add("scale", input.scale).add("offset", input.offset);
            inputs.add(&input.input, Some(value))
        });
        object
            .add("schedule", schedule)
            .add("epochs", self.epochs)
            .add("batch_size", self.batch_size)
            .add("batches_per_epoch", self.batches_per_epoch)
            .add("shuffle", self.shuffle)
            .add("seed", self.seed)
            .add("threads", self.threads)
            .add("accumulate", self.accumulate)
            .add("clip_norm", self.clip_norm)
            .add("clip_value", self.clip_value)
            .add("top_k", self.top_k)
            .add("early_stopping", stopping)
            .add("inputs", Some(inputs).filter(|_| !self.inputs.is_empty()))
            .add("freeze", Some(self.freeze.as_slice()).filter(|patterns| !patterns.is_empty()))
            .finish()
    }
}
