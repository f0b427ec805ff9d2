//! Where the next record goes.

use crate::error::IoFailure;
use crate::lsn::Lsn;
use crate::recovered::LastSegment;
use crate::retention::Finished;
use crate::writer::segment::Segment;

/// Where the next record goes.
pub(super) enum Tail {
    /// Into this segment.
    Open(Segment),
    /// Into a segment that does not exist yet. A recovered segment is never appended to, because
    /// frames that a crash left beyond its end could become valid again.
    Recovered {
        next: Lsn,
        last: Option<LastSegment>,
    },
    /// Nowhere: an operation has failed, or is in progress.
    Poisoned,
}

impl Tail {
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Poisoned)
    }

    /// Takes the open segment, until it is put back.
    pub(super) fn take_open(&mut self) -> Option<Segment> {
        match self.take() {
            Self::Open(segment) => Some(segment),
            other => {
                *self = other;
                None
            }
        }
    }

    pub(super) fn has_room(&self, bytes: u64) -> bool {
        matches!(self, Self::Open(segment) if segment.room() >= bytes)
    }

    /// Whether the mark of an idle log is up to date.
    pub(super) fn is_marked(&self) -> bool {
        !matches!(self, Self::Open(segment) if !segment.is_marked())
    }

    /// The LSN of the next record.
    pub(super) fn next(&self) -> Lsn {
        match self {
            Self::Open(segment) => segment.next(),
            Self::Recovered { next, .. } => *next,
            Self::Poisoned => Lsn::ZERO,
        }
    }

    /// The open segment as the finished one that it becomes when another one is opened.
    pub(super) fn as_finished(&self) -> Option<Finished> {
        match self {
            Self::Open(segment) => Some(segment.as_finished()),
            Self::Recovered { .. } | Self::Poisoned => None,
        }
    }

    /// Seals the log. Everything in it must be durable.
    pub(super) async fn close(self) -> Result<(), IoFailure> {
        match self {
            Self::Open(segment) => segment.seal().await,
            Self::Recovered { .. } | Self::Poisoned => Ok(()),
        }
    }
}
