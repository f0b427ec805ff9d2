//! What the log tells about its life through `tracing`, if that feature is on.
//!
//! [`traced`] and its silent twin have the same functions; without the feature each of them is empty or
//! hands its future through, and nothing of it is left in what is compiled.

#[cfg(not(feature = "tracing"))]
#[path = "silent.rs"]
mod traced;
#[cfg(feature = "tracing")]
mod traced;

pub(crate) use crate::observe::traced::{
    closed, closing, opened, opening, poisoned, recovered, recovering, recovery_failed, refused,
    rotating, torn, truncating,
};
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub(crate) use crate::observe::traced::{sync_is_slow, sync_was_slow};
