//! The imports of `wasmgrad:training@0.1`, each behind a safe function of the same name.
//!
//! `guests/sdk/include/wasmgrad/training_v1.h` is their definition and says what each one does. This is the only module with
//! `unsafe`: the host checks every pointer, copies what it is given during the call and writes no more than the stated number
//! of bytes, so a pointer and a length that come from one slice or local are all that safety needs.
#![allow(unsafe_code)]

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Errno, Error, Result};
use crate::tensor::Tensor;

// [generated: records]

/// What a pass over samples measured. NaN where there is no such figure.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Mean over the samples.
    pub loss: f64,
    /// 0..1, of the first output with a classification loss.
    pub accuracy: f64,
    /// 0..1; NaN unless there are more than k classes.
    pub top_k_accuracy: f64,
    /// That of the last step; NaN when nothing was trained.
    pub learning_rate: f64,
    /// Spent on the host.
    pub seconds: f64,
    /// In this pass.
    pub samples: u64,
    /// Optimizer steps that the trainer has done in all.
    pub step: u64,
    /// Whole epochs that the trainer has done in all.
    pub epoch: u64,
}

/// What [`crate::Trainer::fit`] did.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FitReport {
    /// Over the last epoch.
    pub train: Metrics,
    /// After the last epoch; all NaN and 0 without validation data.
    pub validation: Metrics,
    /// Whole epochs done by this call.
    pub epochs: u32,
    /// 1: by the early-stopping option; [`Progress`] says which epoch was best.
    pub stopped_early: u32,
}

/// Where a trainer stands.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Whole epochs that the trainer has done in all.
    pub epoch: u64,
    /// Optimizer steps that it has done in all.
    pub step: u64,
    /// Batches done in the epoch under way, when one was interrupted.
    pub batch: u64,
    /// The best of fit by early stopping's measure, from 1; 0: none yet.
    pub best_epoch: u64,
    /// That of the best epoch; NaN without one.
    pub best_loss: f64,
    /// 1: the owner's checkpoint was restored into it when it was created.
    pub resumed: u32,
    /// 1: the model has the weights of best_epoch, as early stopping ended the last fit.
    pub shows_best: u32,
    /// 1: the owner asked to stop; calls that train are [`crate::Errno::Interrupted`].
    pub stop_requested: u32,
    /// How many epochs the owner wants in all; 0: that is left to the guest.
    pub owner_epochs: u32,
}
// [/generated]

/// Type and shape of an output.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct OutputInfo {
    pub element_type: u32,
    pub rank: u32,
    pub dims: [u32; 16],
}

#[repr(C)]
pub struct TensorRecord {
    dims: *const u32,
    rank: u32,
    element_type: u8,
    data: *const u8,
    data_bytes: u32,
}

#[repr(C)]
pub struct NamedTensor {
    name: *const u8,
    name_bytes: u32,
    tensor: TensorRecord,
}

const _: () = assert!(core::mem::size_of::<Metrics>() == 64);
const _: () = assert!(core::mem::size_of::<FitReport>() == 136);
const _: () = assert!(core::mem::size_of::<Progress>() == 56);
const _: () = assert!(core::mem::size_of::<OutputInfo>() == 72);
#[cfg(target_arch = "wasm32")]
const _: () = assert!(core::mem::size_of::<NamedTensor>() == 28);

mod import {
    use super::{FitReport, Metrics, NamedTensor, OutputInfo, Progress};

