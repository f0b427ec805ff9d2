//! A queue that usually holds one item.

use std::collections::VecDeque;

/// Items in order. The first one needs no allocation: a lone producer makes a batch of one record,
/// which has one note, one answer and one waker.
#[derive(Debug)]
pub(crate) struct SmallDeque<T> {
    first: Option<T>,
    /// The items after `first`, or all items if there is no `first`.
    rest: VecDeque<T>,
}

impl<T> Default for SmallDeque<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
        }
    }
}

impl<T> SmallDeque<T> {
    pub(crate) fn push(&mut self, item: T) {
        if self.is_empty() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut().or_else(|| self.rest.front_mut())
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        self.first.take().or_else(|| self.rest.pop_front())
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(usize::from(self.first.is_some())) {
            Some(index) => self.rest.get(index),
            None => self.first.as_ref(),
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match index.checked_sub(usize::from(self.first.is_some())) {
            Some(index) => self.rest.get_mut(index),
            None => self.first.as_mut(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    /// How many items fit into the allocated memory. The slot of the first item is unavailable
    /// while there are others after it.
    pub(crate) fn capacity(&self) -> usize {
        usize::from(self.first.is_some() || self.rest.is_empty()) + self.rest.capacity()
    }

    pub(crate) fn reserve(&mut self, more: usize) {
        self.rest.reserve(more);
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.first.take_if(|item| !keep(item));
        self.rest.retain(keep);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(&mut self.rest)
    }

    /// Takes all items out, in order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.first.take().into_iter().chain(self.rest.drain(..))
    }
}

impl<T> Extend<T> for SmallDeque<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T> FromIterator<T> for SmallDeque<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut deque = Self::default();
        deque.extend(items);
        deque
    }
}

impl<T> IntoIterator for SmallDeque<T> {
    type Item = T;
    type IntoIter =
        std::iter::Chain<std::option::IntoIter<T>, std::collections::vec_deque::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::SmallDeque;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push(u8),
        Pop,
        Change(usize, u8),
        KeepEven,
        Drain,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u8>().prop_map(Step::Push),
            3 => Just(Step::Pop),
            2 => (0..6_usize, any::<u8>()).prop_map(|(index, value)| Step::Change(index, value)),
            1 => Just(Step::KeepEven),
            1 => Just(Step::Drain),
        ]
    }

    /// Applies the same step to both and compares the results.
    fn do_both(deque: &mut SmallDeque<u8>, model: &mut VecDeque<u8>, step: Step) {
        match step {
            Step::Push(value) => {
                let (has_room, memory) = (deque.len() < deque.capacity(), deque.rest.capacity());
                deque.push(value);
                assert_eq!(has_room, deque.rest.capacity() == memory);
                model.push_back(value);
            }
            Step::Pop => assert_eq!(deque.pop_front(), model.pop_front()),
            Step::Change(index, value) => {
                let (ours, theirs) = (deque.get_mut(index), model.get_mut(index));
                assert_eq!(ours, theirs);
                if let (Some(ours), Some(theirs)) = (ours, theirs) {
                    (*ours, *theirs) = (value, value);
                }
            }
            Step::KeepEven => {
                deque.retain(|value| value % 2 == 0);
                model.retain(|value| value % 2 == 0);
            }
            Step::Drain => assert!(deque.drain().eq(model.drain(..))),
        }
    }

    proptest! {
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec(step(), 0..40)) {
            let (mut deque, mut model) = (SmallDeque::default(), VecDeque::new());
            for step in steps {
                do_both(&mut deque, &mut model, step);
                prop_assert!(deque.iter().eq(&model));
                prop_assert!(deque.iter_mut().eq(model.iter_mut()));
                prop_assert_eq!(deque.len(), model.len());
                prop_assert_eq!(deque.front_mut(), model.front_mut());
                prop_assert_eq!(deque.is_empty(), model.is_empty());
                prop_assert_eq!((0..8).map(|at| deque.get(at)).collect::<Vec<_>>(),
                    (0..8).map(|at| model.get(at)).collect::<Vec<_>>());
            }
            prop_assert!(deque.into_iter().eq(model));
        }
    }
}
