//! Changes to directories and files while a log is open in them, on the real disk
//! (`docs/durability.md`, "The directory").
#![cfg(unix)]

mod files;
mod helpers;
mod links;
mod moved;
mod opening;
mod removed;
#[cfg(target_os = "linux")]
mod system_calls;
