//! The errors for wrong calls, paths and files of a log.
//!
//! Files are damaged on a simulated disk. Paths, permissions and foreign files need a real one.

mod appending;
mod damaged_files;
mod helpers;
mod joints;
mod labels;
mod option_bounds;
mod paths;
mod start;

use tidewal_testing::support;
