//! `Wal::sink`: payloads as a `futures::Sink`, in virtual time on a simulated disk.

mod ends;
mod failures;
mod flight;
mod flush;
mod helpers;

use tidewal_testing::support;
