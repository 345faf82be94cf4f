//! Calls everything that the Rust SDK has of `wasmgrad:training@0.1` and prints what came back, a line a result. The guests
//! sdk_tour_* in the other languages print the same lines.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;

use wasmgrad::{
    last_error, run_config, run_report, Bf16, Dataset, EarlyStopping, Encoding, Half, Input, Loss, Model,
    Optimizer, ParameterGroup, Schedule, Tensor, Trainer, TrainerOptions, Type,
};

const ROWS: u32 = 12;
const FEATURES: u32 = 4;

/// Rows from `first` on, as the tensors of a model with an input `x` and the outputs `class` and `value`.
struct Rows {
    features: Vec<f32>,
    values: Vec<f32>,
    classes: Vec<i64>,
    shapes: [[u32; 2]; 2],
}

impl Rows {
    fn new(first: u32, rows: u32) -> Self {
        let feature = |i: u32| (i * 7 % 13) as f32 / 13.0 - 0.5;
        Self {
            features: (first * FEATURES..(first + rows) * FEATURES).map(feature).collect(),
            values: (first..first + rows).map(|i| (i % 2) as f32).collect(),
            classes: (first..first + rows).map(|i| i64::from(i % 3)).collect(),
            shapes: [[rows, FEATURES], [rows, 1]],
        }
    }

    fn inputs(&self) -> [Tensor<'_>; 1] {
        [Tensor::new(&self.features, &self.shapes[0]).named("x")]
    }

    fn targets(&self) -> [Tensor<'_>; 2] {
        let values = Tensor::new(&self.values, &self.shapes[1]).named("value");
        [values, Tensor::new(&self.classes, &self.shapes[1][..1]).named("class")]
    }
}

fn show<T: Copy + Into<f64>>(name: &str, values: &[T]) {
    let texts: Vec<String> = values.iter().map(|&value| format!(" {:.6}", value.into())).collect();
    println!("{}{}", name, texts.concat());
}

fn losses() -> Vec<Loss> {
    let value = Loss { weight: Some(0.5), ..Loss::of_output("value", "mse") };
    vec![Loss::of_output("class", "cross_entropy"), value]
}

fn show_options(model: &Model) -> wasmgrad::Result<()> {
    let all = TrainerOptions {
        optimizer: Optimizer {
            learning_rate: Some(0.01),
            weight_decay: Some(0.1),
            beta1: Some(0.8),
            beta2: Some(0.9),
            epsilon: Some(1e-6),
            ..Optimizer::new("adamw")
        },
        loss: losses(),
        schedule: Some(Schedule {
            name: "cosine".into(),
            warmup_epochs: Some(1),
            minimum_factor: Some(0.1),
            ..Schedule::default()
        }),
        epochs: Some(5),
        batch_size: Some(4),
        predict_batch_size: Some(3),
        batches_per_epoch: Some(2),
        drop_last: Some(true),
        shuffle: Some(true),
        seed: Some(7),
        restore_on_error: Some(true),
        precision: Some("f32".into()),
        rewrites: Some(true),
        threads: Some(1),
        accumulate: Some(2),
        clip_norm: Some(1.5),
        clip_value: Some(0.5),
        top_k: Some(2),
        early_stopping: Some(EarlyStopping {
            min_delta: 0.01,
            restore_best: false,
            ..EarlyStopping::default()
        }),
        inputs: vec![Input { input: "x".into(), scale: Some(0.5), offset: Some(1.0) }],
        freeze: vec!["regressor.*".into()],
        ..TrainerOptions::default()
    };
    let steps = TrainerOptions {
        optimizer: Optimizer { momentum: Some(0.9), nesterov: Some(true), ..Optimizer::new("sgd") },
        loss: vec![Loss::of_model("cross_entropy")],
        schedule: Some(Schedule {
            name: "step".into(),
            step_epochs: Some(2),
            gamma: Some(0.5),
            ..Schedule::default()
        }),
        ..TrainerOptions::default()
    };
    let smoothed = TrainerOptions {
        optimizer: Optimizer { momentum: Some(0.5), alpha: Some(0.9), ..Optimizer::new("rmsprop") },
        ..TrainerOptions::default()
    };
    let head = ParameterGroup {
        parameters: "regressor.*".into(),
        weight_decay: Some(0.5),
        ..ParameterGroup::default()
    };
    let weighted = TrainerOptions {
        optimizer: Optimizer {
            groups: vec![
                ParameterGroup {
                    parameters: "*.bias".into(),
                    learning_rate: Some(0.001),
                    weight_decay: Some(0.0),
                },
                head,
            ],
            ..Optimizer::new("adamw")
        },
        loss: vec![Loss::of_model("cross_entropy")],
        class_weights: Some(vec![1.0, 0.5, 2.0]),
        ignore_index: Some(-1),
        label_smoothing: Some(0.1),
        pos_weight: Some(vec![3.0]),
        huber_delta: Some(0.5),
        focal_gamma: Some(1.5),
        focal_alpha: Some(0.75),
        ..TrainerOptions::default()
    };
    for options in [all, steps, smoothed, weighted] {
        println!("options {}", options.to_json());
        Trainer::new(model, &options)?;
    }
    // No trainer of it: the model would keep its branches.
    let adapted = TrainerOptions {
        optimizer: Optimizer::new("sgd"),
        lora: vec!["classifier.*:2:4".into(), "*:1".into()],
        ..TrainerOptions::default()
    };
    println!("options {}", adapted.to_json());
    Ok(())
}

