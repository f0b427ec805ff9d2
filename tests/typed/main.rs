//! `tidewal::typed`: a log of values, under each codec, on a simulated disk.

#[path = "../support/mod.rs"]
mod support;

mod bank;
mod changes;
mod codecs;
mod handle;
mod helpers;
mod power;
mod undecodable;
