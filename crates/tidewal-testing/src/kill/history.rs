//! The promises that a log made, and checks of what it delivers: P1 to P4 of `docs/durability.md`.

use std::collections::{BTreeMap, HashMap, HashSet};

use tidewal::Record;

use super::ops::{OpId, RecordId};
use super::process::Event;

/// What may be lost since the last check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// Nothing that was written.
    Nothing,
    /// Everything that was not synced.
    Unsynced,
}

/// The answers that the children of one log got, and the records that it has delivered.
pub struct History {
    seed: u64,
    /// The life since the last check.
    life: u32,
    /// The record at each LSN, as the last check found it.
    delivered: BTreeMap<u64, RecordId>,
    /// The records acknowledged since then.
    acknowledged: BTreeMap<u64, RecordId>,
    /// Everything up to this LSN was promised to be durable, by an acknowledgment or by a log that
    /// opened with it.
    durable: u64,
    /// The number of completed appends of each producer in each life.
    ended: HashMap<(u32, u32), u32>,
    /// Appends that were certainly not appended.
    refused: HashSet<OpId>,
    /// The highest LSN passed to `truncate_before`.
    mark: u64,
    pub counts: Counts,
}

/// The counts of a test, to be printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Appends that were acknowledged as durable.
    pub durable: u64,
    pub written: u64,
    /// Appends that failed because the disk was full.
    pub full: u64,
    /// Other failures.
    pub failed: u64,
    pub truncated: u64,
    /// Records found by all checks together.
    pub checked: u64,
    /// Records of appends whose outcome was not reported.
    pub unanswered: u64,
    /// How often the log ended in a torn record or batch.
    pub torn: u64,
}

