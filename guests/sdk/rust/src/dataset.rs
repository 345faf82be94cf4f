//! Rows of inputs and targets on the host.

use alloc::vec::Vec;

use crate::error::Result;
use crate::sys;
use crate::tensor::Tensor;

/// Rows on the host, closed when it is dropped.
#[derive(Debug)]
pub struct Dataset(u32);

impl Dataset {
    /// An empty one. Its first block decides the columns.
    pub fn new() -> Result<Self> {
        sys::dataset_create().map(Self)
    }

    /// Appends a block of rows; its memory may be reused for the next one. A dataset that was split or trained on cannot
    /// grow.
    pub fn append(&mut self, inputs: &[Tensor<'_>], targets: &[Tensor<'_>]) -> Result<()> {
        sys::dataset_append(self.0, inputs, targets)
    }

    /// New datasets with these fractions of the rows, drawn from `seed`. They share the rows' memory with this one.
    pub fn split<const N: usize>(&self, fractions: [f64; N], seed: u64) -> Result<[Self; N]> {
        let parts: Vec<Self> = sys::dataset_split(self.0, &fractions, seed)?.into_iter().map(Self).collect();
        let parts: core::result::Result<[Self; N], Vec<Self>> = parts.try_into();
        Ok(parts.expect("one handle was asked for each fraction"))
    }

    /// Rows.
    pub fn size(&self) -> Result<u64> {
        sys::dataset_size(self.0)
    }

    pub(crate) fn handle(&self) -> u32 {
        self.0
    }
}

impl Drop for Dataset {
    fn drop(&mut self) {
        sys::dataset_close(self.0);
    }
}
