//! The counterpart of `traced.rs` without the feature `tracing`.

use std::fmt::Display;
use std::path::Path;
#[cfg(feature = "metrics")]
use std::time::Duration;

use crate::error::{Error, IoFailure};
use crate::lsn::Lsn;

pub(crate) fn opening<F: Future>(_: &Path, future: F) -> F {
    future
}

pub(crate) fn recovering<F: Future>(_: &Path, future: F) -> F {
    future
}

pub(crate) fn rotating<F: Future>(_: &Path, _: Lsn, future: F) -> F {
    future
}

pub(crate) fn truncating<F: Future>(_: &Path, _: Lsn, future: F) -> F {
    future
}

pub(crate) fn closing<F: Future>(_: &Path, future: F) -> F {
    future
}

pub(crate) fn opened(_: Lsn) {}
pub(crate) fn recovered(_: Lsn, _: u64, _: u64) {}
pub(crate) fn torn(_: &Path, _: u64, _: Lsn, _: &dyn Display) {}
pub(crate) fn recovery_failed(_: &Error) {}
pub(crate) fn refused(_: &Path, _: &Error) {}
pub(crate) fn poisoned(_: &Path, _: &IoFailure) {}
pub(crate) fn closed(_: &Path, _: Lsn) {}

#[cfg(feature = "metrics")]
pub(crate) fn sync_is_slow(_: &Path, _: Duration) {}
#[cfg(feature = "metrics")]
pub(crate) fn sync_was_slow(_: &Path, _: Duration) {}
