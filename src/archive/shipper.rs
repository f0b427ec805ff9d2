//! The task that ships segments, one after the other.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use tokio::sync::{mpsc, watch};

use crate::archive::archiver::Status;
use crate::archive::error::{Error, Result};
use crate::archive::ledger::{Ledger, Next, check_refusal};
use crate::archive::manifest::{Body, Reached, Shipped};
use crate::archive::options::{ArchiveOptions, Overflow};
use crate::archive::place::{Place, within};
use crate::archive::read::{self, Piece};
use crate::archive::retry::Backoff;
use crate::archive::step::{self, Step};
use crate::archive::times::Times;
use crate::format::segment::Predecessor;
use crate::host::{Host, race};
use crate::lsn::Lsn;
use crate::queue::Progress;
use crate::retention::{Kept, Retention, Sealed};
use crate::storage::Dir;
use crate::wal::{Wal, WeakWal};

/// Ships what is complete, and lets the log have it when it is safe.
pub(super) struct Shipper {
    dir: Dir,
    host: Host,
    hold: HeldLog,
    news: watch::Receiver<Kept>,
    progress: watch::Receiver<Progress>,
    place: Place,
    times: Times,
    options: ArchiveOptions,
    patience: Patience,
}

impl Shipper {
    pub(super) fn new(
        wal: &Wal,
        place: Place,
        times: Times,
        options: ArchiveOptions,
        status: watch::Sender<Status>,
    ) -> Self {
        let seed = options.seed.unwrap_or_else(|| wal.dir().new_salt());
        let backoff = Backoff::new(options.retry_cap, seed);
        Self {
            dir: wal.dir().clone(),
            host: wal.host(),
            hold: HeldLog::new(wal),
            news: wal.retention().subscribe(),
            progress: wal.progress(),
            place,
            times,
            options,
            patience: Patience { backoff, status },
        }
    }

    /// Ships until something is wrong that trying again does not mend.
    pub(super) async fn run(&mut self) -> Error {
        let Err(error) = self.ship_all().await;
        error
    }

    pub(super) fn note_end(&self, end: Error) {
        self.patience
            .status
            .send_modify(|status| status.end = Some(end));
    }

    async fn ship_all(&mut self) -> Result<Infallible> {
        let mut ledger = self.claim().await?;
        self.times.go_on_from(ledger.reached.clock);
        loop {
            let kept = self.news.borrow_and_update().clone();
            let durable = self.progress.borrow().durable;
            let step = step::next(&ledger, &kept, durable, &self.place.prefix())?;
            // Not before it is known that archive and log belong together.
            self.settle(&ledger).await;
            self.patience.note_looked();
            match step {
                Step::Ship(sealed) => self.ship(&mut ledger, sealed).await?,
                Step::Gap(first, last) => self.note_gap(&mut ledger, first, last).await?,
                Step::Wait => drop(self.news.changed().await),
            }
        }
    }

    /// Takes the archive over. Somebody else may do the same at this moment: then once more.
    async fn claim(&mut self) -> Result<Ledger> {
        let log_id = self.log_id().await?;
        let writer = self.dir.new_salt();
        loop {
            let object = self.place.manifest();
            let claim = within(self.options.attempt_timeout, "claim", &object, async {
                let mut ledger = Ledger::read(&self.place, log_id, writer).await?;
                let next = ledger.next(Body::Claim, ledger.reached);
                ledger.enter(&self.place, &next).await?;
                Ok((ledger, next))
            });
            match claim.await {
                Ok((ledger, entered)) => {
                    self.check_refusal(&entered).await?;
                    return Ok(ledger);
                }
                Err(error @ Error::Fenced { .. }) => self.patience.pause(error).await,
                Err(error) => self.patience.wait(error).await?,
            }
        }
    }

    /// Makes sure that the store refuses to create what is there.
    async fn check_refusal(&mut self, entered: &Next) -> Result<()> {
        let object = self.place.entry(entered.number());
        loop {
            let checked = check_refusal(&self.place, entered);
            match within(self.options.attempt_timeout, "create", &object, checked).await {
                Ok(()) => {
                    self.patience.note_success();
                    return Ok(());
                }
                Err(error) => self.patience.wait(error).await?,
            }
        }
    }

