//! The rules of `docs/format.md` for unusual logs: crafted ones with valid checks, ones that were
//! once judged wrongly, and ones that could take too much memory or time.

mod craft;
mod inputs;
mod limits;
mod order;
mod python;
mod short;
mod statements;
mod top;
mod unknown;
mod writing;

use tidewal_testing::{cases, support};
