//! Futures, handles and runtimes that are dropped, at every point where they can be. The outcome
//! must be what their documentation says (`docs/durability.md`: P8). [`sentences`] checks that
//! every sentence about it has a test.

mod appends;
mod asks;
mod helpers;
mod neighbours;
mod openings;
mod real_openings;
mod runtimes;
mod sentences;
mod service;
mod sharing;
mod streams;

use tidewal_testing::support;
