//! What the guest knows about its run, and the file in which it survives: a small header, then the trainer's checkpoint. The
//! guests `mnist_loop_*` in the other languages write the same bytes.

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
}

const HEADER_BYTES: usize = 24;

impl Default for Progress {
    fn default() -> Self {
        Self { epoch: 0, stale: 0, learning_rate: 1e-3, best_loss: f64::INFINITY }
    }
}

impl Progress {
    fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.stale.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.learning_rate.to_le_bytes());
        bytes[16..].copy_from_slice(&self.best_loss.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            epoch: u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?),
            stale: u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?),
            learning_rate: f64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?),
            best_loss: f64::from_le_bytes(bytes.get(16..HEADER_BYTES)?.try_into().ok()?),
        })
    }
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
    let progress =
        Progress::from_bytes(&file).ok_or_else(|| format!("{}: is not a whole checkpoint", path))?;
    trainer.restore(&file[HEADER_BYTES..])?;
    Ok(progress)
}
