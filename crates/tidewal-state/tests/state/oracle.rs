//! Checks of the state after a start.

use std::collections::{BTreeMap, BTreeSet};

use tidewal::Lsn;
use tidewal_state::{Error, State};

use crate::ledger::{Ledger, Receipt, Transfer};

/// The requests and answers of all lives.
#[derive(Default)]
pub struct Oracle {
    sent: BTreeMap<u64, Transfer>,
    /// For each transfer of a batch, the transfers of that batch.
    batches: BTreeMap<u64, Vec<u64>>,
    answered: BTreeMap<u64, Receipt>,
    refused: BTreeSet<u64>,
    /// The history that a query or a start has shown.
    seen: Vec<(u64, u64)>,
    shown: BTreeSet<u64>,
    /// The commands answered since.
    to_be_shown: Vec<u64>,
}

impl Oracle {
    pub fn next_id(&self) -> u64 {
        self.sent.len() as u64
    }

    pub fn send(&mut self, transfer: &Transfer) {
        self.sent.insert(transfer.id, transfer.clone());
    }

    /// Records that these transfers are sent as one batch.
    pub fn send_batch(&mut self, ids: &[u64]) {
        for id in ids {
            self.batches.insert(*id, ids.to_vec());
        }
    }

    /// Records an answer. A retry must get the first answer again.
    pub fn note(&mut self, id: u64, outcome: &Result<Receipt, Error>) {
        match outcome {
            Ok(receipt) => {
                self.to_be_shown.push(id);
                let earlier = self.answered.insert(id, receipt.clone());
                assert!(
                    earlier.is_none_or(|earlier| earlier == *receipt),
                    "transfer {id} was answered twice, not the same"
                );
                assert!(!self.refused.contains(&id), "transfer {id} was refused");
            }
            Err(Error::SessionExpired { .. } | Error::RequestForgotten { .. }) => {}
            Err(error) if error.is_outcome_unknown() => {}
            Err(_) => drop(self.refused.insert(id)),
        }
    }

    /// Like [`note`](Self::note), for a request that may be sent again: a refusal says nothing
    /// about earlier attempts.
    pub fn note_request(&mut self, id: u64, outcome: &Result<Receipt, Error>) {
        if outcome.is_ok() {
            self.note(id, outcome);
        }
    }

    /// Checks that a query shows everything that was shown before, in any life, and everything that
    /// was answered.
    pub fn query(&mut self, ledger: &Ledger) {
        let new = ledger.history.strip_prefix(self.seen.as_slice());
        let new = new.expect("what was shown is still there");
        self.check_batches(new);
        self.shown.extend(new.iter().map(|(_, id)| *id));
        self.seen.extend_from_slice(new);
        for id in self.to_be_shown.drain(..) {
            assert!(
                self.shown.contains(&id),
                "transfer {id} was answered, and is not shown"
            );
        }
    }

    /// Checks that each batch is there as a whole, with one LSN, and that nothing else has this LSN.
    fn check_batches(&self, mut new: &[(u64, u64)]) {
        let mut last = self.seen.last().map_or(0, |(lsn, _)| *lsn);
        while let Some((lsn, id)) = new.first().copied() {
            let expected = self.batches.get(&id).cloned().unwrap_or_else(|| vec![id]);
            let record = new.iter().take_while(|(other, _)| *other == lsn);
            let ids: Vec<_> = record.map(|(_, id)| *id).collect();
            assert_eq!(ids, expected, "a record at LSN {lsn}");
            assert!(lsn > last, "LSN {lsn} was given twice");
            last = lsn;
            new = &new[ids.len()..];
        }
    }

    /// Checks the state after a start.
    pub fn start(&mut self, ledger: &Ledger) {
        self.query(ledger);
        let mut model = Ledger::default();
        let mut outputs = BTreeMap::new();
        for (lsn, id) in &ledger.history {
            let transfer = self.sent.get(id).expect("it was sent").clone();
            let receipt = model.apply(Lsn::new(*lsn), transfer);
            let twice = outputs.insert(*id, receipt);
            assert!(twice.is_none(), "transfer {id} was applied twice");
            assert!(!self.refused.contains(id), "transfer {id} was refused");
        }
        assert_eq!(
            model, *ledger,
            "the state is not what its history makes of it"
        );
        for (id, receipt) in &self.answered {
            assert_eq!(outputs.get(id), Some(receipt), "transfer {id} was answered");
        }
    }
}
