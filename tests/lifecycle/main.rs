//! The life of a log: closed, dropped, left behind by its runtime, recovered, rotated, truncated.

mod bytes;
mod closing;
mod cuts;
mod helpers;
mod recovery;
mod runtimes;
mod segments;

use tidewal_testing::support;
