//! What callers ask of the writer.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::Error;
use crate::lsn::Lsn;
use crate::queue::ack_guard::AckQueue;
use crate::queue::append::AppendNote;
use crate::queue::completion::Completion;
use crate::queue::frames::Frames;

/// A request. Those that ask for something come with the duty to answer; that for appends is in
/// [`Taken::acks`].
pub(crate) enum Request {
    /// The frames are in [`Taken::frames`].
    Append(AppendNote),
    /// Sync what was submitted before, and tell the last durable LSN.
    Sync(Completion<Lsn>),
    /// Discard what lies below an LSN.
    Truncate(Lsn, Completion<()>),
    /// Finish the segment that is being written, if its first record is as old as that.
    Rotate(Duration, Completion<()>),
    /// A hold has moved: carry out what it put off.
    TruncatePutOff,
    /// A caller waits for room: do not wait for the end of an interval.
    FlushNow,
    /// Take no more requests.
    Close,
}

impl Request {
    /// Answers that nothing was done. The answers to appends are in an [`AckQueue`].
    fn refuse(self, error: &Error) {
        match self {
            Self::Sync(done) => done.fail(error.clone()),
            Self::Truncate(_, done) | Self::Rotate(_, done) => done.fail(error.clone()),
            Self::Append(_) | Self::FlushNow | Self::TruncatePutOff | Self::Close => {}
        }
    }
}

/// Requests in their order, and the frames of the appends among them.
#[derive(Default)]
pub(super) struct Queued {
    requests: VecDeque<Request>,
    pub(super) frames: Frames,
    /// How many there are, each append counted by itself.
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

    /// Notes an append, the frames of which are here already.
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

/// Requests that were taken out of the queue, and the duty to answer the appends among them.
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

    /// Exchanges this, which is empty, for what is queued. The queue gets the memory that was used here.
    pub(super) fn take_from(&mut self, queued: &mut Queued) {
        debug_assert!(self.is_empty() && self.frames.is_empty());
        std::mem::swap(&mut self.requests, &mut queued.requests);
        std::mem::swap(&mut self.frames, &mut queued.frames);
        queued.len = 0;
    }

    /// Keeps as much memory as is likely to be needed again. Nothing must be left here.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.requests.shrink_to(KEPT_CAPACITY);
        self.frames.shrink(bytes);
    }

    /// Answers that nothing was done.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.acks.refuse(error);
        self.frames = Frames::default();
        self.requests
            .drain(..)
            .for_each(|request| request.refuse(error));
    }
}

/// Requests for which an empty queue keeps room.
const KEPT_CAPACITY: usize = 1024;
