//! Appends that rely on each other: the first one refused takes those behind it along.
//!
//! Each append of such a sequence carries its [`Order`] to the writer, which alone knows what is refused
//! out of the queue. A caller knows what is refused before it gets there. The two are noted apart: what
//! a caller is refused cannot harm what was in the queue before.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::mutants::{Mutant, is_active};
use crate::queue::ack_guard::AckQueue;

/// What the appends of one sequence share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order(Arc<Causes>);

impl PartialEq for Order {
    /// Whether it is the same sequence.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Why the sequence has ended, if it has.
#[derive(Debug, Default)]
struct Causes {
    /// For what comes.
    submitted: OnceLock<Arc<Error>>,
    /// For what is in the queue.
    queued: OnceLock<Arc<Error>>,
}

/// The callers' side.
impl Order {
    /// Refuses what comes behind a refusal.
    pub(crate) fn check(&self) -> Result<()> {
        let cause = self.0.submitted.get();
        cause.map_or(Ok(()), |cause| {
            Err(Error::EarlierRefused(Arc::clone(cause)))
        })
    }

    /// Notes that a caller was refused, so that all who come later are.
    pub(crate) fn end(&self, error: &Error) {
        self.0.submitted.get_or_init(|| Arc::new(error.clone()));
    }

    /// Why the sequence has ended.
    pub(crate) fn cause(&self) -> Option<&Error> {
        self.0.submitted.get().map(|cause| &**cause)
    }
}

/// The writer's side.
impl Order {
    /// Why an append of this sequence is to be refused because an earlier one was.
    fn refused_by(&self) -> Option<&Arc<Error>> {
        let cause = self.0.queued.get();
        cause.filter(|_| !is_active(Mutant::RefusalDoesNotCut))
    }

    fn cut(&self, cause: &Arc<Error>) {
        self.0.submitted.get_or_init(|| Arc::clone(cause));
        self.0.queued.get_or_init(|| Arc::clone(cause));
    }
}

/// Why an append is refused by the writer, before a caller can hear of it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    cause: Arc<Error>,
    is_behind: bool,
}

impl Refusal {
    /// Why an append of this sequence, if it is of any, has to be refused without being tried.
    pub(crate) fn behind(order: Option<&Order>) -> Option<Self> {
        let cause = order?.refused_by()?;
        Some(Self {
            cause: Arc::clone(cause),
            is_behind: true,
        })
    }

    /// Why an append of this sequence, if it is of any, is refused where `cause` keeps it from being
    /// written. What follows in the sequence will be refused, too.
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

/// Refuses appends in their order, with one answer for those next to each other that fare alike.
pub(crate) struct Refusals<'a> {
    acks: &'a mut AckQueue,
    /// Why the last ones are refused, and how many records they have.
    last: Option<(Refusal, u64)>,
}

impl<'a> Refusals<'a> {
    /// Refuses the first of these.
    pub(crate) fn of(acks: &'a mut AckQueue) -> Self {
        Self { acks, last: None }
    }

    /// Refuses the next so many records, because of `cause`.
    pub(crate) fn refuse(&mut self, order: Option<&Order>, records: u64, cause: &Arc<Error>) {
        self.push(Refusal::of(order, cause), records);
    }

    /// Refuses the next so many records.
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
