//! Requests of callers to the writer.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::Error;
use crate::lsn::Lsn;
use crate::queue::ack_guard::AckQueue;
use crate::queue::append::AppendNote;
use crate::queue::completion::Completion;
use crate::queue::frames::Frames;

/// A request. Most carry the obligation to answer them. The one for appends is in [`Taken::acks`].
pub(crate) enum Request {
    /// The frames are in [`Taken::frames`].
    Append(AppendNote),
    /// Sync what was submitted before, and answer with the last durable LSN.
    Sync(Completion<Lsn>),
    /// Truncate before an LSN.
    Truncate(Lsn, Completion<()>),
    /// Finish the open segment, if its first record has at least this age.
    Rotate(Duration, Completion<()>),
    /// A hold has moved: carry out the truncation that it postponed.
    TruncatePutOff,
    /// A caller waits for room: do not wait for the end of the interval.
    FlushNow,
    /// Accept no more requests.
    Close,
}

impl Request {
    /// Refuses the request. The answers to appends are in an [`AckQueue`].
    fn refuse(self, error: &Error) {
        match self {
            Self::Sync(done) => done.fail(error.clone()),
            Self::Truncate(_, done) | Self::Rotate(_, done) => done.fail(error.clone()),
            Self::Append(_) | Self::FlushNow | Self::TruncatePutOff | Self::Close => {}
        }
    }
}

/// Requests in order, and the frames of the appends among them.
#[derive(Default)]
pub(super) struct Queued {
    requests: VecDeque<Request>,
    pub(super) frames: Frames,
    /// The number of requests. Each append counts.
    len: usize,
}

impl Queued {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, request: Request) {
        self.requests.push_back(request);
        self.len += 1;
    }

    /// Adds a note about an append whose frames are here already.
    pub(super) fn push_append(&mut self, note: AppendNote) {
        let rest = match self.requests.back_mut() {
            Some(Request::Append(last)) => last.merge(note),
            _ => Some(note),
        };
        let rest = rest.map(Request::Append);
        self.requests.extend(rest);
        self.len += 1;
    }
}

/// Requests that were taken out of the queue, and the obligation to answer the appends among them.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) requests: VecDeque<Request>,
    pub(crate) frames: Frames,
    pub(crate) acks: AckQueue,
}

impl Taken {
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Exchanges this, which is empty, for what is queued. The queue gets the memory of this one.
    pub(super) fn take_from(&mut self, queued: &mut Queued) {
        debug_assert!(self.is_empty() && self.frames.is_empty());
        std::mem::swap(&mut self.requests, &mut queued.requests);
        std::mem::swap(&mut self.frames, &mut queued.frames);
        queued.len = 0;
    }

    /// Keeps as much memory as is likely to be needed again. This must be empty.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.requests.shrink_to(KEPT_CAPACITY);
        self.frames.shrink(bytes);
    }

    /// Refuses all of them.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.acks.refuse(error);
        self.frames = Frames::default();
        self.requests
            .drain(..)
            .for_each(|request| request.refuse(error));
    }
}

/// The number of requests for which an empty queue keeps memory.
const KEPT_CAPACITY: usize = 1024;
