//! Several calls of the store at once, with the answers in the order of the calls.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs a limited number of jobs ahead of the one whose answer the caller waits for.
pub(super) struct InOrder<'a, T, I> {
    jobs: I,
    width: usize,
    running: VecDeque<Slot<'a, T>>,
}

enum Slot<'a, T> {
    Running(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
    Done(T),
}

impl<'a, T, I, F> InOrder<'a, T, I>
where
    T: Unpin,
    I: Iterator<Item = F>,
    F: Future<Output = T> + Send + 'a,
{
    pub(super) fn new(jobs: I, width: usize) -> Self {
        Self {
            jobs,
            width,
            running: VecDeque::with_capacity(width),
        }
    }

    /// The answer of the next job, or `None` after the last one.
    ///
    /// Cancel safe: answers that have arrived are kept.
    pub(super) async fn next(&mut self) -> Option<T> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let free = self.width - self.running.len();
        let begun = self.jobs.by_ref().take(free);
        self.running
            .extend(begun.map(|job| Slot::Running(Box::pin(job))));
        for slot in &mut self.running {
            slot.poll(context);
        }
        match self.running.pop_front() {
            None => Poll::Ready(None),
            Some(Slot::Done(answer)) => Poll::Ready(Some(answer)),
            Some(first) => {
                self.running.push_front(first);
                Poll::Pending
            }
        }
    }
}

impl<T> Slot<'_, T> {
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Self::Running(job) = self
            && let Poll::Ready(answer) = job.as_mut().poll(context)
        {
            *self = Self::Done(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn answers_come_in_order_and_no_more_run_than_may() {
        let (answers, waiting): (Vec<_>, Vec<_>) = (0..4).map(|_| oneshot::channel()).unzip();
        let begun = Cell::new(0);
        let jobs = waiting.into_iter().inspect(|_| begun.set(begun.get() + 1));
        let mut ahead = tokio_test::task::spawn(InOrder::new(jobs, 2));
        assert!(
            ahead
                .enter(|context, mut ahead| ahead.poll_next(context))
                .is_pending()
        );
        assert_eq!(begun.get(), 2);
        for (number, answer) in answers.into_iter().enumerate().rev() {
            answer.send(number).unwrap();
        }
        assert!(ahead.is_woken());
        for number in 0..4 {
            let next = ahead.enter(|context, mut ahead| ahead.poll_next(context));
            let next = next.map(|answer| answer.map(Result::unwrap));
            assert_eq!(next, Poll::Ready(Some(number)), "{number}");
        }
        let end = ahead.enter(|context, mut ahead| ahead.poll_next(context));
        assert!(matches!(end, Poll::Ready(None)));
    }

    #[test]
    fn without_jobs_there_is_no_answer() {
        let mut none = InOrder::new(std::iter::empty::<std::future::Ready<u8>>(), 2);
        assert_eq!(tokio_test::block_on(none.next()), None);
        let mut one = InOrder::new([ready(1)].into_iter(), 2);
        assert_eq!(tokio_test::block_on(one.next()), Some(1));
    }
}
