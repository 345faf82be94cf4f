//! A complete training guest. It learns the mean of eight numbers: replace `make_points` by your own data.
//!
//! The model it trains maps inputs [N, 8] to outputs [N, 1]: `wasmgrad model linear-regression -o model.pt`.

use std::fs;

use wasmgrad::{Dataset, Encoding, Loss, Model, Optimizer, Result, Tensor, Trainer, TrainerOptions};

const FEATURES: u32 = 8;

/// Uniform in [0, 1).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Targets are the mean of the features plus a little noise.
fn make_points(count: u32, random: &mut u64) -> Result<Dataset> {
    let mut inputs = Vec::new(); // [count, FEATURES]
    let mut targets = Vec::new(); // [count, 1]
    for _ in 0..count {
        let mut sum = 0.0;
        for _ in 0..FEATURES {
            let x = 2.0 * uniform(random) - 1.0;
            inputs.push(x as f32);
            sum += x;
        }
        targets.push((sum / f64::from(FEATURES) + 0.1 * uniform(random) - 0.05) as f32);
    }
    let mut points = Dataset::new()?; // as many append() calls as the data needs
    points.append(&[Tensor::new(&inputs, &[count, FEATURES])], &[Tensor::new(&targets, &[count, 1])])?;
    Ok(points)
}

/// Writes the trained model where the owner granted a directory, whole or not at all.
fn save(model: &Model, path: &str) -> Result<()> {
    let file = model.export(Encoding::TorchScript)?;
    let temporary = format!("{}.part", path);
    if fs::write(&temporary, &file).and_then(|()| fs::rename(&temporary, path)).is_ok() {
        println!("saved {} ({} bytes)", path, file.len());
    } else {
        eprintln!("not saved here: no directory to write {} to was granted (--dir .:.)", path);
    }
    Ok(())
}

fn train() -> Result<()> {
    let mut random = 1;
    let training = make_points(2048, &mut random)?;
    let test = make_points(512, &mut random)?;

    let model = Model::load_by_name("model.pt")?;
    let options = TrainerOptions {
        optimizer: Optimizer { learning_rate: Some(0.01), ..Optimizer::new("adamw") },
        loss: vec![Loss::of_model("mse")],
        batch_size: Some(64),
        ..TrainerOptions::default()
    };
    let mut trainer = Trainer::new(&model, &options)?;
    // A checkpoint may have been resumed, and the owner may want another number of epochs. Ctrl-C is an error of the call that
    // it falls into; the owner's checkpoint has every step.
    let begin = trainer.progress()?;
    let epochs = if begin.owner_epochs != 0 { begin.owner_epochs.into() } else { 10 };
    for epoch in begin.epoch + 1..=epochs {
        let loss = trainer.epoch(&training)?.loss;
        println!(
            "epoch {}: training loss {:.4}, test loss {:.4}",
            epoch,
            loss,
            trainer.evaluate(&test)?.loss
        );
    }
    save(&model, "trained_model.pt")
}

fn main() {
    if let Err(error) = train() {
        error.exit();
    }
}
