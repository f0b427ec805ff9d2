//! Everything that a few callers can do with a small queue, in every order.
//!
//! A step is: a caller is polled (woken or not), is dropped, or leaves the queue again, time
//! passes, or the queue is closed. After each step, no caller may sleep without a reason. From each
//! reachable state, with any of the callers kept and never polled again, all others get through.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use super::{OFFER_MAX, Turn, WaitList, Wakers};
use crate::queue::cost::Cost;

/// Bytes that fit into the queue.
const SIZE: usize = 3;

thread_local! {
    /// The callers that were woken since the last check.
    static WOKEN: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

struct Wakes(usize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        WOKEN.with_borrow_mut(|woken| woken.push(self.0));
    }
}

/// A wake-up that is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lost {
    Nothing,
    OnLeave,
    OnGiveBack,
    OnPassOver,
    OnClose,
    /// The writer is not woken for a caller that begins to wait.
    FlushRequest,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Caller {
    /// Not polled yet.
    New,
    Asleep(Turn),
    Woken(Turn),
    Inside,
    Gone,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Poll(usize),
    Drop(usize),
    Finish(usize),
    LetTimePass,
    Close,
}

#[derive(Clone)]
struct Model {
    list: WaitList,
    callers: Vec<Caller>,
    places: Vec<usize>,
    now: Instant,
    /// When the writer will look at the list on its own.
    alarm: Option<Instant>,
    closed: bool,
    /// How often time may still pass.
    ticks: usize,
    lost: Lost,
}

fn bytes(bytes: usize) -> Cost {
    Cost { bytes, records: 0 }
}

