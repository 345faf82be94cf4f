//! The options of a trainer, and the JSON text that the host reads.
//!
//! What is `None` or empty is left out: the host has the defaults (docs/training-abi.md#options) and judges the values.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::json::Object;

/// Parameters that are trained in another way than the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterGroup {
    /// A pattern of their names: `*.bias`.
    pub parameters: String,
    /// Instead of the optimizer's.
    pub learning_rate: Option<f64>,
    /// Instead of the optimizer's.
    pub weight_decay: Option<f64>,
}

impl ParameterGroup {
    fn to_object(&self) -> Object {
        Object::default()
            .add("parameters", Some(self.parameters.as_str()))
            .add("learning_rate", self.learning_rate)
            .add("weight_decay", self.weight_decay)
    }
}

/// How parameters are updated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Optimizer {
    /// A name that docs/training-abi.md lists, such as `adamw`; empty: the host's default.
    pub name: String,
    // [generated: fields optimizer]
    /// Step size, which a schedule scales.
    pub learning_rate: Option<f64>,
    /// L2 penalty; decoupled for adamw, lion and lamb.
    pub weight_decay: Option<f64>,
    /// Smoothing of the gradient's mean (adam, adamw, nadam, radam, lion, lamb).
    pub beta1: Option<f64>,
    /// Smoothing of the gradient's square, or lion's later one of the mean (adam, adamw, nadam, radam, lion,
    /// lamb).
    pub beta2: Option<f64>,
    /// Added to the divisor (adam, adamw, rmsprop, adagrad, nadam, radam, lamb).
    pub epsilon: Option<f64>,
    /// Divide by the largest square so far (adam, adamw).
    pub amsgrad: Option<bool>,
    /// How fast the momentum approaches beta1 (nadam).
    pub momentum_decay: Option<f64>,
    /// Share of the previous step that is kept (sgd, rmsprop).
    pub momentum: Option<f64>,
    /// Nesterov's momentum; needs momentum above 0 and no dampening (sgd).
    pub nesterov: Option<bool>,
    /// Share of a gradient that momentum leaves out (sgd).
    pub dampening: Option<f64>,
    /// Smoothing of the gradient's square (rmsprop).
    pub alpha: Option<f64>,
    // [/generated]
    /// Parameters of their own; the first pattern that matches counts.
    pub groups: Vec<ParameterGroup>,
}

impl Optimizer {
    /// An optimizer with the host's defaults.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }

    fn to_object(&self) -> Object {
        let name = Some(self.name.as_str()).filter(|name| !name.is_empty());
        let object = Object::default().add("name", name);
        // [generated: members optimizer]
        let object = object.add("learning_rate", self.learning_rate);
        let object = object.add("weight_decay", self.weight_decay);
        let object = object.add("beta1", self.beta1);
        let object = object.add("beta2", self.beta2);
        let object = object.add("epsilon", self.epsilon);
        let object = object.add("amsgrad", self.amsgrad);
        let object = object.add("momentum_decay", self.momentum_decay);
        let object = object.add("momentum", self.momentum);
        let object = object.add("nesterov", self.nesterov);
        let object = object.add("dampening", self.dampening);
        let object = object.add("alpha", self.alpha);
        // [/generated]
        let groups: Vec<Object> = self.groups.iter().map(ParameterGroup::to_object).collect();
        object.add("groups", Some(groups.as_slice()).filter(|groups| !groups.is_empty()))
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
    /// A name that docs/training-abi.md lists, such as `cosine`.
    pub name: String,
    // [generated: fields schedule]
    /// Epochs of linear warm-up from 0, before any schedule.
    pub warmup_epochs: Option<u32>,
    /// Epochs between two decays (step).
    pub step_epochs: Option<u32>,
    /// Factor of each decay (step, exponential, plateau).
    pub gamma: Option<f64>,
    /// Factor of the learning rate that is reached at the end of the run (cosine, linear).
    pub minimum_factor: Option<f64>,
    /// Share of the run after which the learning rate is highest (one_cycle).
    pub peak_at: Option<f64>,
    /// The first learning rate is the highest divided by this (one_cycle).
    pub start_divisor: Option<f64>,
    /// The last learning rate is the first divided by this (one_cycle).
    pub end_divisor: Option<f64>,
    /// Epochs in a row without a loss lower by a ten-thousandth before a decay (plateau).
    pub plateau_patience: Option<u32>,
    // [/generated]
}

impl Schedule {
    fn to_object(&self) -> Object {
        let object = Object::default().add("name", Some(self.name.as_str()));
        // [generated: members schedule]
        let object = object.add("warmup_epochs", self.warmup_epochs);
        let object = object.add("step_epochs", self.step_epochs);
        let object = object.add("gamma", self.gamma);
        let object = object.add("minimum_factor", self.minimum_factor);
        let object = object.add("peak_at", self.peak_at);
        let object = object.add("start_divisor", self.start_divisor);
        let object = object.add("end_divisor", self.end_divisor);
        let object = object.add("plateau_patience", self.plateau_patience);
        // [/generated]
        object
    }
}

/// When [`crate::Trainer::fit`] ends before its last epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    // [generated: fields early_stopping]
    /// Epochs without improvement of the validation loss, or else the training loss, before stopping; 0 never
    /// stops.
    pub patience: u32,
    /// What counts as an improvement.
    pub min_delta: f64,
    /// Stopped early, the model has the weights and buffers of its best epoch.
    pub restore_best: bool,
    // [/generated]
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self {
            // [generated: defaults early_stopping]
            patience: 3,
            min_delta: 0.0,
            restore_best: true,
            // [/generated]
        }
    }
}

