//! Appends that depend on each other: after the first refusal, all later ones are refused too.
//!
//! Each append of such a sequence carries its [`Order`] to the writer, which knows what it refuses
//! after it was in the queue. The caller knows what is refused before that. The two causes are kept
//! separately, because a refusal of a caller must not affect appends that are in the queue already.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::mutants::{Mutant, is_active};
use crate::queue::ack_guard::AckQueue;

/// Shared by the appends of one sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order(Arc<Causes>);

impl PartialEq for Order {
    /// Whether both are the same sequence.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Why the sequence has ended, if it has.
#[derive(Debug, Default)]
struct Causes {
    /// For appends that are submitted later.
    submitted: OnceLock<Arc<Error>>,
    /// For appends in the queue.
    queued: OnceLock<Arc<Error>>,
}

/// The functions for callers.
impl Order {
    /// Refuses every append after a refusal.
    pub(crate) fn check(&self) -> Result<()> {
        let cause = self.0.submitted.get();
        cause.map_or(Ok(()), |cause| {
            Err(Error::EarlierRefused(Arc::clone(cause)))
        })
    }

    /// Records that a caller was refused, so all later ones are refused.
    pub(crate) fn end(&self, error: &Error) {
        self.0.submitted.get_or_init(|| Arc::new(error.clone()));
    }

    /// Why the sequence has ended.
    pub(crate) fn cause(&self) -> Option<&Error> {
        self.0.submitted.get().map(|cause| &**cause)
    }
}

/// The functions for the writer.
impl Order {
    /// The earlier refusal because of which an append of this sequence must be refused, if any.
    fn refused_by(&self) -> Option<&Arc<Error>> {
        let cause = self.0.queued.get();
        cause.filter(|_| !is_active(Mutant::RefusalDoesNotCut))
    }

    fn cut(&self, cause: &Arc<Error>) {
        self.0.submitted.get_or_init(|| Arc::clone(cause));
        self.0.queued.get_or_init(|| Arc::clone(cause));
    }
}

/// Why the writer refuses an append. It is recorded before the caller is answered.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    cause: Arc<Error>,
    is_behind: bool,
}

impl Refusal {
    /// The refusal of an append whose sequence has had one already, if any.
    pub(crate) fn behind(order: Option<&Order>) -> Option<Self> {
        let cause = order?.refused_by()?;
        Some(Self {
            cause: Arc::clone(cause),
            is_behind: true,
        })
    }

    /// The refusal of an append that cannot be written because of `cause`. Later appends of its
    /// sequence, if it has one, will be refused too.
    fn of(order: Option<&Order>, cause: &Arc<Error>) -> Self {
        Self::behind(order).unwrap_or_else(|| {
            order.into_iter().for_each(|order| order.cut(cause));
            Self {
                cause: Arc::clone(cause),
                is_behind: false,
            }
        })
    }

    fn is_as(&self, other: &Self) -> bool {
        self.is_behind == other.is_behind && Arc::ptr_eq(&self.cause, &other.cause)
    }

    fn error(self) -> Error {
        if self.is_behind {
            Error::EarlierRefused(self.cause)
        } else {
            Error::clone(&self.cause)
        }
    }
}

/// Refuses appends in order, with one answer for adjacent ones that have the same refusal.
pub(crate) struct Refusals<'a> {
    acks: &'a mut AckQueue,
    /// The refusal of the last appends, and their number of records.
    last: Option<(Refusal, u64)>,
}

impl<'a> Refusals<'a> {
    /// Begins with the first of these appends.
    pub(crate) fn of(acks: &'a mut AckQueue) -> Self {
        Self { acks, last: None }
    }

    /// Refuses the next `records` records because of `cause`.
    pub(crate) fn refuse(&mut self, order: Option<&Order>, records: u64, cause: &Arc<Error>) {
        self.push(Refusal::of(order, cause), records);
    }

    /// Refuses the next `records` records.
    pub(crate) fn push(&mut self, refusal: Refusal, records: u64) {
        match &mut self.last {
            Some((last, count)) if last.is_as(&refusal) => *count += records,
            _ => {
                self.flush();
                self.last = Some((refusal, records));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((refusal, records)) = self.last.take() {
            let mut refused = AckQueue::default();
            self.acks.move_to(&mut refused, records);
            refused.refuse(&refusal.error());
        }
    }
}

impl Drop for Refusals<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