    #[rustfmt::skip] // generated from the header
    #[link(wasm_import_module = "wasmgrad:training@0.1")]
    extern "C" {
        // [generated: imports]
        pub fn model_load(bytes: *const u8, size: u32, encoding: u32, target: u32, model: *mut u32) -> u32;
        pub fn model_load_by_name(name: *const u8, name_bytes: u32, target: u32, model: *mut u32) -> u32;
        pub fn model_export(model: u32, encoding: u32, buffer: *mut u8, buffer_bytes: u32, written: *mut u32) -> u32;
        pub fn model_close(model: u32) -> u32;
        pub fn dataset_create(dataset: *mut u32) -> u32;
        pub fn dataset_append(dataset: u32, inputs: *const NamedTensor, n_inputs: u32, targets: *const NamedTensor, n_targets: u32) -> u32;
        pub fn dataset_split(dataset: u32, fractions: *const f64, n: u32, seed: u64, parts: *mut u32) -> u32;
        pub fn dataset_size(dataset: u32, rows: *mut u64) -> u32;
        pub fn dataset_close(dataset: u32) -> u32;
        pub fn trainer_create(model: u32, options: *const u8, options_bytes: u32, trainer: *mut u32) -> u32;
        pub fn trainer_fit(trainer: u32, train: u32, validation: u32, epochs: u32, report: *mut FitReport) -> u32;
        pub fn trainer_epoch(trainer: u32, train: u32, metrics: *mut Metrics) -> u32;
        pub fn trainer_step(trainer: u32, inputs: *const NamedTensor, n_inputs: u32, targets: *const NamedTensor, n_targets: u32, metrics: *mut Metrics) -> u32;
        pub fn trainer_backward(trainer: u32, inputs: *const NamedTensor, n_inputs: u32, targets: *const NamedTensor, n_targets: u32, metrics: *mut Metrics) -> u32;
        pub fn trainer_apply(trainer: u32) -> u32;
        pub fn trainer_evaluate(trainer: u32, dataset: u32, metrics: *mut Metrics) -> u32;
        pub fn trainer_progress(trainer: u32, progress: *mut Progress) -> u32;
        pub fn trainer_predict(trainer: u32, inputs: *const NamedTensor, n_inputs: u32, outputs: *mut u32) -> u32;
        pub fn trainer_output(trainer: u32, index: u32, info: *mut OutputInfo, buffer: *mut u8, buffer_bytes: u32, written: *mut u32) -> u32;
        pub fn trainer_set(trainer: u32, key: *const u8, key_bytes: u32, value: f64) -> u32;
        pub fn trainer_parameters(trainer: u32, buffer: *mut f32, buffer_bytes: u32, written: *mut u32) -> u32;
        pub fn trainer_set_parameters(trainer: u32, values: *const f32, bytes: u32) -> u32;
        pub fn trainer_gradients(trainer: u32, buffer: *mut f32, buffer_bytes: u32, written: *mut u32) -> u32;
        pub fn trainer_set_gradients(trainer: u32, values: *const f32, bytes: u32) -> u32;
        pub fn trainer_buffers(trainer: u32, buffer: *mut f32, buffer_bytes: u32, written: *mut u32) -> u32;
        pub fn trainer_set_buffers(trainer: u32, values: *const f32, bytes: u32) -> u32;
        pub fn trainer_checkpoint(trainer: u32, buffer: *mut u8, buffer_bytes: u32, written: *mut u32) -> u32;
        pub fn trainer_restore(trainer: u32, checkpoint: *const u8, bytes: u32) -> u32;
        pub fn trainer_close(trainer: u32) -> u32;
        pub fn process_group(rank: *mut u32, size: *mut u32) -> u32;
        pub fn run_config(key: *const u8, key_bytes: u32, buffer: *mut u8, buffer_bytes: u32, written: *mut u32) -> u32;
        pub fn run_report(name: *const u8, name_bytes: u32, value: f64) -> u32;
        pub fn last_error(buffer: *mut u8, buffer_bytes: u32, written: *mut u32) -> u32;
        // [/generated]
    }
}

/// Records that point into `tensors`.
fn records(tensors: &[Tensor<'_>]) -> Vec<NamedTensor> {
    let record = |tensor: &Tensor<'_>| NamedTensor {
        name: tensor.name().as_ptr(),
        name_bytes: tensor.name().len() as u32,
        tensor: TensorRecord {
            dims: tensor.shape().as_ptr(),
            rank: tensor.shape().len() as u32,
            element_type: tensor.element_type() as u8,
            data: tensor.data(),
            data_bytes: tensor.data_bytes() as u32,
        },
    };
    tensors.iter().map(record).collect()
}

const SUCCESS: u32 = 0;

/// What an import returned, as a result.
fn check(code: u32) -> Result<()> {
    if code == SUCCESS {
        return Ok(());
    }
    Err(Error { errno: Errno::of(code), message: last_error() })
}