impl History {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            life: 0,
            delivered: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            durable: 0,
            ended: HashMap::new(),
            refused: HashSet::new(),
            mark: 1,
            counts: Counts::default(),
        }
    }

    pub fn begin(&mut self, life: u32) {
        self.life = life;
    }

    /// The oldest record that the last check has found.
    pub fn oldest(&self) -> u64 {
        self.delivered.keys().next().copied().unwrap_or(0)
    }

    /// The newest record that the last check has found.
    fn newest(&self) -> u64 {
        self.delivered.keys().next_back().copied().unwrap_or(0)
    }

    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Durable(op, lsn) => {
                let last = self.note_acknowledged(*op, lsn.get());
                self.durable = self.durable.max(last);
                self.counts.durable += 1;
            }
            Event::Written(op, lsn) => {
                self.note_acknowledged(*op, lsn.get());
                self.counts.written += 1;
            }
            Event::Full(op) => {
                self.counts.full += 1;
                self.note_refused(*op);
            }
            Event::Refused(op, _) => {
                self.counts.failed += 1;
                self.note_refused(*op);
            }
            Event::Unknown(..) | Event::Broken(_) => self.counts.failed += 1,
            Event::Truncating(mark) => self.mark = self.mark.max(mark.get()),
            Event::Truncated(_) => self.counts.truncated += 1,
            // The records may have been in the system's cache only. Now they are durable.
            Event::Open => self.durable = self.durable.max(self.newest()),
            Event::Reading | Event::Recovered => {}
        }
    }

    /// Returns the LSN of its last record.
    fn note_acknowledged(&mut self, op: OpId, first: u64) -> u64 {
        let records = op.plan(self.seed).records;
        for (index, lsn) in (0..records).zip(first..) {
            let before = self.acknowledged.insert(lsn, RecordId { op, index });
            assert_eq!(before, None, "P1: LSN {lsn} was given twice");
            assert!(
                !self.delivered.contains_key(&lsn),
                "P1: LSN {lsn} was given to {op:?} and belongs to a record"
            );
        }
        self.note_end(op);
        first + u64::from(records) - 1
    }

    fn note_refused(&mut self, op: OpId) {
        self.refused.insert(op);
        self.note_end(op);
    }

    /// A producer continues only after it has reported the outcome of its last append.
    fn note_end(&mut self, op: OpId) {
        let ended = self.ended.entry((op.producer, op.life)).or_default();
        assert_eq!(
            *ended, op.number,
            "the appends of a producer in their order"
        );
        *ended += 1;
    }

    /// Checks the delivered records. From now on they must stay.
    pub fn check(&mut self, records: &[Record], loss: Loss) {
        for pair in records.windows(2) {
            let (before, after) = (pair[0].lsn, pair[1].lsn);
            assert_eq!(before.next(), after, "P2: LSNs are dense");
        }
        let found: BTreeMap<_, _> = records
            .iter()
            .map(|record| (record.lsn.get(), self.recognize(record)))
            .collect();
        let first = found.keys().next().copied().unwrap_or(self.mark);
        assert!(first <= self.mark, "P1: {first} is above {}", self.mark);
        self.check_promised(&found, first, loss);
        self.check_new(&found);
        self.check_order(&found);
        self.counts.checked += found.len() as u64;
        self.delivered = found;
        self.acknowledged.clear();
        if loss == Loss::Unsynced {
            // The records were read from the disk.
            self.durable = self.newest();
        }
    }

    fn recognize(&self, record: &Record) -> RecordId {
        let lsn = record.lsn;
        let id = RecordId::recognize(&record.payload, self.seed);
        id.unwrap_or_else(|| panic!("P1: what is at LSN {lsn} was never appended"))
    }

    /// P1: acknowledged records are in the log, and so are those that an earlier check has found.
    fn check_promised(&self, found: &BTreeMap<u64, RecordId>, first: u64, loss: Loss) {
        let end = found.keys().next_back().copied().unwrap_or(0);
        let kept = match loss {
            Loss::Nothing => u64::MAX,
            Loss::Unsynced => self.durable.max(end),
        };
        let promised = self.delivered.range(first..);
        for (lsn, id) in promised.chain(self.acknowledged.range(first..)) {
            let now = found.get(lsn);
            assert!(
                now == Some(id) || *lsn > kept,
                "P1: at LSN {lsn} was {id:?} and is {now:?}; the log ends at {end}, was durable \
                 up to {}, and lost {loss:?}",
                self.durable
            );
        }
    }

    /// New records belong to the last life, were requested, and were not refused.
    fn check_new(&mut self, found: &BTreeMap<u64, RecordId>) {
        for (lsn, id) in found.range(self.newest() + 1..) {
            let op = id.op;
            assert_eq!(op.life, self.life, "P4: LSN {lsn} came back to life");
            let ended = self.ended.get(&(op.producer, op.life)).copied();
            assert!(
                op.number <= ended.unwrap_or(0),
                "LSN {lsn}: {op:?} was not asked for yet"
            );
            assert!(!self.refused.contains(&op), "LSN {lsn}: {op:?} was refused");
            let is_answered = self.acknowledged.contains_key(lsn);
            self.counts.unanswered += u64::from(!is_answered);
        }
    }

    /// P3: a producer's appends are in the log in order and without a gap, and batches are
    /// complete.
    fn check_order(&self, found: &BTreeMap<u64, RecordId>) {
        let mut latest: HashMap<u32, (u64, RecordId)> = HashMap::new();
        for (lsn, id) in found {
            match latest.insert(id.op.producer, (*lsn, *id)) {
                Some(before) => self.check_pair(before, (*lsn, *id)),
                None => assert_eq!(id.index, 0, "P3: LSN {lsn} is in the middle of a batch"),
            }
        }
        latest.into_values().for_each(|(lsn, id)| {
            assert!(self.is_last(id), "P3: LSN {lsn} is not all of its batch");
        });
    }

    fn check_pair(&self, before: (u64, RecordId), after: (u64, RecordId)) {
        let ((before_lsn, before), (lsn, after)) = (before, after);
        if !self.is_last(before) {
            let rest = (before.op, before.index + 1, before_lsn + 1);
            let found = (after.op, after.index, lsn);
            assert_eq!(found, rest, "P3: a batch is not in one piece");
            return;
        }
        let next = self.next_of(before.op, after.op.life);
        assert_eq!((after.op, after.index), (next, 0), "P3: LSN {lsn}, order");
    }

    /// The append after `op`, if the next one belongs to `life`.
    fn next_of(&self, op: OpId, life: u32) -> OpId {
        assert!(op.life <= life, "P3: {op:?} comes after life {life}");
        let number = if op.life == life { op.number + 1 } else { 0 };
        let mut later = (number..).map(|number| OpId { life, number, ..op });
        later.find(|op| !self.refused.contains(op)).unwrap()
    }

    fn is_last(&self, id: RecordId) -> bool {
        id.index + 1 == id.op.plan(self.seed).records
    }
}