    /// The id of the log, when it has one. Before its first segment it may be told only that whatever is
    /// under the prefix is not its archive.
    async fn log_id(&mut self) -> Result<u64> {
        let known = self.news.borrow().log_id;
        if let Some(log_id) = known {
            return Ok(log_id);
        }
        let manifest = self.place.manifest();
        loop {
            let newest = self.place.newest_entry();
            match within(self.options.attempt_timeout, "list", &manifest, newest).await {
                Ok(0) => {
                    self.patience.note_looked();
                    break;
                }
                Ok(_) => {
                    return Err(Error::Foreign {
                        prefix: self.place.prefix(),
                    });
                }
                Err(error) => self.patience.wait(error).await?,
            }
        }
        let opened = self.news.wait_for(|kept| kept.log_id.is_some()).await;
        let log_id = opened.ok().and_then(|kept| kept.log_id);
        log_id.ok_or(crate::Error::Interrupted.into())
    }

    /// Lets the log have what is in the archive.
    async fn settle(&mut self, ledger: &Ledger) {
        let reached = ledger.reached.last;
        self.patience
            .status
            .send_modify(|status| status.archived = reached);
        self.hold.move_to(reached.next()).await;
    }

    /// Ships a segment, unless it is given up meanwhile.
    ///
    /// Only until its entry is tried: whether that is there could not be told afterwards.
    async fn ship(&mut self, ledger: &mut Ledger, sealed: Sealed) -> Result<()> {
        let let_go = let_go(self.news.clone(), sealed);
        let shipped = race(async { Some(self.put_segment(sealed).await) }, async {
            let_go.await;
            None
        });
        match shipped.await {
            Some(Ok(shipped)) => self.enter_segment(ledger, shipped).await,
            // What was read may be another segment already.
            Some(Err(_)) if is_let_go(&self.news.borrow(), &sealed) => Ok(()),
            Some(Err(error)) => Err(error),
            None => Ok(()),
        }
    }

    async fn enter_segment(&mut self, ledger: &mut Ledger, mut shipped: Shipped) -> Result<()> {
        let Sealed { header, last, end } = shipped.sealed;
        shipped.times = self.times.of_segment(header.base, last);
        let clock = shipped.times.last().map_or(0, |point| point.time);
        let salt = header.salt;
        let reached = Reached {
            last,
            segment: Some(Predecessor { salt, end }),
            clock: clock.max(ledger.reached.clock),
        };
        self.enter(ledger, Body::Segment(shipped), reached).await?;
        self.times.forget(last);
        self.patience.status.send_modify(|status| {
            status.segments += 1;
            status.bytes += end;
        });
        Ok(())
    }

    async fn note_gap(&mut self, ledger: &mut Ledger, first: Lsn, last: Lsn) -> Result<()> {
        if self.options.overflow != Overflow::LeaveGap {
            return Err(Error::Gap { first, last });
        }
        let reached = Reached {
            last,
            segment: None,
            clock: ledger.reached.clock,
        };
        self.enter(ledger, Body::Gap { first, last }, reached)
            .await?;
        self.times.forget(last);
        self.patience
            .status
            .send_modify(|status| status.given_up += last.since(first) + 1);
        Ok(())
    }

    async fn enter(&mut self, ledger: &mut Ledger, body: Body, reached: Reached) -> Result<()> {
        let next = ledger.next(body, reached);
        let object = self.place.entry(next.number());
        loop {
            let entered = ledger.enter(&self.place, &next);
            match within(self.options.attempt_timeout, "create", &object, entered).await {
                Ok(()) => {
                    self.patience.note_success();
                    return Ok(());
                }
                Err(error) => self.patience.wait(error).await?,
            }
        }
    }

    /// Puts all parts of a segment. What cannot be read for now is read again later.
    async fn put_segment(&mut self, sealed: Sealed) -> Result<Shipped> {
        loop {
            match self.try_put_segment(sealed).await {
                Ok(shipped) => return Ok(shipped),
                Err(error) => self.patience.wait(error).await?,
            }
        }
    }

    async fn try_put_segment(&mut self, sealed: Sealed) -> Result<Shipped> {
        let (outbox, mut pieces) = mpsc::channel(PARTS_AHEAD);
        let reading = read::run(self.dir.clone(), sealed, outbox);
        let started = self.host.run("tidewal-archive", self.dir.path(), reading);
        started.map_err(crate::Error::from)?;
        let Piece::Surveyed(survey) = next_piece(&mut pieces).await? else {
            unreachable!("a reader surveys a segment before it sends its parts");
        };
        let shipped = Shipped {
            sealed,
            crc: survey.crc,
            parts: survey.parts,
            times: Vec::new(),
        };
        for index in 0..shipped.parts.len() {
            let Piece::Part(bytes) = next_piece(&mut pieces).await? else {
                unreachable!("a segment is surveyed once");
            };
            self.put(&self.place.part(&shipped, index), bytes).await?;
        }
        Ok(shipped)
    }

