//! When the log syncs and what an append waits for: the policies and durabilities that
//! `src/options.rs` describes, in virtual time on a simulated disk (`docs/durability.md`: P1, which no
//! policy weakens, P3 and P8).

mod always;
mod batches;
mod causes;
mod helpers;
mod interval;
mod manual;
mod stats;
mod subscriptions;
mod sync;
mod written;

use tidewal_testing::support;
