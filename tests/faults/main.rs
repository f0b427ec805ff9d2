//! Every call to the disk fails once (promise P5): nothing acknowledged is lost, no caller hangs,
//! each waiting caller gets the cause, and reopening works.
//!
//!     cargo test --release --test faults -- --nocapture

mod every_call;
mod failed_sync;
mod full_disk;
mod helpers;
mod idle_mark;
mod new_segment;
mod truncation;