impl EarlyStopping {
    fn to_object(self) -> Object {
        let object = Object::default();
        // [generated: members early_stopping]
        let object = object.add("patience", Some(self.patience));
        let object = object.add("min_delta", Some(self.min_delta));
        let object = object.add("restore_best", Some(self.restore_best));
        // [/generated]
        object
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
    // [generated: fields trainer]
    /// Patterns of the parameters and running statistics that stay as they are.
    pub freeze: Vec<String>,
    /// Low-rank branches that are trained in place of the weights: PATTERN:RANK or PATTERN:RANK:ALPHA.
    pub lora: Vec<String>,
    /// Weight of each class; the mean is over the weights (cross_entropy, cross_entropy_probabilities, nll).
    pub class_weights: Option<Vec<f64>>,
    /// Class index of the targets that do not count (cross_entropy, cross_entropy_probabilities, nll).
    pub ignore_index: Option<i32>,
    /// Share of each target that is spread over all classes (cross_entropy).
    pub label_smoothing: Option<f64>,
    /// Weight of the positive targets of each output in the last dimension, or one for all (bce_with_logits).
    pub pos_weight: Option<Vec<f64>>,
    /// Difference from which the loss is linear (huber).
    pub huber_delta: Option<f64>,
    /// How much less a target counts that is already predicted well (focal).
    pub focal_gamma: Option<f64>,
    /// Weight of positive targets; negative ones have 1 - this (focal).
    pub focal_alpha: Option<f64>,
    /// Passes over the training set, counting those before a resume.
    pub epochs: Option<u32>,
    /// Samples a step; the last batch of an epoch may be smaller.
    pub batch_size: Option<u32>,
    /// Rows of a prediction that are computed at a time; a model that looks across rows needs them all.
    pub predict_batch_size: Option<u32>,
    /// Batches an epoch.
    pub batches_per_epoch: Option<u32>,
    /// Leave out the last batch of an epoch when it is smaller than the others.
    pub drop_last: Option<bool>,
    /// A new order each epoch, drawn from the seed.
    pub shuffle: Option<bool>,
    /// Epochs that fail undo their steps, which takes a copy of the state, instead of keeping those
    /// completed.
    pub restore_on_error: Option<bool>,
    /// Where order and dropout start.
    pub seed: Option<u64>,
    /// Threads of the training host; 0 takes as many as the process may use.
    pub threads: Option<u32>,
    /// Type that a training step multiplies in; bf16 pays on CPUs with AMX or AVX-512 BF16.
    pub precision: Option<String>,
    /// Run the model's graph rewritten for speed; without, PyTorch's operators one by one.
    pub rewrites: Option<bool>,
    /// Batches whose mean gradient makes one optimizer step.
    pub accumulate: Option<u32>,
    /// Largest L2 norm of all gradients together.
    pub clip_norm: Option<f64>,
    /// Largest absolute value of a gradient element.
    pub clip_value: Option<f64>,
    /// k of the second accuracy.
    pub top_k: Option<u32>,
    // [/generated]
    /// When `fit` ends early.
    pub early_stopping: Option<EarlyStopping>,
    /// What happens to inputs first.
    pub inputs: Vec<Input>,
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
        let inputs = self.inputs.iter().fold(Object::default(), |inputs, input| {
            let value = Object::default().add("scale", input.scale).add("offset", input.offset);
            inputs.add(&input.input, Some(value))
        });
        let object = object.add("schedule", self.schedule.as_ref().map(Schedule::to_object));
        // [generated: members trainer]
        let object = object.add("freeze", Some(self.freeze.as_slice()).filter(|texts| !texts.is_empty()));
        let object = object.add("lora", Some(self.lora.as_slice()).filter(|texts| !texts.is_empty()));
        let object = object.add("class_weights", self.class_weights.as_deref());
        let object = object.add("ignore_index", self.ignore_index);
        let object = object.add("label_smoothing", self.label_smoothing);
        let object = object.add("pos_weight", self.pos_weight.as_deref());
        let object = object.add("huber_delta", self.huber_delta);
        let object = object.add("focal_gamma", self.focal_gamma);
        let object = object.add("focal_alpha", self.focal_alpha);
        let object = object.add("epochs", self.epochs);
        let object = object.add("batch_size", self.batch_size);
        let object = object.add("predict_batch_size", self.predict_batch_size);
        let object = object.add("batches_per_epoch", self.batches_per_epoch);
        let object = object.add("drop_last", self.drop_last);
        let object = object.add("shuffle", self.shuffle);
        let object = object.add("restore_on_error", self.restore_on_error);
        let object = object.add("seed", self.seed);
        let object = object.add("threads", self.threads);
        let object = object.add("precision", self.precision.as_deref());
        let object = object.add("rewrites", self.rewrites);
        let object = object.add("accumulate", self.accumulate);
        let object = object.add("clip_norm", self.clip_norm);
        let object = object.add("clip_value", self.clip_value);
        let object = object.add("top_k", self.top_k);
        // [/generated]
        object
            .add("early_stopping", self.early_stopping.map(|stopping| stopping.to_object()))
            .add("inputs", Some(inputs).filter(|_| !self.inputs.is_empty()))
            .finish()
    }
}
