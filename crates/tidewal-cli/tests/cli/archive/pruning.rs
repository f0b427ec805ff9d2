//! `archive prune`.

use super::helpers::Shipped;
use crate::helpers::tidewal;

#[test]
fn an_archive_is_pruned_and_shipped_to_again() {
    let shipped = Shipped::make();
    let store = shipped.store();
    let prune = |more: &[&str]| tidewal(&[&["archive", "prune", &store], more].concat());
    assert_eq!(prune(&[]).code, 2, "what to keep has to be said");
    prune(&["--before-lsn", "901"]).assert_failed(2, "beyond the end of the archive");
    let none = prune(&["--before-time", "2001-01-01T00:00:00Z"])
        .assert_ok()
        .text();
    assert!(
        none.contains("nothing had to be removed") && none.contains("begins with LSN 1\n"),
        "{none}"
    );
    let pruned = prune(&["--before-lsn", "800", "--json"]).assert_ok().json();
    let oldest = pruned["oldest"].as_u64().unwrap();
    assert!(
        oldest > 1 && pruned["objects"].as_u64().unwrap() > 1,
        "{pruned}"
    );
    let shown = tidewal(&["archive", "show", &store]).assert_ok().text();
    let expired = format!("LSN {oldest} to 900. Those up to {}", oldest - 1);
    assert!(shown.contains(&expired), "{shown}");
    shipped.log.fill(901, 910);
    shipped.ship().assert_ok();
    tidewal(&["archive", "verify", &store]).assert_ok();
    shipped.restore("copy", &[]).assert_ok();
    assert_eq!(shipped.last_restored("copy"), "record 910");
}
