//! Logs that are made from the bytes of segments (`tidewal::import`).

mod builder;
mod checker;
mod helpers;

use tidewal_testing::support;
