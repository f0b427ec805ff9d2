//! The archive (`docs/archive.md`): what is shipped is safe before it goes, what is restored is a prefix
//! of the log, and whatever the store does in between.

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
mod restoring;
mod shipping;
mod store;
mod times;

use tidewal_testing::{harness::rng, support};
