//! What the log reports through `tracing`, if that feature is on.
//!
//! `traced` and `traced_noop` have the same functions. Without the feature each of them is empty or
//! returns its future, and compiles to nothing.

#[cfg(feature = "tracing")]
mod traced;
#[cfg(not(feature = "tracing"))]
mod traced_noop;

#[cfg(not(feature = "tracing"))]
use crate::observe::traced_noop as traced;

pub(crate) use crate::observe::traced::{
    closed, closing, opened, opening, poisoned, recovered, recovering, recovery_failed, refused,
    rotating, torn, truncating,
};
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub(crate) use crate::observe::traced::{sync_is_slow, sync_was_slow};