fn show_prediction(name: &str, trainer: &mut Trainer) -> wasmgrad::Result<()> {
    let two = Rows::new(0, 2);
    for output in trainer.predict(&two.inputs())? {
        let dims: Vec<String> = output.shape.iter().map(|dim| format!(" {}", dim)).collect();
        print!("{} {}{}", name, output.element_type as u8, dims.concat());
        assert!(output.elements::<i64>().is_none());
        show("", &output.elements::<f32>().expect("the outputs are f32"));
    }
    Ok(())
}

fn show_exchange(trainer: &mut Trainer) -> wasmgrad::Result<()> {
    let initial = trainer.parameters()?;
    for first in [0, 4] {
        let batch = Rows::new(first, 4);
        let metrics = trainer.backward(&batch.inputs(), &batch.targets())?;
        show("backward", &[metrics.loss, metrics.samples as f64, metrics.step as f64]);
    }
    let gradients = trainer.gradients()?;
    show("gradients", &gradients);
    let doubled: Vec<f32> = gradients.iter().map(|gradient| 2.0 * gradient).collect();
    trainer.set_gradients(&doubled)?;
    trainer.apply()?;
    show("applied", &trainer.parameters()?);
    trainer.set_parameters(&initial)?;
    show("replaced", &trainer.parameters()?);

    let buffers = trainer.buffers()?;
    show("buffers", &buffers);
    trainer.set_buffers(&vec![1.5; buffers.len()])?;
    show("buffers", &trainer.buffers()?);
    trainer.set_buffers(&buffers)?;
    Ok(())
}

