//! Keeping records that are still needed, whatever is truncated.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::queue::Control;
use crate::retention::{self, HoldId, Kept, Refusal, Retention, Terms};
use crate::wal::Wal;

impl Wal {
    /// Keeps every record from `from` on, whatever is truncated, until the hold moves or is dropped.
    ///
    /// [`Lsn::ZERO`] stands for the oldest record that is kept. It is kept with a bound of 4 GiB, and
    /// appends are refused when that is reached: [`hold_with`](Self::hold_with) takes other terms.
    ///
    /// Holds are in memory. Take them on start, before anything is truncated.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if that record was truncated, or is being truncated at this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidewal::{Lsn, Wal};
    ///
    /// # tokio_test::block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let dir = dir.path();
    /// let wal = Wal::open(dir).await?;
    /// let hold = wal.hold(Lsn::FIRST)?;
    /// let lsn = wal.append("a record").await?;
    ///
    /// wal.truncate_before(lsn.next()).await?; // nothing goes
    /// hold.advance(lsn.next())?; // now it may
    /// # Ok::<(), tidewal::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn hold(&self, from: Lsn) -> Result<Hold> {
        self.hold_with(from, HoldOptions::new())
    }

    /// As [`hold`](Self::hold), with a name, a bound, and what happens when that is reached.
    ///
    /// # Errors
    ///
    /// The same as [`hold`](Self::hold). [`Error::HoldTaken`] if the hold is to be
    /// [lasting](HoldOptions::lasting), and the one of its name has an owner.
    pub fn hold_with(&self, from: Lsn, options: HoldOptions) -> Result<Hold> {
        let terms = Terms {
            name: options.name.into(),
            is_released: options.overflow == HoldOverflow::Release,
            is_lasting: options.is_lasting,
        };
        let hold = retention::Hold {
            from,
            limit: options.max_bytes,
        };
        let end = self.feed().durable_end();
        let added = self.retention().add_caller(hold, &terms, end);
        let (id, is_due) = added.map_err(|refusal| match refusal {
            Refusal::Truncated { oldest } => Error::Truncated {
                asked: from,
                oldest,
            },
            Refusal::Taken => Error::HoldTaken {
                name: terms.name.to_string(),
            },
        })?;
        let log = self.control();
        if is_due {
            log.truncate_put_off();
        }
        Ok(Hold {
            id,
            retention: Arc::clone(self.retention()),
            log,
        })
    }

    /// The holds that there are, and what each keeps.
    #[must_use]
    pub fn holds(&self) -> Vec<HoldInfo> {
        let kept = self.retention().subscribe();
        let kept = kept.borrow();
        let holds = kept.holds();
        holds
            .map(|(_, hold, terms)| HoldInfo::of(&kept, hold, terms))
            .collect()
    }
}

/// Keeps records, whatever is truncated, until it moves or is dropped. [`Wal::hold`] takes one.
///
/// Truncations that were asked for in the meantime are carried out in the background when it moves or is
/// dropped. A hold does not keep the log open. One that is [lasting](HoldOptions::lasting) keeps its records
/// when it is dropped.
#[must_use = "a hold that is dropped holds nothing"]
pub struct Hold {
    id: HoldId,
    retention: Arc<Retention>,
    log: Control,
}

impl Hold {
    /// The first record that is kept; `None` if the hold was released.
    #[must_use]
    pub fn lsn(&self) -> Option<Lsn> {
        self.retention.place_of_hold(self.id)
    }

    /// What it keeps; `None` if it was released.
    #[must_use]
    pub fn info(&self) -> Option<HoldInfo> {
        let kept = self.retention.subscribe();
        let kept = kept.borrow();
        let (_, hold, terms) = kept.holds().find(|(id, ..)| *id == self.id)?;
        Some(HoldInfo::of(&kept, hold, terms))
    }

    /// Keeps no more than what begins with `to`. A hold never moves back: a smaller LSN changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::HoldReleased`] if the hold kept more than it may and was released
    /// ([`HoldOverflow::Release`]).
    pub fn advance(&self, to: Lsn) -> Result<()> {
        if self.retention.move_hold(self.id, to).is_some() {
            self.log.truncate_put_off();
        }
        match self.lsn() {
            Some(_) => Ok(()),
            None => Err(Error::HoldReleased),
        }
    }

    /// Waits until the hold is released because it keeps more than it may ([`HoldOverflow::Release`]), or
    /// until the log ends. In the second case [`lsn`](Self::lsn) still has a value.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits.
    pub async fn released(&self) {
        self.retention.released(self.id).await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.retention.remove_caller(self.id) {
            self.log.truncate_put_off();
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("lsn", &self.lsn())
            .finish_non_exhaustive()
    }
}

/// The terms of a hold.
///
/// # Examples
///
/// ```
/// use tidewal::{HoldOptions, HoldOverflow};
///
/// let options = HoldOptions::new()
///     .name("outbox")
///     .max_bytes(1024 * 1024 * 1024)
///     .overflow(HoldOverflow::Release);
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a hold is taken with them"]
pub struct HoldOptions {
    name: String,
    max_bytes: u64,
    overflow: HoldOverflow,
    is_lasting: bool,
}

impl HoldOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the hold is for, as [`Wal::holds`] says it. Default: `hold`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many bytes of segments may be kept only because of this hold, before
    /// [`overflow`](Self::overflow) says what happens. Default: 4 GiB.
    ///
    /// Counted in whole segments that were truncated and are kept. The bound is looked at when the next
    /// segment is to be opened. With 0 no segment is opened while any is kept.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// What happens when the bound is reached. Default: [`HoldOverflow::RefuseAppends`].
    pub fn overflow(mut self, overflow: HoldOverflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Whether the hold stays when its owner drops it, until the log ends. Default: `false`.
    ///
    /// The next lasting hold of this name then takes it over, with its own bound, and begins where the old one
    /// was or later. While a lasting hold has an owner, another of its name is refused. For a consumer that
    /// may be restarted while the log stays open, and of which there must not be two.
    pub fn lasting(mut self, is_lasting: bool) -> Self {
        self.is_lasting = is_lasting;
        self
    }
}

impl Default for HoldOptions {
    fn default() -> Self {
        Self {
            name: "hold".into(),
            max_bytes: MAX_BYTES_DEFAULT,
            overflow: HoldOverflow::RefuseAppends,
            is_lasting: false,
        }
    }
}

/// What happens when a hold keeps more than [`HoldOptions::max_bytes`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum HoldOverflow {
    /// No further segment is opened: appends that need one fail with [`Error::StorageFull`], certainly not
    /// appended, and work again when the hold has moved. Nothing that is held is lost.
    #[default]
    RefuseAppends,

    /// The hold is released and its records may go. Its owner learns it from [`Hold::advance`] and
    /// [`Hold::released`]. Appends go on.
    Release,
}

/// A hold, as [`Wal::holds`] lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HoldInfo {
    /// What it is for.
    pub name: String,
    /// The first record that is kept.
    pub from: Lsn,
    /// Segments that were truncated and that this hold keeps. Another one may keep them, too.
    pub segments: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

impl HoldInfo {
    fn of(kept: &Kept, hold: retention::Hold, terms: &Terms) -> Self {
        Self {
            name: terms.name.to_string(),
            from: hold.from,
            segments: kept.held_back(hold).len() as u64,
            bytes: kept.held_bytes(hold),
        }
    }
}

const MAX_BYTES_DEFAULT: u64 = 4 * 1024 * 1024 * 1024;
