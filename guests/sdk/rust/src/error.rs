//! Why a call failed.

use alloc::string::String;
use core::fmt;

/// The kinds of failure; the numbers are those of wasi-nn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Errno {
    /// Out of range, contradicts another argument, or no such handle.
    InvalidArgument = 1,
    /// Bytes are not in the format they should be in.
    InvalidEncoding = 2,
    /// The call's time limit was reached.
    Timeout = 3,
    /// The operation itself failed: the loss is not finite, out of memory, ...
    RuntimeError = 4,
    /// Well formed, but this host cannot do it.
    UnsupportedOperation = 5,
    /// A limit of the owner would be exceeded.
    TooLarge = 6,
    /// A named thing does not exist.
    NotFound = 7,
    /// The model is not one that may run here.
    Security = 8,
    /// Anything else.
    Unknown = 9,
    /// The owner asked to stop, or allows no more epochs: save what matters and return from main.
    Interrupted = 10,
}

impl Errno {
    pub(crate) fn of(code: u32) -> Self {
        match code {
            1 => Self::InvalidArgument,
            2 => Self::InvalidEncoding,
            3 => Self::Timeout,
            4 => Self::RuntimeError,
            5 => Self::UnsupportedOperation,
            6 => Self::TooLarge,
            7 => Self::NotFound,
            8 => Self::Security,
            10 => Self::Interrupted,
            _ => Self::Unknown,
        }
    }
}

/// A failure: its kind, and the host's sentence about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind.
    pub errno: Errno,
    /// What was wrong, where, and what was expected.
    pub message: String,
}

impl Error {
    /// The owner asked to stop, or allows no more epochs.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.errno == Errno::Interrupted
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

#[cfg(feature = "std")]
impl Error {
    /// Ends the guest with the sentence on standard error: with exit code 130 when the owner asked to stop, as
    /// nothing is wrong then, else with 1.
    pub fn exit(&self) -> ! {
        if self.errno == Errno::Interrupted {
            std::eprintln!("{}", self);
            std::process::exit(130)
        }
        std::eprintln!("error: {}", self);
        std::process::exit(1)
    }
}

#[cfg(feature = "std")]
impl std::error::Error for Error {}

/// A value, or why there is none.
pub type Result<T> = core::result::Result<T, Error>;
