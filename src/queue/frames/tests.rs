use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;

use super::{COMPACTED_FROM, Frames, LARGE};
use crate::format::frame::{Draft, Frame, HEADER_LEN, Key, Kind};
use crate::lsn::Lsn;
use crate::queue::cost::Cost;

/// The payloads of one append.
type Payloads = Vec<Bytes>;

fn payload() -> impl Strategy<Value = Bytes> {
    let len = prop_oneof![4 => 0..40_usize, 1 => LARGE - 1..LARGE + 2];
    (len, any::<u8>()).prop_map(|(len, byte)| Bytes::from(vec![byte; len]))
}

fn append() -> impl Strategy<Value = Payloads> {
    prop::collection::vec(payload(), 1..4)
}

fn cost(append: &Payloads) -> Cost {
    Cost {
        bytes: append
            .iter()
            .map(|payload| HEADER_LEN + payload.len())
            .sum(),
        records: append.len(),
    }
}

fn bytes(appends: &[Payloads]) -> usize {
    appends.iter().map(|append| cost(append).bytes).sum()
}

fn push(frames: &mut Frames, append: &Payloads) {
    for (index, payload) in append.iter().enumerate() {
        let is_last = index + 1 == append.len();
        let draft = Draft {
            kind: if is_last { Kind::Record } else { Kind::Part },
            len: u32::try_from(payload.len()).unwrap(),
            crc: crc32fast::hash(payload),
        };
        frames.push(draft, &mut payload.clone());
    }
}

fn written(frames: &Frames) -> Vec<u8> {
    frames.write_with(|pieces| pieces.iter().flat_map(|piece| piece.to_vec()).collect())
}

/// Reads records back as a reader of the segment would.
fn read(mut bytes: &[u8], key: &Key, mut lsn: Lsn) -> Vec<(Kind, Bytes)> {
    let mut records = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk() {
        let frame = Frame::decode(header, key).expect("a frame");
        assert_eq!(frame.lsn, lsn);
        let (payload, rest) = rest.split_at(frame.len as usize);
        assert_eq!(frame.crc, crc32fast::hash(payload));
        records.push((frame.kind, Bytes::copy_from_slice(payload)));
        (lsn, bytes) = (lsn.next(), rest);
    }
    records
}

fn records(appends: &[Payloads]) -> Vec<(Kind, Bytes)> {
    let kinds = |append: &Payloads| {
        let parts = std::iter::repeat_n(Kind::Part, append.len() - 1);
        parts
            .chain([Kind::Record])
            .zip(append.clone())
            .collect::<Vec<_>>()
    };
    appends.iter().flat_map(kinds).collect()
}

/// Completes the frames, and checks that they are the records of these appends.
fn check(mut frames: Frames, appends: &[Payloads]) {
    let (key, first) = (Key::new(7, Lsn::FIRST), Lsn::new(3));
    let records = records(appends);
    assert_eq!(frames.len(), bytes(appends));
    let costs: Vec<_> = appends.iter().map(cost).collect();
    assert!(frames.costs_from(0).eq(costs));
    let next = frames.complete(&key, first, Lsn::FIRST);
    assert_eq!(next.since(first), records.len() as u64);
    assert_eq!(read(&written(&frames), &key, first), records);
}

#[derive(Clone, Debug)]
enum Step {
    Push(Payloads),
    /// Up to this many appends.
    Move(usize),
    Skip(usize),
    TakeAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => append().prop_map(Step::Push),
        2 => (0..4_usize).prop_map(Step::Move),
        1 => (0..4_usize).prop_map(Step::Skip),
        1 => Just(Step::TakeAll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_moved_is_what_was_pushed(steps in prop::collection::vec(step(), 0..20)) {
        let (mut from, mut to) = (Frames::default(), Frames::default());
        let (mut waiting, mut moved) = (VecDeque::new(), Vec::new());
        for step in steps {
            match step {
                Step::Push(append) => {
                    push(&mut from, &append);
                    waiting.push_back(append);
                }
                Step::Move(count) => {
                    let appends: Vec<_> = waiting.drain(..count.min(waiting.len())).collect();
                    from.move_to(&mut to, bytes(&appends));
                    moved.extend(appends);
                }
                Step::Skip(count) => {
                    let appends: Vec<_> = waiting.drain(..count.min(waiting.len())).collect();
                    from.skip(bytes(&appends));
                }
                Step::TakeAll => {
                    from.move_to(&mut to, from.len());
                    moved.extend(waiting.drain(..));
                }
            }
            let (first, rest) = (waiting.iter().map(cost).next(), from.costs_from(0).next());
            prop_assert_eq!(first, rest);
            prop_assert_eq!(from.is_empty(), waiting.is_empty());
        }
        let second = waiting.iter().map(cost).nth(1);
        if let (Some(first), Some(second)) = (waiting.front(), second) {
            let costs = from.costs_from(cost(first).bytes).next();
            prop_assert_eq!(costs, Some(second));
        }
        check(from, waiting.make_contiguous());
        check(to, &moved);
    }
}

#[test]
fn large_payloads_are_not_copied() {
    let mut frames = Frames::default();
    for len in [LARGE - 1, LARGE] {
        push(&mut frames, &vec![Bytes::from(vec![1; len])]);
    }
    assert_eq!(frames.copied.len(), HEADER_LEN + LARGE - 1 + HEADER_LEN);
    assert_eq!(frames.len(), 2 * HEADER_LEN + 2 * LARGE - 1);
}

#[test]
fn what_is_gone_takes_no_more_memory_than_what_stays() {
    let append = vec![Bytes::from(vec![1; LARGE - 1])];
    let mut frames = Frames::default();
    let large = vec![Bytes::from(vec![2; LARGE])];
    for _ in 0..200 {
        push(&mut frames, &append);
        push(&mut frames, &large);
    }
    for left in (0..200).rev() {
        frames.skip(bytes(&[append.clone(), large.clone()]));
        let gone = frames.copied.len() - left * (bytes(std::slice::from_ref(&append)) + HEADER_LEN);
        assert!(
            gone <= COMPACTED_FROM.max(frames.copied.len() - gone),
            "{left} left"
        );
        assert_eq!(frames.costs_from(0).count(), 2 * left);
        assert_eq!(written(&frames).len(), frames.len());
    }
}