fn show_training(trainer: &mut Trainer, data: &Dataset) -> wasmgrad::Result<()> {
    let batch = Rows::new(0, 4);
    trainer.set("learning_rate", 0.05)?;
    let step = trainer.step(&batch.inputs(), &batch.targets())?;
    show("step", &[step.loss, step.learning_rate, step.samples as f64, step.step as f64]);
    show("stepped", &trainer.parameters()?);

    let state = trainer.checkpoint()?;
    let epoch = trainer.epoch(data)?;
    show("epoch", &[epoch.loss, epoch.samples as f64, epoch.step as f64, epoch.epoch as f64]);
    let trained = trainer.parameters()?;
    show("trained", &trained);
    trainer.restore(&state)?;
    trainer.epoch(data)?;
    show("restored", &[u8::from(trainer.parameters()? == trained)]);

    let [train, validation, test] = data.split([0.5, 0.25, 0.25], 7)?;
    show("parts", &[train.size()? as f64, validation.size()? as f64, test.size()? as f64]);
    let report = trainer.fit(&train, Some(&validation), 2)?;
    let (samples, epoch) = (report.train.samples as f64, report.train.epoch as f64);
    let counts = [report.epochs.into(), report.stopped_early.into(), samples, epoch];
    show("fit", &[&counts[..], &[report.validation.samples as f64]].concat());
    let alone = trainer.fit(&train, None, 1)?;
    show("alone", &[f64::from(alone.epochs), alone.validation.samples as f64]);
    let judged = trainer.evaluate(&test)?;
    show("evaluate", &[judged.samples as f64, judged.epoch as f64]);
    let progress = trainer.progress()?;
    show("progress", &[progress.epoch as f64, progress.step as f64, progress.best_epoch as f64]);
    Ok(())
}

fn show_types() -> wasmgrad::Result<()> {
    let one = [1, 1];
    let mut data = Dataset::new()?;
    let halves = [Half(0x3c00)];
    let named = Tensor::new(&halves, &one).named("f16");
    assert_eq!((named.name(), named.shape(), named.element_type()), ("f16", &one[..], Type::F16));
    data.append(
        &[
            Tensor::new(&halves, &one),
            Tensor::new(&[1f32], &one),
            Tensor::new(&[1f64], &one),
            Tensor::new(&[1u8], &one),
        ],
        &[Tensor::new(&[1i32], &one), Tensor::new(&[1i64], &one), Tensor::new(&[Bf16(0x3f80)], &one)],
    )?;
    show("types", &[data.size()? as f64]);
    Ok(())
}

fn show_failures(trainer: &mut Trainer) {
    let absent = Model::load_by_name("absent").expect_err("nobody granted it");
    assert!(!absent.is_interrupted());
    println!("absent {} {}", absent.errno as u32, absent);
    let speed = trainer.set("speed", 1.0).expect_err("there is no such key");
    println!("speed {} {}", speed.errno as u32, last_error());
}

fn main() {
    if let Err(error) = tour() {
        match error.downcast::<wasmgrad::Error>() {
            Ok(failure) => failure.exit(),
            Err(other) => panic!("{other}"),
        }
    }
}

fn tour() -> Result<(), Box<dyn Error>> {
    let model = Model::load(&fs::read("/data/model.pt")?, Encoding::TorchScript)?;
    show_options(&model)?;

    let mut data = Dataset::new()?;
    for first in [0, 8] {
        let block = Rows::new(first, 8.min(ROWS - first));
        data.append(&block.inputs(), &block.targets())?;
    }
    show("rows", &[data.size()? as f64]);

    let options = TrainerOptions {
        optimizer: Optimizer { learning_rate: Some(0.1), ..Optimizer::new("sgd") },
        loss: losses(),
        batch_size: Some(4),
        shuffle: Some(false),
        threads: Some(1),
        ..TrainerOptions::default()
    };
    let mut trainer = Trainer::new(&model, &options)?;
    show_prediction("predict", &mut trainer)?;
    show_exchange(&mut trainer)?;
    show_training(&mut trainer, &data)?;
    show_prediction("last", &mut trainer)?;

    let again = Model::load(&model.export(Encoding::TorchScript)?, Encoding::Autodetect)?;
    let mut other = Trainer::from_json(&again, "{}")?;
    show_prediction("again", &mut other)?;
    fs::write("/data/weights.safetensors", model.export(Encoding::Safetensors)?)?;
    println!("config {}", run_config("note")?);
    println!("unset {}", run_config("absent").unwrap_err().errno as u32);
    run_report("recall", 0.25)?;
    show_types()?;
    show_failures(&mut trainer);
    Ok(())
}
