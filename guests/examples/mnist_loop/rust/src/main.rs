//! Trains a digit classifier with a training loop of its own: validation, learning rate, early stopping and checkpoints are
//! decided here, the host computes.
#![forbid(unsafe_code)]

mod arguments;
mod digits;
mod progress;

use std::error::Error;
use std::fmt::Display;
use std::process::exit;

use wasmgrad::{Dataset, Encoding, Input, Loss, Model, Trainer, TrainerOptions};

use crate::arguments::Settings;
use crate::progress::Progress;

const PATIENCE: u32 = 3;

fn options(settings: &Settings) -> TrainerOptions {
    TrainerOptions {
        loss: vec![Loss::of_model("cross_entropy")],
        batch_size: Some(128),
        batches_per_epoch: Some(settings.batches).filter(|&batches| batches != 0),
        seed: Some(settings.seed.into()),
        inputs: vec![Input { input: "0".into(), scale: Some(1.0 / 255.0), offset: None }],
        ..TrainerOptions::default()
    }
}

fn train_epoch(
    trainer: &mut Trainer,
    train: &Dataset,
    validation: &Dataset,
    progress: &mut Progress,
    checkpoint: &str,
) -> Result<(), Box<dyn Error>> {
    trainer.set("learning_rate", progress.learning_rate)?;
    let trained = match trainer.epoch(train) {
        Err(error) if error.is_interrupted() => {
            progress::save(checkpoint, progress, trainer)?; // within the epoch
            return Err(error.into());
        }
        done => done?,
    };
    let judged = trainer.evaluate(validation)?;
    progress.epoch += 1;
    println!(
        "epoch {}: training loss {:.4}, validation loss {:.4}, validation accuracy {:.4}, learning rate {:.6}",
        progress.epoch, trained.loss, judged.loss, judged.accuracy, progress.learning_rate
    );
    if judged.loss < progress.best_loss {
        progress.best_loss = judged.loss;
        progress.best_parameters = trainer.parameters()?;
        progress.best_buffers = trainer.buffers()?;
        progress.stale = 0;
    } else {
        progress.learning_rate /= 2.0;
        progress.stale += 1;
    }
    Ok(())
}

fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let [train, validation] =
        digits::upload(&settings.data, "train")?.split([0.9, 0.1], settings.seed.into())?;
    let test = digits::upload(&settings.data, "t10k")?;
    println!(
        "training on {} images, validating on {}, testing on {}",
        train.size()?,
        validation.size()?,
        test.size()?
    );

    let model = Model::load_by_name(&settings.model)?;
    let mut trainer = Trainer::new(&model, &options(settings))?;
    let checkpoint = format!("{}/loop.checkpoint", settings.out);
    let mut progress = Progress::default();
    if settings.resume {
        progress = progress::resume(&checkpoint, &mut trainer)?;
        println!("resuming after epoch {}", progress.epoch);
    }
    while progress.epoch < settings.epochs && progress.stale < PATIENCE {
        train_epoch(&mut trainer, &train, &validation, &mut progress, &checkpoint)?;
        progress::save(&checkpoint, &progress, &trainer)?;
    }
    if progress.stale == PATIENCE {
        println!("stopping: no better validation loss in {} epochs", PATIENCE);
    }

    if !progress.best_parameters.is_empty() {
        trainer.set_parameters(&progress.best_parameters)?; // what the last epochs made worse is not what is saved
        trainer.set_buffers(&progress.best_buffers)?;
    }
    let result = trainer.evaluate(&test)?;
    println!("test loss {:.4}, test accuracy {:.4}", result.loss, result.accuracy);
    let trained = format!("{}/trained.pt", settings.out);
    progress::write_file(&trained, &[&model.export(Encoding::TorchScript)?])?;
    println!("wrote {}", trained);
    Ok(())
}

/// Prints the sentence, and ends the guest with this exit code.
fn fail(exit_code: i32, sentence: &dyn Display) -> ! {
    eprintln!("error: {}", sentence);
    exit(exit_code)
}

fn main() {
    match Settings::from_command_line() {
        Ok(settings) => {
            run(&settings).unwrap_or_else(|error| match error.downcast_ref::<wasmgrad::Error>() {
                Some(refused) => refused.exit(), // with code 130 when the owner asked to stop
                None => fail(1, &error),
            })
        }
        Err(arguments::Stop::Help) => print!("{}", arguments::USAGE),
        Err(arguments::Stop::Usage(sentence)) => fail(2, &sentence),
    }
}
