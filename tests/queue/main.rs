//! The queue: what waits in it is bounded by bytes and by count, producers wait their turn, and any of
//! them can go away (`docs/durability.md`: P3, P7, P8).

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
