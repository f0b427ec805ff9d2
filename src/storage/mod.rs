//! Files, and the receipts for what was done to them: the only module that touches a disk.
//!
//! A [`Backend`](backend::Backend) is a directory of a disk, real ([`disk`]) or simulated
//! ([`sim`]). The rest of the crate sees it through [`Dir`] and [`File`], which add what every
//! backend would otherwise repeat: errors that name the operation and the file, writes that are
//! never short, and the receipts that an acknowledgment needs ([`receipts`]).

mod access;
mod backend;
mod dir;
pub(crate) mod disk;
mod file;
mod lock;
mod lock_table;
mod opener;
mod receipts;
#[cfg(feature = "sim")]
pub mod sim;

pub(crate) use crate::storage::access::Access;
#[cfg(feature = "tools")]
pub use crate::storage::access::LockOwner;
pub(crate) use crate::storage::backend::{Mode, Onto, Opening};
pub(crate) use crate::storage::dir::{Dir, Location};
pub(crate) use crate::storage::file::{File, PAGE_LEN};
pub(crate) use crate::storage::lock::still_closing;
pub(crate) use crate::storage::lock_table::{Closing, Lock};
pub(crate) use crate::storage::opener::{Opener, OpenerGuard};
pub(crate) use crate::storage::receipts::{Present, Synced, Wrote};
