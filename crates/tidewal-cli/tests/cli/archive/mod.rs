//! `tidewal archive` and `tidewal restore`

mod addresses;
mod bad_objects;
mod helpers;
mod hints;
mod odd_files;
mod pruning;
mod refused;
mod restoring;
mod server;
mod shipping;
mod slow_directory;
