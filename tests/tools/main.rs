//! Survey and repair (`tidewal::tools`): a survey and a recovery agree on every damaged log of the
//! harness. A repair, interrupted at any operation, keeps every readable record and ends in a sound
//! log.

mod agreement;
mod blocking;
mod crashes;
mod repairs;
mod unreadable;
mod wreck;

use tidewal_testing::{harness, support};