/// What `call` returns, given the addresses and numbers of the records of both.
fn with_records(
    inputs: &[Tensor<'_>],
    targets: &[Tensor<'_>],
    call: impl FnOnce(*const NamedTensor, u32, *const NamedTensor, u32) -> u32,
) -> u32 {
    let (inputs, targets) = (records(inputs), records(targets));
    call(inputs.as_ptr(), inputs.len() as u32, targets.as_ptr(), targets.len() as u32)
}

/// Passes `call` the address of the values and their bytes.
fn write_all(values: &[f32], call: impl FnOnce(*const f32, u32) -> u32) -> Result<()> {
    check(call(values.as_ptr(), core::mem::size_of_val(values) as u32))
}

/// A value that `call` fills.
fn filled<T: Default>(call: impl FnOnce(&mut T) -> u32) -> Result<T> {
    let mut value = T::default();
    check(call(&mut value))?;
    Ok(value)
}

/// Elements of unknown number from `call(buffer, bytes, written)`: asks for the size, then for the elements.
fn read_all<T: Clone + Default>(mut call: impl FnMut(*mut T, u32, &mut u32) -> u32) -> Result<Vec<T>> {
    let mut bytes = 0;
    check(call(core::ptr::null_mut(), 0, &mut bytes))?;
    let mut elements = vec![T::default(); bytes as usize / core::mem::size_of::<T>()];
    check(call(elements.as_mut_ptr(), bytes, &mut bytes))?;
    Ok(elements)
}

pub fn model_load(bytes: &[u8], encoding: u32, target: u32) -> Result<u32> {
    filled(|model| unsafe { import::model_load(bytes.as_ptr(), bytes.len() as u32, encoding, target, model) })
}

pub fn model_load_by_name(name: &str, target: u32) -> Result<u32> {
    filled(|model| unsafe { import::model_load_by_name(name.as_ptr(), name.len() as u32, target, model) })
}

pub fn model_export(model: u32, encoding: u32) -> Result<Vec<u8>> {
    read_all(|buffer, bytes, written| unsafe {
        import::model_export(model, encoding, buffer, bytes, written)
    })
}

pub fn model_close(model: u32) {
    unsafe { import::model_close(model) };
}

pub fn dataset_create() -> Result<u32> {
    filled(|dataset| unsafe { import::dataset_create(dataset) })
}

pub fn dataset_append(dataset: u32, inputs: &[Tensor<'_>], targets: &[Tensor<'_>]) -> Result<()> {
    check(with_records(inputs, targets, |inputs, n_inputs, targets, n_targets| unsafe {
        import::dataset_append(dataset, inputs, n_inputs, targets, n_targets)
    }))
}

pub fn dataset_split(dataset: u32, fractions: &[f64], seed: u64) -> Result<Vec<u32>> {
    let mut parts = vec![0; fractions.len()];
    let n = fractions.len() as u32;
    check(unsafe { import::dataset_split(dataset, fractions.as_ptr(), n, seed, parts.as_mut_ptr()) })?;
    Ok(parts)
}

pub fn dataset_size(dataset: u32) -> Result<u64> {
    filled(|rows| unsafe { import::dataset_size(dataset, rows) })
}

pub fn dataset_close(dataset: u32) {
    unsafe { import::dataset_close(dataset) };
}

pub fn trainer_create(model: u32, options: &str) -> Result<u32> {
    filled(|trainer| unsafe {
        import::trainer_create(model, options.as_ptr(), options.len() as u32, trainer)
    })
}

pub fn trainer_fit(trainer: u32, train: u32, validation: u32, epochs: u32) -> Result<FitReport> {
    filled(|report| unsafe { import::trainer_fit(trainer, train, validation, epochs, report) })
}

pub fn trainer_epoch(trainer: u32, train: u32) -> Result<Metrics> {
    filled(|metrics| unsafe { import::trainer_epoch(trainer, train, metrics) })
}

pub fn trainer_step(trainer: u32, inputs: &[Tensor<'_>], targets: &[Tensor<'_>]) -> Result<Metrics> {
    filled(|metrics| {
        with_records(inputs, targets, |inputs, n_inputs, targets, n_targets| unsafe {
            import::trainer_step(trainer, inputs, n_inputs, targets, n_targets, metrics)
        })
    })
}

pub fn trainer_backward(trainer: u32, inputs: &[Tensor<'_>], targets: &[Tensor<'_>]) -> Result<Metrics> {
    filled(|metrics| {
        with_records(inputs, targets, |inputs, n_inputs, targets, n_targets| unsafe {
            import::trainer_backward(trainer, inputs, n_inputs, targets, n_targets, metrics)
        })
    })
}

pub fn trainer_apply(trainer: u32) -> Result<()> {
    check(unsafe { import::trainer_apply(trainer) })
}

pub fn trainer_evaluate(trainer: u32, dataset: u32) -> Result<Metrics> {
    filled(|metrics| unsafe { import::trainer_evaluate(trainer, dataset, metrics) })
}

pub fn trainer_progress(trainer: u32) -> Result<Progress> {
    filled(|progress| unsafe { import::trainer_progress(trainer, progress) })
}

pub fn trainer_predict(trainer: u32, inputs: &[Tensor<'_>]) -> Result<u32> {
    let inputs = records(inputs);
    filled(|outputs| unsafe {
        import::trainer_predict(trainer, inputs.as_ptr(), inputs.len() as u32, outputs)
    })
}

pub fn trainer_output(trainer: u32, index: u32) -> Result<(OutputInfo, Vec<u8>)> {
    let mut info = OutputInfo::default();
    let data = read_all(|buffer, bytes, written| unsafe {
        import::trainer_output(trainer, index, &mut info, buffer, bytes, written)
    })?;
    Ok((info, data))
}

pub fn trainer_set(trainer: u32, key: &str, value: f64) -> Result<()> {
    check(unsafe { import::trainer_set(trainer, key.as_ptr(), key.len() as u32, value) })
}

pub fn trainer_parameters(trainer: u32) -> Result<Vec<f32>> {
    read_all(|buffer, bytes, written| unsafe { import::trainer_parameters(trainer, buffer, bytes, written) })
}

pub fn trainer_set_parameters(trainer: u32, values: &[f32]) -> Result<()> {
    write_all(values, |values, bytes| unsafe { import::trainer_set_parameters(trainer, values, bytes) })
}

pub fn trainer_gradients(trainer: u32) -> Result<Vec<f32>> {
    read_all(|buffer, bytes, written| unsafe { import::trainer_gradients(trainer, buffer, bytes, written) })
}

pub fn trainer_set_gradients(trainer: u32, values: &[f32]) -> Result<()> {
    write_all(values, |values, bytes| unsafe { import::trainer_set_gradients(trainer, values, bytes) })
}

pub fn trainer_buffers(trainer: u32) -> Result<Vec<f32>> {
    read_all(|buffer, bytes, written| unsafe { import::trainer_buffers(trainer, buffer, bytes, written) })
}

pub fn trainer_set_buffers(trainer: u32, values: &[f32]) -> Result<()> {
    write_all(values, |values, bytes| unsafe { import::trainer_set_buffers(trainer, values, bytes) })
}

pub fn trainer_checkpoint(trainer: u32) -> Result<Vec<u8>> {
    read_all(|buffer, bytes, written| unsafe { import::trainer_checkpoint(trainer, buffer, bytes, written) })
}

pub fn trainer_restore(trainer: u32, checkpoint: &[u8]) -> Result<()> {
    check(unsafe { import::trainer_restore(trainer, checkpoint.as_ptr(), checkpoint.len() as u32) })
}

pub fn trainer_close(trainer: u32) {
    unsafe { import::trainer_close(trainer) };
}

/// The processes that train together, in each of which the guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessGroup {
    /// Which of them this one is, from 0.
    pub rank: u32,
    /// How many they are.
    pub size: u32,
}

/// 0 of 1 when alone.
#[must_use]
pub fn process_group() -> ProcessGroup {
    let mut group = ProcessGroup { rank: 0, size: 1 };
    unsafe { import::process_group(&mut group.rank, &mut group.size) };
    group
}

/// What the owner's configuration of this run has under this name, as text: a number in decimal, a truth value
/// as true or false. Fails with `Errno::NotFound` without such a name.
pub fn run_config(key: &str) -> Result<String> {
    let text: Vec<u8> = read_all(|buffer, bytes, written| unsafe {
        import::run_config(key.as_ptr(), key.len() as u32, buffer, bytes, written)
    })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Tells the owner a figure of the guest's own; the last under each name is the run's.
pub fn run_report(name: &str, value: f64) -> Result<()> {
    check(unsafe { import::run_report(name.as_ptr(), name.len() as u32, value) })
}

/// The sentence behind the last call that failed; empty before the first.
#[must_use]
pub fn last_error() -> String {
    // Not read_all(): a failure there would ask for its sentence in turn.
    let mut bytes = 0;
    let mut code = unsafe { import::last_error(core::ptr::null_mut(), 0, &mut bytes) };
    let mut sentence = vec![0; bytes as usize];
    if code == SUCCESS {
        code = unsafe { import::last_error(sentence.as_mut_ptr(), bytes, &mut bytes) };
    }
    if code != SUCCESS {
        sentence.clear();
    }
    String::from_utf8_lossy(&sentence).into_owned()
}
