//! A consumer that holds what it still needs, over several lives of a log: its cursor is on a disk of its own,
//! and it takes its hold again after each start.
//!
//! A hold that refuses appends is never released, so what it keeps must be there after every crash. The log may
//! release the other kind, but only at its bound.

use tidewal::{Error, Hold, HoldOptions, HoldOverflow, Lsn, Wal};

use crate::harness::oracle::Oracle;
use crate::harness::rng::Rng;

/// The consumer, and what has happened to its holds.
pub struct Holder {
    rng: Rng,
    overflow: HoldOverflow,
    max_bytes: u64,
    is_lasting: bool,
    hold: Option<Hold>,
    /// The open segment when the hold was first seen at its bound.
    exhausted: Option<Lsn>,
    pub events: Events,
}

/// How often the rare events came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    /// Appends were refused because of the hold.
    pub refused: u64,
    /// The hold was released at its bound.
    pub released: u64,
    /// The hold was taken again in a later life, and kept what had been truncated.
    pub lasted: u64,
}

impl Events {
    pub fn add(&mut self, other: Self) {
        self.refused += other.refused;
        self.released += other.released;
        self.lasted += other.lasted;
    }
}

impl Holder {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            overflow: HoldOverflow::Release,
            max_bytes: 0,
            is_lasting: false,
            hold: None,
            exhausted: None,
            events: Events::default(),
        }
    }

    /// Begins another life, with other terms.
    pub fn begin(&mut self, oracle: &mut Oracle) {
        self.hold = None;
        self.overflow = match self.rng.once_in(3) {
            true => HoldOverflow::Release,
            false => HoldOverflow::RefuseAppends,
        };
        self.max_bytes = self.rng.roll(3) * 16_000;
        self.is_lasting = self.rng.once_in(2);
        if self.overflow == HoldOverflow::Release {
            oracle.held = None;
        }
    }

    /// Takes the hold of a log that was opened, where the consumer is.
    pub fn open(&mut self, wal: &Wal, oracle: &mut Oracle) {
        self.hold = None;
        self.exhausted = None;
        if oracle.held.is_some_and(|held| oracle.is_truncated(held)) {
            self.events.lasted += 1;
        }
        self.take(wal, oracle.held.unwrap_or(Lsn::ZERO));
        if self.overflow == HoldOverflow::RefuseAppends {
            oracle.held = self.lsn();
        }
    }

    fn take(&mut self, wal: &Wal, from: Lsn) {
        let options = HoldOptions::new()
            .name("consumer")
            .max_bytes(self.max_bytes)
            .overflow(self.overflow)
            .lasting(self.is_lasting);
        let hold = wal.hold_with(from, options);
        self.hold = Some(hold.expect("what is held stays"));
    }

    fn lsn(&self) -> Option<Lsn> {
        self.hold.as_ref().and_then(Hold::lsn)
    }

    /// Does something with the hold, or nothing: moves it, or gives it to another consumer.
    pub fn act(&mut self, wal: &Wal, oracle: &mut Oracle) {
        match self.rng.roll(6) {
            0 => {
                let keep = self.rng.roll(12);
                self.advance(oracle, keep);
            }
            1 => self.hand_over(wal),
            _ => {}
        }
    }

    /// Moves the hold to the end of the log, except for `keep` records.
    fn advance(&mut self, oracle: &mut Oracle, keep: u64) {
        let to = Lsn::new((oracle.last().get() + 1).saturating_sub(keep));
        if let Some(held) = &mut oracle.held {
            *held = to.max(*held);
        }
        let Some(hold) = &self.hold else { return };
        match hold.advance(to) {
            Ok(()) => {}
            Err(Error::HoldReleased) => self.note_released(),
            Err(error) => panic!("{error:?}"),
        }
        self.exhausted = None;
    }

    fn note_released(&mut self) {
        assert_eq!(self.overflow, HoldOverflow::Release, "a hold has gone");
        self.events.released += 1;
        self.hold = None;
    }

    /// A lasting hold stays while it has no owner. Any other is replaced before it is dropped.
    fn hand_over(&mut self, wal: &Wal) {
        let Some(from) = self.lsn() else { return };
        if self.is_lasting {
            self.hold = None;
            self.take(wal, Lsn::ZERO);
            assert!(self.lsn().is_none_or(|lsn| lsn == from), "a hold has moved");
        } else {
            self.take(wal, from);
        }
    }

    /// Makes room for appends that were refused. Returns whether they were refused because of the hold.
    pub fn give_way(&mut self, oracle: &mut Oracle) -> bool {
        let is_refusing = self.overflow == HoldOverflow::RefuseAppends && self.is_exhausted();
        if is_refusing {
            self.events.refused += 1;
            self.advance(oracle, 0);
        }
        is_refusing
    }

    fn is_exhausted(&self) -> bool {
        let info = self.hold.as_ref().and_then(Hold::info);
        info.is_some_and(|info| info.bytes > 0 && info.bytes >= self.max_bytes)
    }

    /// Checks that nothing is appended to a segment that was opened while the hold is at its bound.
    pub fn check(&mut self, wal: &Wal) {
        if !self.is_exhausted() {
            self.exhausted = None;
            return;
        }
        let list = wal.segments().list();
        let open = list.open.map_or(Lsn::ZERO, |header| header.base);
        let before = *self.exhausted.get_or_insert(open);
        assert!(
            open == before || list.durable < open,
            "a hold is at its bound, and records are in a further segment"
        );
    }
}
