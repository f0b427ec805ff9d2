//! What is behind the queue's lock: the batch that is being filled, and the callers that wait.

use std::sync::Arc;
use std::task::Waker;

use crate::options::Durability;
use crate::queue::ack_guard::PendingAcks;
use crate::queue::acks::{Ack, Acks};
use crate::queue::cost::Cost;
use crate::queue::request::Queued;
use crate::queue::wait_list::WaitList;

pub(super) struct State {
    pub(super) queued: Queued,
    /// The answers to the appends in `queued`.
    acks: Arc<Acks>,
    /// The ticket of the first record in `queued`.
    first: u64,
    /// The ticket of the next record.
    next: u64,
    /// Room for appends.
    pub(super) appends: WaitList,
    /// Room for requests that bring no record.
    pub(super) controls: WaitList,
    /// Whether no more requests are accepted.
    pub(super) closed: bool,
    /// The writer's waker, if it waits.
    pub(super) writer: Option<Waker>,
}

impl State {
    pub(super) fn new(size: Cost) -> Self {
        Self {
            queued: Queued::default(),
            acks: Arc::default(),
            first: 0,
            next: 0,
            appends: WaitList::new(size),
            controls: WaitList::new(controls(CONTROLS_MAX)),
            closed: false,
            writer: None,
        }
    }

    /// Assigns tickets to `records` records. Returns the ack of the last one.
    pub(super) fn number(&mut self, records: usize, durability: Durability) -> Ack {
        self.next += records as u64;
        Ack::new(&self.acks, self.next - 1, durability)
    }

    /// Returns the obligation to answer what is taken.
    pub(super) fn take_acks(&mut self) -> Option<PendingAcks> {
        let tickets = self.first..self.next;
        self.first = self.next;
        (!tickets.is_empty()).then(|| {
            let acks = std::mem::take(&mut self.acks);
            PendingAcks::new(Arc::downgrade(&acks), tickets)
        })
    }
}

/// The room that `count` requests without records take.
pub(super) fn controls(count: usize) -> Cost {
    Cost {
        bytes: 0,
        records: count,
    }
}

/// The most requests without records that may wait.
const CONTROLS_MAX: usize = 1024;
