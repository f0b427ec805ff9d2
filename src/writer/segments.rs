//! The segments of the log: rotation adds one, truncation cuts the oldest off.

use std::io;
use std::sync::Arc;

use crate::error::IoFailure;
use crate::format::frame::Key;
use crate::format::names;
use crate::format::segment::{Header, Predecessor};
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};
use crate::recovered::Recovered;
use crate::retention::{Finished, Retention};
use crate::storage::{Dir, File, Onto};
use crate::writer::disk_error::DiskError;
use crate::writer::retire::Retired;
use crate::writer::segment::Segment;
use crate::writer::spares::Spares;
use crate::writer::statements;
use crate::writer::tail::Tail;
use crate::writer::unshare::open_to_change;

/// The segments of the log, and what is needed to add one.
pub(super) struct Segments {
    dir: Dir,
    /// Their headers, oldest first.
    headers: Vec<Header>,
    /// The log id in the headers of all segments.
    log_id: u64,
    capacity: u64,
    pub(super) spares: Spares,
    /// Whether files were requested since the open segment was opened.
    is_next_requested: bool,
    retention: Arc<Retention>,
}

impl Segments {
    /// The recovered segments, and the source of new ones.
    pub(super) fn new(
        dir: Dir,
        recovered: Recovered,
        capacity: u64,
        spares: Spares,
        retention: Arc<Retention>,
    ) -> Self {
        let finished = finished_of(&recovered);
        let headers = recovered.segments;
        let log_id = headers.first().map(|header| header.log_id);
        retention.begin(log_id, finished);
        let log_id = log_id.unwrap_or_else(|| dir.new_salt());
        Self {
            dir,
            headers,
            log_id,
            capacity,
            spares,
            is_next_requested: false,
            retention,
        }
    }

    /// The number of segments.
    pub(super) fn count(&self) -> usize {
        self.headers.len()
    }

    /// Opens the next segment. Everything in `tail` must be durable.
    ///
    /// First the new segment is made durable, with the end of the old one in its header. Then the
    /// link in the old segment is made durable. Then the new segment is used. If the new segment is
    /// missing later, either it never held a record, or the link in the old one shows that it is
    /// missing. If the new segment is refused, `tail` is unchanged: everything that is needed for
    /// the link is opened before the new segment gets its name.
    pub(super) async fn advance(&mut self, tail: &mut Tail) -> Result<(), DiskError> {
        #[cfg(tidewal_mutants)]
        if is_active(Mutant::RecoveredAppendedTo)
            && let Tail::Recovered {
                last: Some(last),
                next,
            } = tail
        {
            *tail = Tail::Open(Segment::resume(&self.dir, last, *next)?);
            return Ok(());
        }
        let header = self.next_header(tail);
        let finished = tail.as_finished();
        let recovered = self.recovered(tail);
        let recovered = self.open_recovered(recovered).await?;
        let newest = self.headers.last();
        let onto = match newest.is_some_and(|newest| newest.base == header.base) {
            true => Onto::Anything,
            false => Onto::Nothing,
        };
        let segment = self.open(header, onto).await?;
        link(tail.take(), recovered)
            .await
            .map_err(DiskError::Broken)?;
        if onto == Onto::Anything {
            self.headers.pop();
        }
        self.headers.push(header);
        self.retention.note_opened(header, finished);
        self.is_next_requested = false;
        self.request_next(&segment);
        *tail = Tail::Open(segment);
        Ok(())
    }

    /// Requests a file for the next segment once the open one holds enough: a log of few records does
    /// not take the space of two segments.
    pub(super) fn request_next(&mut self, open: &Segment) {
        if !self.is_next_requested && open.end() >= self.capacity / NEXT_REQUESTED_AT {
            self.is_next_requested = true;
            self.spares.refill();
        }
    }

    /// Refuses another segment while a hold exceeds its bound.
    pub(super) fn check_held(&self) -> Result<(), DiskError> {
        let Some(name) = self.retention.exhausted_hold() else {
            return Ok(());
        };
        let reason = format!("the hold \"{name}\" keeps as many bytes as it may");
        let reason = io::Error::new(io::ErrorKind::StorageFull, reason);
        let fault = IoFailure::new("hold back more segments in", self.dir.path(), reason);
        Err(DiskError::Refused(fault))
    }

    /// Turns a spare, or a new file if there is none, into a segment. If that fails, the file is
    /// removed: it takes space, and its contents after a failed sync cannot be trusted.
    async fn open(&mut self, header: Header, onto: Onto) -> Result<Segment, DiskError> {
        let spare = self.spares.take().map_err(DiskError::of_preparation)?;
        let name = spare.name.clone();
        let opened = Segment::open(&self.dir, spare, header, onto).await;
        if let Err(DiskError::Refused(_)) = opened {
            self.spares.discard(&name);
            self.spares.refill();
        }
        opened
    }

