//! `tidewal::typed`: a log of values, under each codec, on a simulated disk.

mod bank;
mod changes;
mod codecs;
mod following;
mod handle;
mod helpers;
mod power;
mod undecodable;

use tidewal_testing::support;
