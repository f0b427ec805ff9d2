//! Holds: keeping records that are still needed from being truncated.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::queue::Control;
use crate::retention::{self, HoldId, Refusal, Retention, RetentionState, Terms};
use crate::wal::Wal;

impl Wal {
    /// Keeps every record at or above `from` until the hold moves or is dropped, even if the log is
    /// truncated beyond it.
    ///
    /// [`Lsn::ZERO`] means the oldest record that the log still has. The hold keeps at most 4 GiB. When it
    /// reaches that bound, appends that need another segment are refused. [`hold_with`](Self::hold_with) sets
    /// another bound or behavior.
    ///
    /// Holds are in memory. Take them on start, before anything is truncated.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if that record was truncated, or is being truncated.
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

    /// Like [`hold`](Self::hold), with a name, a bound, and the behavior when the bound is reached.
    ///
    /// # Errors
    ///
    /// The errors of [`hold`](Self::hold). [`Error::HoldTaken`] if the hold is
    /// [lasting](HoldOptions::lasting) and the existing one of this name has an owner.
    pub fn hold_with(&self, from: Lsn, options: HoldOptions) -> Result<Hold> {
        let terms = Terms {
            name: options.name.into(),
            may_be_released: options.overflow == HoldOverflow::Release,
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

    /// The current holds, and what each of them keeps.
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

/// Keeps records from being truncated until it moves or is dropped. Made by [`Wal::hold`].
///
/// Truncations that were requested in the meantime are carried out in the background when the hold
/// moves or is dropped. A hold does not keep the log open. One that is
/// [lasting](HoldOptions::lasting) keeps its records when it is dropped.
#[must_use = "a hold that is dropped holds nothing"]
pub struct Hold {
    id: HoldId,
    retention: Arc<Retention>,
    log: Control,
}

impl Hold {
    /// The first record that the hold keeps, or `None` if it was released.
    #[must_use]
    pub fn lsn(&self) -> Option<Lsn> {
        self.retention.start_of_hold(self.id)
    }

    /// The name of the hold and what it keeps, or `None` if it was released.
    #[must_use]
    pub fn info(&self) -> Option<HoldInfo> {
        let kept = self.retention.subscribe();
        let kept = kept.borrow();
        let (_, hold, terms) = kept.holds().find(|(id, ..)| *id == self.id)?;
        Some(HoldInfo::of(&kept, hold, terms))
    }

    /// Moves the hold forward: records below `to` may be truncated from now on. A hold never moves
    /// back. A smaller LSN changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::HoldReleased`] if the hold exceeded its bound and was released
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

    /// Waits until the hold is released because it exceeded its bound ([`HoldOverflow::Release`]), or
    /// until the log ends. In the second case [`lsn`](Self::lsn) still returns a value.
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

/// The name of a hold, its bound, and what happens when it reaches the bound.
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

    /// The purpose of the hold, as [`Wal::holds`] reports it. Default: `hold`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The most bytes of segments that may be kept only because of this hold.
    /// [`overflow`](Self::overflow) says what happens beyond that. Default: 4 GiB.
    ///
    /// Whole segments count, once they were truncated and are still kept. The log checks the bound
    /// before it opens the next segment. With 0, it opens no segment while the hold keeps one.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// What happens when the hold reaches its bound. Default: [`HoldOverflow::RefuseAppends`].
    pub fn overflow(mut self, overflow: HoldOverflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Whether the hold remains after its owner drops it, until the log ends. Default: `false`.
    ///
    /// The next lasting hold of this name then replaces it, with its own bound, and begins where
    /// the old one was or later. While a lasting hold has an owner, a second one of this name is
    /// refused. This is for a consumer that may be restarted while the log stays open, and that
    /// must not run twice.
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

/// What happens when a hold would keep more than [`HoldOptions::max_bytes`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum HoldOverflow {
    /// The log opens no further segment. Appends that need one fail with [`Error::StorageFull`] and
    /// are certainly not appended. They work again once the hold has moved. Nothing that the hold
    /// keeps is lost.
    #[default]
    RefuseAppends,

    /// The log releases the hold, and its records may be removed. Its owner learns of it from
    /// [`Hold::advance`] and [`Hold::released`]. Appends continue.
    Release,
}

/// A hold, as [`Wal::holds`] lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HoldInfo {
    /// Its purpose ([`HoldOptions::name`]).
    pub name: String,
    /// The first record that is kept.
    pub from: Lsn,
    /// The number of truncated segments that this hold keeps. Another hold may keep them too.
    pub segments: u64,
    /// The bytes of these segments on disk.
    pub bytes: u64,
}

impl HoldInfo {
    fn of(kept: &RetentionState, hold: retention::Hold, terms: &Terms) -> Self {
        Self {
            name: terms.name.to_string(),
            from: hold.from,
            segments: kept.held_back(hold).len() as u64,
            bytes: kept.held_bytes(hold),
        }
    }
}

const MAX_BYTES_DEFAULT: u64 = 4 * 1024 * 1024 * 1024;
