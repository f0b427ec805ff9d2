//! What `docs/format.md` says of odd logs: crafted ones with checks that hold, ones that were judged
//! wrongly once, and such as would take too much memory or time.

#[path = "../../fuzz/cases/mod.rs"]
mod cases;

mod craft;
mod inputs;
mod limits;
mod order;
mod python;
mod statements;
mod top;
mod unknown;
mod writing;

use tidewal_testing::support;
