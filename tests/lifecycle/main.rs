//! The life of a log: closing, dropping, the end of its runtime, recovery, rotation, truncation.

mod bytes;
mod closing;
mod cuts;
mod helpers;
mod recovery;
mod runtimes;
mod segments;

use tidewal_testing::support;