    /// The header of the segment that will follow `tail`.
    ///
    /// A recovered segment without records is replaced by one of the same name, which takes over
    /// its predecessor, unless it was the log's first.
    fn next_header(&self, tail: &Tail) -> Header {
        let predecessor = match tail {
            Tail::Open(segment) => Some(segment.as_predecessor()),
            Tail::Recovered {
                last: Some(last),
                next,
            } if last.header.base == *next => {
                last.header.predecessor.filter(|_| self.headers.len() > 1)
            }
            Tail::Recovered {
                last: Some(last), ..
            } => Some(Predecessor {
                salt: last.header.salt,
                end: last.end,
            }),
            Tail::Recovered { last: None, .. } | Tail::Poisoned => None,
        };
        let (salt, base) = (self.dir.new_salt(), tail.next());
        Header {
            log_id: self.log_id,
            base,
            salt,
            capacity: self.capacity,
            predecessor,
        }
    }

    /// The recovered segment that must get a link to the new one, and its last record.
    ///
    /// The segment before a replaced one is linked again, because a crash may have come before it
    /// was linked to the replaced one.
    fn recovered(&self, tail: &Tail) -> Option<(Header, Lsn)> {
        let Tail::Recovered {
            last: Some(last),
            next,
        } = tail
        else {
            return None;
        };
        let is_replaced = last.header.base == *next;
        let old = self.headers.iter().nth_back(usize::from(is_replaced))?;
        Some((*old, next.prev()))
    }

    async fn open_recovered(&self, old: Option<(Header, Lsn)>) -> Result<Option<Ended>, DiskError> {
        let Some((header, last)) = old else {
            return Ok(None);
        };
        let name = names::segment(header.base);
        let file = open_to_change(&self.dir, &name, u64::MAX).await?;
        let key = header.key();
        Ok(Some(Ended { file, key, last }))
    }

    /// Cuts off the segments that hold nothing at or above `before`, except those that are held back. Returns
    /// the segments that were cut off.
    ///
    /// The head mark of the first segment kept is durable before any file is removed: a log whose
    /// beginning is missing without that mark is damaged.
    pub(super) async fn truncate_before(
        &mut self,
        before: Lsn,
        tail: &mut Tail,
    ) -> Result<Vec<Retired>, DiskError> {
        let truncated = self.retention.truncated();
        let before = self.retention.limit(before);
        let kept = self
            .headers
            .partition_point(|header| header.base <= before)
            .saturating_sub(1)
            + usize::from(is_active(Mutant::TruncatedTooMuch));
        if kept == 0 {
            return Ok(Vec::new());
        }
        if let Err(error) = self.mark_as_head(&self.headers[kept], tail).await {
            self.retention.take_back(truncated);
            return Err(error);
        }
        self.retention.note_gone(self.headers[kept].base);
        let joined = self.headers[..=kept].windows(2);
        let cut = joined.map(|pair| Retired {
            name: names::segment(pair[0].base),
            end: pair[1].predecessor.map_or(0, |old| old.end),
        });
        let cut = cut.collect();
        self.headers.drain(..kept);
        Ok(cut)
    }

    async fn mark_as_head(&self, head: &Header, tail: &mut Tail) -> Result<(), DiskError> {
        match tail.take() {
            Tail::Open(open) if open.has(head) => {
                let marked = open.mark_as_head().await;
                *tail = Tail::Open(marked.map_err(DiskError::Broken)?);
                Ok(())
            }
            other => {
                *tail = other;
                statements::mark_as_head(&self.dir, head).await.map(drop)
            }
        }
    }
}

/// A recovered segment that will get a successor.
struct Ended {
    file: File,
    key: Key,
    last: Lsn,
}

/// Writes the link in the old segment, if there is one.
async fn link(tail: Tail, recovered: Option<Ended>) -> Result<(), IoFailure> {
    match (tail, recovered) {
        (Tail::Open(segment), _) => segment.link().await,
        (_, Some(Ended { file, key, last })) => statements::link(file, &key, last).await.map(drop),
        (_, None) => Ok(()),
    }
}

/// The finished segments of a recovered log. The log continues in a new segment, so these are all
/// segments that hold records.
fn finished_of(recovered: &Recovered) -> Vec<Finished> {
    let headers = &recovered.segments;
    let joined = headers.windows(2).filter_map(|pair| {
        Some(Finished {
            header: pair[0],
            last: pair[1].base.prev(),
            end: pair[1].predecessor?.end,
        })
    });
    let newest = recovered.last.map(|last| Finished {
        header: last.header,
        last: recovered.end,
        end: last.end,
    });
    let is_filled = |finished: &Finished| finished.header.base <= finished.last;
    joined.chain(newest).filter(is_filled).collect()
}

/// The part of a segment that must be filled before a file for the next one is requested: enough to tell that
/// there will be a next one soon, and little enough to leave the time to write that file.
const NEXT_REQUESTED_AT: u64 = 8;
