//! Followers and holds: what they deliver and keep, from where, and how they end (`docs/follow.md`), in virtual time on a
//! simulated disk.

mod ends;
mod files;
mod helpers;
mod holds;
mod list;
mod memory;
mod real;
mod rotation;
mod segments;
mod truncation;

use tidewal_testing::support;
