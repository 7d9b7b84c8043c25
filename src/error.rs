//! The error type: what was tried, with which numbers, and how to fix it.

use std::fmt;

/// The category of an error, for programs that react to it; people read the [`Error`]'s message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Matrices whose shapes do not fit the operation, or an empty matrix.
    Shape,
    /// An argument outside what the operation accepts (batch size 0, a NaN in the data, a value of another graph...).
    InvalidInput,
    /// No such adapter, or none that is usable.
    NoDevice,
    /// The adapter was lost, reset or unplugged, or did not respond in time; its tensors are gone, and every later call
    /// fails at once.
    DeviceLost,
    /// A kernel that does not compile, that the adapter refuses to run, or whose reference implementation panicked. The
    /// device is still usable.
    Kernel,
    /// An allocation that does not fit the adapter's limits or memory.
    OutOfMemory,
    /// Training produced NaN or infinity.
    NotFinite,
    /// A file that can't be read or written.
    Io,
}

/// What went wrong in a call to wgrad: the operation, the numbers involved, and what to do about it.
///
/// The type is opaque so that messages can improve without breaking programs; [`Error::kind`] is stable.
///
/// ```
/// use wgrad::{Device, ErrorKind, Tensor};
///
/// let error = Tensor::new(&Device::cpu(), 2, 3, &[1.0, 2.0]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Shape);
/// assert_eq!(error.to_string(), "tensor: 2 values for a 2 x 3 matrix; it takes 6, row by row");
/// ```
///
/// [`Debug`](fmt::Debug) prints it as [`Display`](fmt::Display) does, for programs whose `main` returns it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Message>);

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Message {
    kind: ErrorKind,
    operation: String,
    detail: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.detail)
    }
}

/// The result type of wgrad.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error from a custom operation or module, shown as `operation: detail`.
    pub fn new(kind: ErrorKind, operation: impl Into<String>, detail: impl Into<String>) -> Self {
        Self(Box::new(Message { kind, operation: operation.into(), detail: detail.into() }))
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub(crate) fn shape(operation: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Shape, operation, detail)
    }

    pub(crate) fn input(operation: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, operation, detail)
    }

    pub(crate) fn kernel(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Kernel, name, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind};

    #[test]
    fn an_error_that_main_returns_reads_as_one_that_is_printed() {
        let error = Error::new(ErrorKind::Io, "load", "no file");
        assert_eq!(format!("{error:?}"), "load: no file");
        assert_eq!(format!("{error:#?}"), error.to_string());
    }
}
