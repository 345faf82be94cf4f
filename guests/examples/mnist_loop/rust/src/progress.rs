//! What the guest knows about its run, and the file in which it survives: a small header, the best weights, then the trainer's
//! checkpoint. The guests `mnist_loop_*` in the other languages write the same bytes.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};

use wasmgrad::Trainer;

pub struct Progress {
    /// Epochs done.
    pub epoch: u32,
    /// Of them, how many since the validation loss was at its best.
    pub stale: u32,
    pub learning_rate: f64,
    pub best_loss: f64,
    /// Of the epoch with that loss; empty before the first. So are the buffers.
    pub best_parameters: Vec<f32>,
    pub best_buffers: Vec<f32>,
}

/// The numbers, and how many best parameters and buffers follow.
const HEADER_BYTES: usize = 32;

impl Default for Progress {
    fn default() -> Self {
        Self {
            epoch: 0,
            stale: 0,
            learning_rate: 1e-3,
            best_loss: f64::INFINITY,
            best_parameters: Vec::new(),
            best_buffers: Vec::new(),
        }
    }
}

impl Progress {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.epoch.to_le_bytes());
        bytes.extend(self.stale.to_le_bytes());
        bytes.extend(self.learning_rate.to_le_bytes());
        bytes.extend(self.best_loss.to_le_bytes());
        for values in [&self.best_parameters, &self.best_buffers] {
            bytes.extend((values.len() as u32).to_le_bytes());
        }
        for value in self.best_parameters.iter().chain(&self.best_buffers) {
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    /// What a file begins with, and the rest of it.
    fn from_bytes(file: &[u8]) -> Option<(Self, &[u8])> {
        let header = file.get(..HEADER_BYTES)?;
        let count = |at: usize| Some(u32::from_le_bytes(header[at..at + 4].try_into().ok()?));
        let number = |at: usize| Some(f64::from_le_bytes(header[at..at + 8].try_into().ok()?));
        let end_of_parameters = HEADER_BYTES + 4 * count(24)? as usize;
        let end = end_of_parameters + 4 * count(28)? as usize;
        let progress = Self {
            epoch: count(0)?,
            stale: count(4)?,
            learning_rate: number(8)?,
            best_loss: number(16)?,
            best_parameters: floats(file.get(HEADER_BYTES..end_of_parameters)?),
            best_buffers: floats(file.get(end_of_parameters..end)?),
        };
        Some((progress, &file[end..]))
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]])).collect()
}

/// Writes `parts` one after the other under a temporary name, then renames it: the file is whole or not there.
pub fn write_file(path: &str, parts: &[&[u8]]) -> Result<(), String> {
    let temporary = format!("{}.part", path);
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        for part in parts {
            file.write_all(part)?;
        }
        drop(file);
        fs::rename(&temporary, path)
    };
    write().map_err(|error| format!("{}: cannot be written: {}", path, error))
}

pub fn save(path: &str, progress: &Progress, trainer: &Trainer) -> Result<(), Box<dyn Error>> {
    Ok(write_file(path, &[&progress.to_bytes(), &trainer.checkpoint()?])?)
}

pub fn resume(path: &str, trainer: &mut Trainer) -> Result<Progress, Box<dyn Error>> {
    let file = fs::read(path).map_err(|error| format!("{}: cannot be opened: {}", path, error))?;
    let (progress, checkpoint) =
        Progress::from_bytes(&file).ok_or_else(|| format!("{}: is not a whole checkpoint", path))?;
    trainer.restore(checkpoint)?;
    Ok(progress)
}
