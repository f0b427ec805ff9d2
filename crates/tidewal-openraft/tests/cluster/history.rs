//! The requests of clients and their answers.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use openraft::Instant;

use crate::linearizable::{self, Kind, Op};
use crate::machine::State;
use crate::runtime::Moment;

/// One operation of a client. Times are ticks of one clock.
#[derive(Clone, Debug, Hash)]
pub struct Call {
    /// The node that was asked.
    pub node: u64,
    pub what: What,
    pub start: u64,
    /// When it was answered, or `None` if it is unknown whether it took place.
    pub end: Option<u64>,
}

#[derive(Clone, Debug, Hash, PartialEq)]
pub enum What {
    Append { list: u64, value: u64 },
    Read { list: u64, values: Vec<u64> },
    Set { register: u64, value: u64 },
    Get { register: u64, value: u64 },
}

#[derive(Debug, Default)]
pub struct History {
    calls: Vec<Call>,
    clock: u64,
    /// The hash of the virtual time of every tick.
    times: DefaultHasher,
}

impl History {
    /// The next tick.
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        Moment::now().hash(&mut self.times);
        self.clock
    }

    /// A hash of all calls, their answers, and the virtual times of both.
    pub fn hash(&self) -> u64 {
        let mut hasher = self.times.clone();
        self.calls.hash(&mut hasher);
        hasher.finish()
    }

    pub fn note(&mut self, node: u64, what: What, start: u64, is_known: bool) {
        let end = is_known.then(|| self.tick());
        let call = Call {
            node,
            what,
            start,
            end,
        };
        self.calls.push(call);
    }

    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Checks that the history is linearizable. `end` is the state at the end.
    pub fn check(&self, end: &State) -> Result<(), String> {
        let mut lists: BTreeMap<u64, Vec<&Call>> = BTreeMap::new();
        let mut registers: BTreeMap<u64, Vec<Op>> = BTreeMap::new();
        for call in &self.calls {
            match &call.what {
                What::Append { list, .. } | What::Read { list, .. } => {
                    lists.entry(*list).or_default().push(call);
                }
                What::Set { register, value } => {
                    let ops = registers.entry(*register).or_default();
                    ops.push(call.op(Kind::Write, *value));
                }
                What::Get { register, value } => {
                    let ops = registers.entry(*register).or_default();
                    ops.push(call.op(Kind::Read, *value));
                }
            }
        }
        for (register, ops) in registers {
            linearizable::check(&ops).map_err(|why| format!("register {register}: {why}"))?;
        }
        for (list, calls) in lists {
            let last = end.lists.get(&list).map_or(&[][..], Vec::as_slice);
            check_list(last, &calls).map_err(|why| format!("list {list}: {why}"))?;
        }
        Ok(())
    }
}

impl Call {
    fn op(&self, kind: Kind, value: u64) -> Op {
        Op {
            kind,
            value,
            start: self.start,
            end: self.end,
        }
    }
}

/// Checks that a history of appends and reads of a list is linearizable. `last` is the list at the
/// end.
///
/// Every value is appended once, so the list at the end has the order of the appends, and a read of
/// n values comes after n of them. The remaining condition is time: no operation may come before
/// one that had ended when it began.
fn check_list(last: &[u64], calls: &[&Call]) -> Result<(), String> {
    let places: HashMap<_, _> = last.iter().zip(1..).collect();
    if places.len() < last.len() {
        return Err(format!("a value is there twice: {last:?}"));
    }
    let mut timed = Vec::new();
    for call in calls {
        match &call.what {
            What::Append { value, .. } => match places.get(value) {
                Some(place) => timed.push((2 * *place, *call)),
                None if call.end.is_some() => return Err(format!("{call:?} is lost")),
                None => {}
            },
            What::Read { values, .. } if last.starts_with(values) => {
                timed.push((2 * values.len() + 1, *call));
            }
            other => return Err(format!("{other:?} is no beginning of {last:?}")),
        }
    }
    for (place, call) in &timed {
        for (other_place, other) in &timed {
            if other_place < place && call.end.is_some_and(|end| end < other.start) {
                let (node, other_node) = (call.node, other.node);
                return Err(format!(
                    "{call:?}, at node {node}, took effect after {other:?}, at node {other_node}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(what: What, start: u64, end: Option<u64>) -> Call {
        let node = 1;
        Call {
            node,
            what,
            start,
            end,
        }
    }

    fn append(value: u64, start: u64, end: u64) -> Call {
        let what = What::Append { list: 1, value };
        let end = (end != 0).then_some(end);
        call(what, start, end)
    }

    fn read(values: &[u64], start: u64, end: u64) -> Call {
        let values = values.to_vec();
        let what = What::Read { list: 1, values };
        let end = Some(end);
        call(what, start, end)
    }

    fn check(last: &[u64], calls: &[Call]) -> Result<(), String> {
        check_list(last, &calls.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_list_grows_in_the_order_of_its_appends() {
        let calls = [
            append(1, 1, 2),
            read(&[1], 3, 4),
            append(2, 5, 0),
            append(3, 6, 8),
            read(&[1, 3], 7, 9),
            read(&[1, 3, 2], 10, 11),
        ];
        check(&[1, 3, 2], &calls).unwrap();
        check(&[1, 3], &calls[..5]).unwrap();
    }

    #[test]
    fn what_is_lost_stale_or_out_of_order_is_noticed() {
        let lost = [append(1, 1, 2), append(2, 3, 4)];
        check(&[2], &lost).unwrap_err();
        check(&[2, 1], &lost).unwrap_err();
        check(&[1, 2, 1], &lost).unwrap_err();
        let stale = [append(1, 1, 2), read(&[], 3, 4)];
        check(&[1], &stale).unwrap_err();
        let early = [read(&[1], 1, 2), append(1, 3, 4)];
        check(&[1], &early).unwrap_err();
        let back = [append(1, 1, 0), read(&[1], 2, 3), read(&[], 4, 5)];
        check(&[1], &back).unwrap_err();
        check(&[1], &[read(&[2], 2, 3)]).unwrap_err();
    }
}
