//! The names of the cases of recovery.

use std::collections::BTreeSet;

use tidewal::{CorruptionKind, TornTailReason};

#[test]
fn every_kind_of_damage_has_a_label_of_its_own() {
    let labels: BTreeSet<_> = CorruptionKind::ALL
        .iter()
        .map(|damage| damage.label())
        .collect();
    assert_eq!(labels.len(), CorruptionKind::ALL.len());
    let texts: BTreeSet<_> = CorruptionKind::ALL
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(texts.len(), CorruptionKind::ALL.len());
}

#[test]
fn the_table_of_recovery_cases_names_every_case() {
    let document = include_str!("../../docs/durability.md");
    let reasons = [
        TornTailReason::NoRecord,
        TornTailReason::TornBatch,
        TornTailReason::TornRecord,
    ];
    let labels = CorruptionKind::ALL.iter().map(|damage| damage.label());
    for label in labels.chain(reasons.iter().map(|reason| reason.label())) {
        assert!(
            document.contains(&format!("`{label}`")),
            "docs/durability.md lacks {label}"
        );
    }
}
