//! Looking into damaged logs, and mending them (`tidewal::tools`): a survey and a recovery agree on
//! every damaged log that the harness makes; and a repair, cut short at whatever operation, keeps what
//! could be read, and ends in a sound log.

mod agreement;
mod blocking;
mod crashes;
mod repairs;
mod unreadable;
mod wreck;

use tidewal_testing::{harness, support};
