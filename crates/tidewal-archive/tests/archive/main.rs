//! The archive (`docs/archive.md`): a segment is safe in the store before the log removes it, and a restore yields a
//! prefix of the log, whatever the store does in between.

mod crafted;
mod damage;
mod expired;
mod faults;
mod helpers;
mod holding;
mod lag;
mod power;
mod pruning;
mod refused;
mod replaced;
mod requests;
mod restoring;
mod shipping;
mod store;
mod times;

use tidewal_testing::{harness::rng, support};
