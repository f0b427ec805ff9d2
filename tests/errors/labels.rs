//! The names of the cases of recovery.

use std::collections::BTreeSet;

use tidewal::{CutReason, Damage};

#[test]
fn every_kind_of_damage_has_a_label_of_its_own() {
    let labels: BTreeSet<_> = Damage::ALL.iter().map(|damage| damage.label()).collect();
    assert_eq!(labels.len(), Damage::ALL.len());
    let texts: BTreeSet<_> = Damage::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), Damage::ALL.len());
}

#[test]
fn the_table_of_recovery_cases_names_every_case() {
    let document = include_str!("../../docs/durability.md");
    let reasons = [
        CutReason::NoRecord,
        CutReason::TornBatch,
        CutReason::TornRecord,
    ];
    let labels = Damage::ALL.iter().map(|damage| damage.label());
    for label in labels.chain(reasons.iter().map(|reason| reason.label())) {
        assert!(
            document.contains(&format!("`{label}`")),
            "docs/durability.md lacks {label}"
        );
    }
}
