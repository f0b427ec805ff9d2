//! Logs that do not go into an archive.

use super::helpers::Shipped;
use crate::helpers::{Log, tidewal, wait_for};

#[test]
fn another_log_is_not_mixed_in() {
    let shipped = Shipped::make();
    let other = Log::make();
    let ran = tidewal(&["archive", "ship", other.path(), &shipped.store()]);
    ran.assert_failed(2, "holds the archive of another log");
    tidewal(&["verify", other.path()]).assert_ok();
}

#[test]
fn an_empty_log_does_not_pass_for_one_that_has_an_archive() {
    let shipped = Shipped::make();
    let empty = Log::empty();
    wait_for(empty.open().close()).unwrap();
    let ran = tidewal(&["archive", "ship", empty.path(), &shipped.store()]);
    ran.assert_failed(2, "holds the archive of another log");
    let elsewhere = shipped.path("elsewhere");
    let ran = tidewal(&["archive", "ship", empty.path(), &elsewhere]);
    assert!(ran.assert_ok().text().contains("nothing to ship"));
}

#[test]
fn a_log_that_a_service_has_open_is_its_to_ship() {
    let shipped = Shipped::make();
    let wal = shipped.log.open();
    shipped.ship().assert_failed(2, "stop the service");
    wait_for(wal.close()).unwrap();
}
