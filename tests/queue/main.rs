//! The queue: it is bounded by bytes and by count, producers wait in turn, and any of them can be
//! dropped (`docs/durability.md`: P3, P7, P8).

mod back_pressure;
mod dropped;
mod end;
mod helpers;
mod kept;
mod large_records;
mod memory;
mod order;
mod ordered;

use tidewal_testing::support;
