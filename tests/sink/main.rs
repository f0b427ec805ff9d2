//! `Wal::sink`: payloads as a `futures::Sink`, in virtual time on a simulated disk.

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod failures;
mod flight;
mod flush;
mod helpers;
