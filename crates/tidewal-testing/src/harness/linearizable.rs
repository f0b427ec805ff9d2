//! Whether a history of reads and writes of one key is linearizable.
//!
//! Every write has a unique value. A write and the reads that returned its value are then a *cluster*, whose
//! operations take effect one right after the other. Let `first_end` be the earliest end in it and `last_start`
//! the latest start. If `first_end` comes first, the key has the value at every moment between the two: a
//! *forward zone*. Otherwise a moment between the two is enough: a *backward zone*. The history is linearizable
//! if and only if no two forward zones overlap and no backward zone is inside a forward one (Gibbons and
//! Korach, "Testing shared memories", 1997).

use std::collections::BTreeMap;

/// The initial state of a key, which no write has made.
pub const UNSET: u64 = 0;

/// One operation on a key. Times are ticks of one clock, from 1 on.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub kind: Kind,
    /// What was written or read.
    pub value: u64,
    pub start: u64,
    /// When it was answered, or `None` if it is unknown whether it took place.
    pub end: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Read,
    Write,
}

/// Checks the history of a key. The error says what is wrong.
pub fn check(history: &[Op]) -> Result<(), String> {
    let clusters = clusters(history)?;
    for (index, one) in clusters.iter().enumerate() {
        for other in &clusters[index + 1..] {
            if one.excludes(other) || other.excludes(one) {
                return Err(format!("{one:?} and {other:?}"));
            }
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Cluster {
    write_start: u64,
    first_end: u64,
    last_start: u64,
    is_seen: bool,
    is_known: bool,
}

impl Cluster {
    fn new(write: &Op) -> Self {
        Self {
            write_start: write.start,
            first_end: write.end.unwrap_or(u64::MAX),
            last_start: write.start,
            is_seen: false,
            is_known: write.end.is_some(),
        }
    }

    fn is_forward(&self) -> bool {
        self.first_end < self.last_start
    }

    /// Whether this is a forward zone that excludes the other one.
    fn excludes(&self, other: &Self) -> bool {
        // For a backward zone this means that it is inside, for a forward one that the two overlap.
        self.is_forward() && self.first_end < other.last_start && other.first_end < self.last_start
    }
}

fn clusters(history: &[Op]) -> Result<Vec<Cluster>, String> {
    let unset = Op {
        kind: Kind::Write,
        value: UNSET,
        start: 0,
        end: Some(0),
    };
    let mut clusters = BTreeMap::from([(UNSET, Cluster::new(&unset))]);
    for op in history.iter().filter(|op| op.kind == Kind::Write) {
        let twice = clusters.insert(op.value, Cluster::new(op));
        assert!(twice.is_none(), "{} was written twice", op.value);
    }
    for op in history.iter().filter(|op| op.kind == Kind::Read) {
        let Some(end) = op.end else { continue };
        let cluster = clusters.get_mut(&op.value);
        let cluster = cluster.ok_or_else(|| format!("{op:?}: that was never written"))?;
        if end < cluster.write_start {
            return Err(format!("{op:?}: that was written later"));
        }
        cluster.first_end = cluster.first_end.min(end);
        cluster.last_start = cluster.last_start.max(op.start);
        cluster.is_seen = true;
    }
    // A write whose outcome is unknown, and that no read saw, need not have happened.
    let happened = |cluster: &Cluster| cluster.is_known || cluster.is_seen;
    Ok(clusters.into_values().filter(happened).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::rng::Rng;

    fn op(kind: Kind, value: u64, start: u64, end: u64) -> Op {
        Op {
            kind,
            value,
            start,
            end: (end != 0).then_some(end),
        }
    }

    use Kind::{Read, Write};

    #[test]
    fn a_value_is_there_from_its_write_to_the_next() {
        let history = [
            op(Read, UNSET, 1, 2),
            op(Write, 1, 3, 4),
            op(Read, 1, 5, 6),
            op(Write, 2, 7, 10),
            op(Read, 1, 8, 9),
            op(Read, 2, 11, 12),
        ];
        check(&history).unwrap();
    }

    #[test]
    fn a_lost_write_is_noticed() {
        check(&[op(Write, 1, 1, 2), op(Read, UNSET, 3, 4)]).unwrap_err();
        let lost = [op(Write, 1, 1, 2), op(Write, 2, 3, 4), op(Read, 1, 5, 6)];
        check(&lost).unwrap_err();
    }

    #[test]
    fn a_stale_read_is_noticed() {
        let new_then_old = [
            op(Write, 1, 1, 2),
            op(Write, 2, 3, 8),
            op(Read, 2, 4, 5),
            op(Read, 1, 6, 7),
        ];
        check(&new_then_old).unwrap_err();
    }

    /// So a failure reads the same each time.
    #[test]
    fn the_same_pair_is_named_each_time() {
        let lost = |value| {
            let at = 10 * value;
            [
                op(Write, value, at, at + 1),
                op(Read, UNSET, at + 2, at + 3),
            ]
        };
        let history: Vec<_> = (1..20).flat_map(lost).collect();
        let error = check(&history).unwrap_err();
        for _ in 0..20 {
            assert_eq!(check(&history).unwrap_err(), error);
        }
    }

    #[test]
    fn a_value_from_nowhere_or_from_the_future_is_noticed() {
        check(&[op(Read, 7, 1, 2)]).unwrap_err();
        check(&[op(Read, 7, 1, 2), op(Write, 7, 3, 4)]).unwrap_err();
    }

    #[test]
    fn an_unknown_write_may_happen_at_any_time_or_never() {
        let unknown = op(Write, 1, 1, 0);
        check(&[unknown, op(Read, UNSET, 2, 3), op(Read, UNSET, 4, 5)]).unwrap();
        check(&[unknown, op(Read, UNSET, 2, 3), op(Read, 1, 4, 5)]).unwrap();
        let back = [unknown, op(Read, 1, 2, 3), op(Read, UNSET, 4, 5)];
        check(&back).unwrap_err();
    }

    /// Tries every order of the operations.
    fn is_linearizable(value: u64, left: &[Op]) -> bool {
        let required = |op: &&Op| op.end.is_some();
        if !left.iter().any(|op| required(&op)) {
            return true;
        }
        let deadline = left.iter().filter_map(|op| op.end).min().unwrap();
        (0..left.len()).any(|index| {
            let op = left[index];
            let fits = op.start < deadline && (op.kind == Write || op.value == value);
            let mut rest = left.to_vec();
            rest.remove(index);
            fits && is_linearizable(op.value, &rest)
        })
    }

    #[test]
    fn it_agrees_with_trying_every_order() {
        let mut random = Rng::new(7);
        let mut linearizable = 0;
        for _ in 0..30_000 {
            let history = random_history(&mut random);
            let expected = is_linearizable(UNSET, &history);
            assert_eq!(check(&history).is_ok(), expected, "{history:?}");
            linearizable += u32::from(expected);
        }
        assert!((3_000..27_000).contains(&linearizable), "{linearizable}");
    }

    fn random_history(random: &mut Rng) -> Vec<Op> {
        let count = 1 + random.roll(6);
        let mut times: Vec<_> = (1..=2 * count).collect();
        for index in (1..times.len()).rev() {
            times.swap(
                index,
                usize::try_from(random.roll(index as u64 + 1)).unwrap(),
            );
        }
        let writes = random.roll(count + 1);
        times
            .chunks(2)
            .zip(1..)
            .map(|(times, number)| {
                let (start, end) = (times[0].min(times[1]), times[0].max(times[1]));
                match number <= writes {
                    true if random.roll(4) == 0 => op(Write, number, start, 0),
                    true => op(Write, number, start, end),
                    false => op(Read, random.roll(writes + 1), start, end),
                }
            })
            .collect()
    }
}