impl Model {
    fn new(places: &[usize], lost: Lost) -> Self {
        Self {
            list: WaitList::new(bytes(SIZE)),
            callers: vec![Caller::New; places.len()],
            places: places.to_vec(),
            now: Instant::now(),
            alarm: None,
            closed: false,
            ticks: 2,
            lost,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (caller, state) in self.callers.iter().enumerate() {
            match state {
                Caller::New => steps.push(Step::Poll(caller)),
                Caller::Asleep(_) | Caller::Woken(_) => {
                    steps.extend([Step::Poll(caller), Step::Drop(caller)]);
                }
                Caller::Inside => steps.push(Step::Finish(caller)),
                Caller::Gone => {}
            }
        }
        if self.ticks > 0 {
            steps.push(Step::LetTimePass);
        }
        if !self.closed {
            steps.push(Step::Close);
        }
        steps
    }

    fn follow(&mut self, step: Step) {
        match step {
            Step::Poll(caller) => self.poll(caller),
            Step::Drop(caller) => {
                if let Caller::Asleep(turn) | Caller::Woken(turn) = self.callers[caller] {
                    self.callers[caller] = Caller::Gone;
                    let (_, wakers) = self.list.leave(turn, self.now);
                    self.request_flush();
                    self.wake(wakers, Lost::OnLeave);
                }
            }
            Step::Finish(caller) => {
                self.callers[caller] = Caller::Gone;
                let place = bytes(self.places[caller]);
                let now = self.now;
                let wakers = self.list.give_back(place, || now);
                self.alarm = self.list.next_end();
                self.wake(wakers, Lost::OnGiveBack);
            }
            Step::LetTimePass => self.let_time_pass(),
            Step::Close => {
                self.closed = true;
                let wakers = self.list.close();
                self.wake(wakers, Lost::OnClose);
            }
        }
        self.check();
    }

    /// Does what `Shared::enter` does.
    fn poll(&mut self, caller: usize) {
        if self.closed {
            self.callers[caller] = Caller::Gone;
            return;
        }
        let mut turn = match self.callers[caller] {
            Caller::Asleep(turn) | Caller::Woken(turn) => turn,
            _ => Turn::NEW,
        };
        let place = bytes(self.places[caller]);
        let mut enters = self.list.enter(turn, place);
        if !enters {
            let wakers = self.list.pass_over(self.now);
            enters = self.list.enter(turn, place);
            if !enters {
                let waker = Waker::from(Arc::new(Wakes(caller)));
                if self.list.wait(&mut turn, place, waker).is_none() {
                    self.request_flush();
                }
            }
            self.wake(wakers, Lost::OnPassOver);
        }
        if enters {
            self.check_that_it_overtakes_no_one(caller, turn);
            self.callers[caller] = Caller::Inside;
            // A request in the queue wakes the writer.
            self.alarm = self.list.next_end();
        } else {
            self.callers[caller] = Caller::Asleep(turn);
        }
    }

    /// Does what `Shared::request_flush` makes the writer do.
    fn request_flush(&mut self) {
        if self.lost != Lost::FlushRequest {
            self.alarm = self.list.next_end();
        }
    }

    /// Does what `Batcher::wait` does when the deadline has passed.
    fn let_time_pass(&mut self) {
        self.ticks = self.ticks.saturating_sub(1);
        self.now += OFFER_MAX;
        if self.alarm.is_some_and(|alarm| alarm <= self.now) {
            let wakers = self.list.pass_over(self.now);
            self.wake(wakers, Lost::OnPassOver);
            self.alarm = self.list.next_end();
        }
    }

    fn wake(&mut self, wakers: Wakers, lost: Lost) {
        WOKEN.with_borrow_mut(Vec::clear);
        if self.lost == lost {
            std::mem::forget(wakers);
        } else {
            wakers.wake();
        }
        for caller in WOKEN.take() {
            if let Caller::Asleep(turn) = self.callers[caller] {
                self.callers[caller] = Caller::Woken(turn);
            }
        }
    }

    fn check_that_it_overtakes_no_one(&self, caller: usize, turn: Turn) {
        for (other, state) in self.callers.iter().enumerate() {
            if let Caller::Asleep(before) = state
                && *before < turn
                && other != caller
            {
                let was_promised = matches!(self.callers[caller], Caller::Woken(_));
                assert!(was_promised, "{caller} overtakes {other}");
            }
        }
    }

    fn check(&self) {
        let inside = self.sum(|caller| caller == Caller::Inside);
        assert_eq!(self.list.used, bytes(inside));
        assert!((self.list.used + self.list.promised).fits(self.list.size));
        let offers = self.list.offered.values().map(|offer| offer.place.bytes);
        assert_eq!(self.list.promised, bytes(offers.sum()));
        for caller in &self.callers {
            let Caller::Asleep(turn) = *caller else {
                continue;
            };
            assert!(!self.closed, "it was not told that the queue is closed");
            let before = self.sum(|other| matches!(other, Caller::Asleep(t) if t <= turn));
            let taken = self.list.used.bytes + self.list.promised.bytes;
            assert!(taken + before > SIZE, "it is asleep though there is room");
        }
    }

    fn sum(&self, is_counted: impl Fn(Caller) -> bool) -> usize {
        let callers = self.callers.iter().zip(&self.places);
        let counted = callers.filter(|(caller, _)| is_counted(**caller));
        counted.map(|(_, place)| place).sum()
    }

    /// All callers except those that are kept get through, within a bounded number of turns of the
    /// writer.
    fn get_through(mut self, is_kept: impl Fn(usize) -> bool) {
        for _ in 0..3 * self.callers.len() {
            for caller in 0..self.callers.len() {
                match self.callers[caller] {
                    Caller::Woken(_) if !is_kept(caller) => self.poll(caller),
                    Caller::Inside => self.follow(Step::Finish(caller)),
                    _ => {}
                }
            }
            self.let_time_pass();
        }
        for (caller, state) in self.callers.iter().enumerate() {
            let waits = matches!(state, Caller::Asleep(_) | Caller::Woken(_));
            assert!(is_kept(caller) || !waits, "{caller} waits for ever");
        }
    }

    /// Everything that determines what can happen from here on.
    fn key(&self) -> String {
        let since = |time: Instant| time.saturating_duration_since(self.now);
        let offered: Vec<_> = self
            .list
            .offered
            .iter()
            .map(|(turn, offer)| (*turn, since(offer.end)))
            .collect();
        let waiting: Vec<_> = self.list.waiting.keys().collect();
        let ends = [self.list.first_end, self.alarm].map(|end| end.map(since));
        format!(
            "{:?} {offered:?} {waiting:?} {ends:?} {} {}",
            self.callers, self.closed, self.ticks
        )
    }
}

/// Returns the number of states.
fn explore(places: &[usize], lost: Lost) -> usize {
    let first = Model::new(places, lost);
    let mut seen = HashSet::from([first.key()]);
    let mut todo = VecDeque::from([first]);
    while let Some(model) = todo.pop_front() {
        for kept in 0..1_u32 << places.len() {
            model
                .clone()
                .get_through(|caller| kept & (1 << caller) != 0);
        }
        for step in model.steps() {
            let mut next = model.clone();
            next.follow(step);
            if seen.insert(next.key()) {
                todo.push_back(next);
            }
        }
    }
    seen.len()
}

#[test]
fn no_one_waits_in_vain_whatever_four_callers_do() {
    let mut states = 0;
    for places in [
        [1, 1, 1, 1],
        [3, 1, 3, 1],
        [2, 3, 1, 2],
        [1, 3, 2, 1],
        [3, 3, 3, 3],
    ] {
        states += explore(&places, Lost::Nothing);
    }
    println!("{states} states");
    assert!(states > 10_000, "{states}");
}

#[test]
fn every_lost_wake_up_is_found() {
    let mutants = [
        Lost::OnLeave,
        Lost::OnGiveBack,
        Lost::OnPassOver,
        Lost::OnClose,
        Lost::FlushRequest,
    ];
    for lost in mutants {
        let found = std::panic::catch_unwind(|| explore(&[2, 3, 1, 2], lost));
        assert!(found.is_err(), "{lost:?}");
    }
}
