//! The oracle: requests to a log, its promises, and the checks of P1 to P3 (`docs/durability.md`).

use std::collections::{BTreeMap, HashSet};

use tidewal::{Error, Lsn, Record};

use crate::harness::followers::Seen;

/// The requests to a log, and its promises.
#[derive(Clone, Debug, Default, Hash)]
pub struct Oracle {
    /// The number of appends that were begun.
    begun: usize,
    /// The payloads of each append that may be in the log.
    asked: Vec<Vec<Vec<u8>>>,
    /// Records that were acknowledged as durable, by LSN.
    pub durable: BTreeMap<Lsn, Vec<u8>>,
    /// Records that were acknowledged as written: they survive a kill, but not a power cut.
    written: BTreeMap<Lsn, Vec<u8>>,
    /// Records that followers got, which must be as durable as acknowledged ones.
    pub followed: BTreeMap<Lsn, Vec<u8>>,
    /// The highest LSN passed to `truncate_before`.
    mark: Lsn,
    /// What a consumer holds: this record and all later ones stay, whatever was truncated.
    pub held: Option<Lsn>,
}

impl Oracle {
    pub fn ask(&mut self, count: usize, len: usize) -> Vec<Vec<u8>> {
        let number = self.begun;
        self.begun += 1;
        let payload = |index: usize| {
            let mut bytes = format!("{number}.{index}/").into_bytes();
            bytes.resize(len.max(bytes.len()), u8::try_from(number % 251).unwrap());
            bytes
        };
        let payloads: Vec<_> = (0..count).map(payload).collect();
        self.asked.push(payloads.clone());
        payloads
    }

    pub fn note(&mut self, first: Lsn, payloads: Vec<Vec<u8>>) {
        for (index, payload) in (0..).zip(payloads) {
            let lsn = Lsn::new(first.get() + index);
            assert!(
                self.durable.insert(lsn, payload).is_none(),
                "LSN {lsn} was given twice"
            );
        }
    }

    pub fn note_written(&mut self, lsn: Lsn, payload: Vec<u8>) {
        assert!(
            self.written.insert(lsn, payload).is_none(),
            "LSN {lsn} was given twice"
        );
    }

    /// Records what followers got, and checks it. `is_off` says whether the power was cut, after
    /// which any error is expected.
    pub fn note_followed(&mut self, seen: Seen, is_off: bool) {
        let Seen {
            records,
            failures,
            broken,
        } = seen;
        assert!(broken.is_empty(), "{broken:?}");
        for (has_hold, error) in failures {
            let is_allowed = match &error {
                Error::Closed => true,
                Error::Truncated { asked, .. } => !has_hold && *asked < self.mark,
                _ => false,
            };
            assert!(is_allowed || is_off, "a follower failed: {error:?}");
        }
        for record in records {
            let payload = record.payload.to_vec();
            let known = self
                .followed
                .entry(record.lsn)
                .or_insert_with(|| payload.clone());
            assert_eq!(*known, payload, "record {} has other bytes", record.lsn);
        }
    }

    pub fn note_mark(&mut self, mark: Lsn) {
        self.mark = self.mark.max(mark);
    }

    /// The first record that must still be there.
    fn kept(&self) -> Lsn {
        self.held.map_or(self.mark, |held| held.min(self.mark))
    }

    /// Whether only a hold keeps this record.
    pub fn is_truncated(&self, lsn: Lsn) -> bool {
        lsn < self.mark
    }

    /// Drops written records after a power cut: they may be lost.
    pub fn forget_written(&mut self) {
        self.written.clear();
    }

    pub fn last(&self) -> Lsn {
        self.durable
            .keys()
            .next_back()
            .copied()
            .unwrap_or(Lsn::ZERO)
    }

    /// Checks the records of a recovery against the promises.
    pub fn check(&self, records: &[Record]) {
        for pair in records.windows(2) {
            assert_eq!(pair[0].lsn.next(), pair[1].lsn, "P2: LSNs are dense");
        }
        let delivered: BTreeMap<_, _> = records
            .iter()
            .map(|record| (record.lsn, record.payload.to_vec()))
            .collect();
        let kept = self.kept();
        let promised = self.durable.range(kept..);
        for (lsn, payload) in promised.chain(self.written.range(kept..)) {
            assert_eq!(
                delivered.get(lsn),
                Some(payload),
                "P1: record {lsn} was acknowledged"
            );
        }
        for (lsn, payload) in self.followed.range(kept..) {
            let found = delivered.get(lsn);
            assert!(
                found == Some(payload),
                "record {lsn} was given to a follower"
            );
        }
        for (lsn, payload) in &delivered {
            if let Some(promised) = self.durable.get(lsn) {
                assert_eq!(payload, promised, "P1: record {lsn} has other bytes");
            }
        }
        if let Some(first) = records.first() {
            assert!(
                first.lsn <= self.mark.max(Lsn::FIRST),
                "a record above the mark was truncated"
            );
        }
        self.check_batches(&delivered);
    }

    /// Checks the records that a recovery delivered before it stopped at `first`, which cannot be
    /// read.
    pub fn check_before(&self, first: Lsn, records: &[Record]) {
        let delivered: BTreeMap<_, _> = records
            .iter()
            .map(|record| (record.lsn, record.payload.to_vec()))
            .collect();
        for (lsn, payload) in self.durable.range(self.mark..first.max(self.mark)) {
            assert_eq!(delivered.get(lsn), Some(payload), "P4: {lsn} is before it");
        }
        for (lsn, payload) in &delivered {
            let promised = self.durable.get(lsn).unwrap_or(payload);
            assert_eq!(payload, promised, "P1: record {lsn} has other bytes");
        }
    }

    /// Adopts the records of a recovery: from now on they must stay, and missing ones must never
    /// come back.
    pub fn adopt(&mut self, records: Vec<Record>) {
        let delivered: HashSet<_> = records.iter().map(|record| &record.payload[..]).collect();
        let is_there = |payload: &Vec<u8>| delivered.contains(&payload[..]);
        self.asked.retain(|payloads| payloads.iter().any(is_there));

        let delivered = records.into_iter();
        self.durable = delivered
            .map(|record| (record.lsn, record.payload.to_vec()))
            .collect();
        self.written.clear();
        self.followed.clear();
    }

    /// P3: each requested batch is in the log completely or not at all, and nothing else is.
    fn check_batches(&self, delivered: &BTreeMap<Lsn, Vec<u8>>) {
        let lsns: BTreeMap<&[u8], Lsn> = delivered
            .iter()
            .map(|(lsn, payload)| (payload.as_slice(), *lsn))
            .collect();
        assert_eq!(
            lsns.len(),
            delivered.len(),
            "P1: a record was delivered twice"
        );
        let mut known = 0;
        for payloads in &self.asked {
            let found: Vec<_> = payloads
                .iter()
                .filter_map(|p| lsns.get(p.as_slice()))
                .collect();
            known += found.len();
            let oldest = delivered.keys().next().copied().unwrap_or(Lsn::ZERO);
            let truncated = found.first().is_some_and(|lsn| **lsn == oldest);
            assert!(
                found.is_empty() || found.len() == payloads.len() || truncated,
                "P3: a batch was delivered in part"
            );
            assert!(
                found.windows(2).all(|pair| pair[0].next() == *pair[1]),
                "P3: a batch in pieces"
            );
        }
        assert_eq!(known, delivered.len(), "a record that was never appended");
    }
}
