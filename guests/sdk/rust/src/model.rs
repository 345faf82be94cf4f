//! Models on the host.

use alloc::vec::Vec;

use crate::error::Result;
use crate::sys;

/// File formats of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Load only: told by the bytes.
    Autodetect = 0,
    /// `torch.jit.save`.
    TorchScript = 1,
    /// Load only: `torch.export.save`.
    TorchExport = 2,
    /// Export only: parameters and buffers under their names.
    Safetensors = 3,
    /// Export only: low-rank branches, as PEFT's `adapter_model.safetensors`.
    Lora = 4,
}

const CPU: u32 = 0;

/// A model on the host, closed when it is dropped. A trainer keeps its own hold on it.
#[derive(Debug)]
pub struct Model(u32);

impl Model {
    /// Loads a model file. One that could do more than compute is refused with [`crate::Errno::Security`].
    pub fn load(file: &[u8], encoding: Encoding) -> Result<Self> {
        sys::model_load(file, encoding as u32, CPU).map(Self)
    }

    /// Loads a model that the owner of the guest granted under this name.
    pub fn load_by_name(name: &str) -> Result<Self> {
        sys::model_load_by_name(name, CPU).map(Self)
    }

    /// The model file with the present weights.
    pub fn export(&self, encoding: Encoding) -> Result<Vec<u8>> {
        sys::model_export(self.0, encoding as u32)
    }

    pub(crate) fn handle(&self) -> u32 {
        self.0
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        sys::model_close(self.0);
    }
}