    async fn put(&mut self, object: &Path, bytes: Bytes) -> Result<()> {
        loop {
            let put = self.place.put(object, bytes.clone());
            match within(self.options.attempt_timeout, "put", object, put).await {
                Ok(()) => {
                    self.patience.note_success();
                    return Ok(());
                }
                Err(error) => self.patience.wait(error).await?,
            }
        }
    }
}

/// The log, as long as it is open, and what it holds back.
struct HeldLog {
    log: WeakWal,
    retention: Arc<Retention>,
    limit: u64,
}

impl HeldLog {
    fn new(wal: &Wal) -> Self {
        let limit = wal.retention().subscribe().borrow().hold;
        Self {
            log: wal.downgrade(),
            retention: Arc::clone(wal.retention()),
            limit: limit.map_or(u64::MAX, |hold| hold.limit),
        }
    }

    /// Holds back no more than what begins with `from`, and asks for the truncation that was put off.
    async fn move_to(&self, from: Lsn) {
        if let Some(before) = self.retention.hold(from, self.limit)
            && let Some(log) = self.log.upgrade()
        {
            // If the log cannot remove a file it says so to the next caller that truncates; if it has
            // ended, that is noticed elsewhere.
            let _ = log.truncate_before(before).await;
        }
    }
}

/// Gives up the oldest truncated segments whenever more than is allowed are held back, if gaps are
/// allowed.
pub(super) fn give_up(wal: &Wal, options: &ArchiveOptions) -> impl Future<Output = ()> + use<> {
    let (hold, mut news) = (HeldLog::new(wal), wal.retention().subscribe());
    let (max, overflow) = (options.max_held_bytes, options.overflow);
    async move {
        if overflow != Overflow::LeaveGap {
            return future::pending().await;
        }
        loop {
            let from = match news.wait_for(|kept| kept.held_bytes() > max).await {
                Ok(kept) => first_kept(&kept, max),
                Err(_) => return,
            };
            hold.move_to(from).await;
        }
    }
}

/// Where the hold has to stand so that no more than `max` bytes are held back.
fn first_kept(kept: &Kept, max: u64) -> Lsn {
    let mut excess = kept.held_bytes().saturating_sub(max);
    let mut from = Lsn::ZERO;
    for sealed in kept.held_back() {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(sealed.header.capacity);
        from = sealed.last.next();
    }
    from
}

/// What is tried again, and how it went.
struct Patience {
    backoff: Backoff,
    status: watch::Sender<Status>,
}

impl Patience {
    /// Waits before the next attempt; gives the error back if there is no point in one.
    async fn wait(&mut self, error: Error) -> Result<()> {
        if !error.is_passing() {
            return Err(error);
        }
        self.pause(error).await;
        Ok(())
    }

    async fn pause(&mut self, error: Error) {
        self.status.send_modify(|status| {
            status.failures += 1;
            status.last_error = Some(error);
        });
        tokio::time::sleep(self.backoff.wait()).await;
    }

    /// Notes that the archive was looked at, and is not another log's.
    fn note_looked(&mut self) {
        self.note_success();
        let set = |status: &mut Status| !std::mem::replace(&mut status.has_looked, true);
        self.status.send_if_modified(set);
    }

    fn note_success(&mut self) {
        self.backoff.reset();
        self.status
            .send_if_modified(|status| status.last_error.take().is_some());
    }
}

async fn next_piece(pieces: &mut mpsc::Receiver<Result<Piece>>) -> Result<Piece> {
    let interrupted = || Err(crate::Error::Interrupted.into());
    pieces.recv().await.unwrap_or_else(interrupted)
}

/// Waits until a segment is not held back any more.
async fn let_go(mut news: watch::Receiver<Kept>, sealed: Sealed) {
    let _ = news.wait_for(|kept| is_let_go(kept, &sealed)).await;
}

fn is_let_go(kept: &Kept, sealed: &Sealed) -> bool {
    kept.hold.is_some_and(|hold| hold.from > sealed.header.base)
}

/// Parts that are read ahead of the one that is put.
const PARTS_AHEAD: usize = 1;
