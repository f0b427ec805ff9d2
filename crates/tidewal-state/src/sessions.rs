//! Exactly-once requests: the remembered outputs, so a retry gets the first one.
//!
//! The table is a function of the log: only records change it, in order, and the limits are those
//! of the last record that opened a session. So a start rebuilds the same table, and decides about
//! each request as before. The table is part of each snapshot.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use bytes::Bytes;
use tidewal::Lsn;

use crate::mutants::{Mutant, is_active};

/// The id of a client's session: the LSN of the record that opened it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(u64);

impl SessionId {
    /// Makes an id from its number, as a client sends it.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the id, to be sent to the client.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// One request of a session. A retry has the same id.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RequestId {
    /// The client's session.
    pub session: SessionId,
    /// The request's number in the session. A client increments it, starting at any number.
    pub sequence: u64,
}

/// How much is remembered for retries. Changed limits take effect when a session is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// How many sessions are remembered. The least recently used one expires first. Default:
    /// 10,000.
    pub sessions: u64,
    /// How many outputs are kept for each session, by the highest sequence numbers. A client may
    /// have this many requests in flight. Default: 16.
    pub window: u64,
    /// The most bytes that all outputs may take together. Above that, sessions expire, except the
    /// last one. Default: 64 MiB.
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            window: 16,
            output_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// Sets how many sessions are remembered. Minimum: 1.
    #[must_use]
    pub fn sessions(mut self, sessions: u64) -> Self {
        self.sessions = sessions.max(1);
        self
    }

    /// Sets how many requests of a session may be in flight. Minimum: 1.
    #[must_use]
    pub fn window(mut self, requests: u64) -> Self {
        self.window = requests.max(1);
        self
    }

    /// Sets how many bytes all outputs may take together.
    #[must_use]
    pub fn output_bytes(mut self, bytes: u64) -> Self {
        self.output_bytes = bytes;
        self
    }
}

impl Limits {
    /// Whether a session whose highest request is `highest` no longer keeps the output of this request.
    fn are_passed(self, sequence: u64, highest: u64) -> bool {
        let behind = highest.checked_sub(sequence);
        behind.is_some_and(|behind| behind >= self.window)
    }
}

/// What is known about a request.
#[derive(Debug)]
pub(crate) enum Known {
    /// Never applied.
    New,
    /// Applied, with this output.
    Applied(Bytes),
    /// Too old to be remembered.
    Forgotten,
    /// Its session is unknown.
    Expired,
}

/// The remembered sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sessions {
    limits: Limits,
    by_id: BTreeMap<u64, Session>,
    /// The sessions, by the LSN of the record that last used each.
    by_use: BTreeMap<Lsn, u64>,
    /// The number of all outputs, and their bytes.
    outputs: u64,
    bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Session {
    last_used: Lsn,
    highest: Option<u64>,
    outputs: BTreeMap<u64, Bytes>,
}

impl Sessions {
    pub(crate) fn open(&mut self, lsn: Lsn, limits: Limits) -> SessionId {
        self.limits = limits;
        let session = Session {
            last_used: lsn,
            ..Session::default()
        };
        self.by_id.insert(lsn.get(), session);
        self.by_use.insert(lsn, lsn.get());
        self.evict();
        SessionId(lsn.get())
    }

    pub(crate) fn look_up(&self, id: RequestId) -> Known {
        let Some(session) = self.by_id.get(&id.session.0) else {
            return match is_active(Mutant::ExpiredSessionIsNew) {
                true => Known::New,
                false => Known::Expired,
            };
        };
        if let Some(output) = session.outputs.get(&id.sequence) {
            return Known::Applied(output.clone());
        }
        match session.highest {
            Some(highest) if self.limits.are_passed(id.sequence, highest) => Known::Forgotten,
            _ => Known::New,
        }
    }

    /// Records that record `lsn` is a request of a known session.
    pub(crate) fn touch(&mut self, lsn: Lsn, id: RequestId) {
        if let Some(session) = self.by_id.get_mut(&id.session.0) {
            self.by_use.remove(&session.last_used);
            session.last_used = lsn;
            self.by_use.insert(lsn, id.session.0);
        }
    }

    /// Remembers the output of a request of a known session.
    pub(crate) fn remember(&mut self, id: RequestId, output: Bytes) {
        let Some(session) = self.by_id.get_mut(&id.session.0) else {
            return;
        };
        self.outputs += 1;
        self.bytes += output.len() as u64;
        session.outputs.insert(id.sequence, output);
        let highest = session.highest.unwrap_or(0).max(id.sequence);
        session.highest = Some(highest);
        while let Some(oldest) = session.outputs.first_entry()
            && self.limits.are_passed(*oldest.key(), highest)
        {
            self.outputs -= 1;
            self.bytes -= oldest.remove().len() as u64;
        }
        self.evict();
    }

    fn evict(&mut self) {
        while self.by_id.len() > 1
            && (self.by_id.len() as u64 > self.limits.sessions
                || self.bytes > self.limits.output_bytes)
            && let Some((_, id)) = self.by_use.pop_first()
            && let Some(session) = self.by_id.remove(&id)
        {
            let bytes: usize = session.outputs.values().map(Bytes::len).sum();
            self.outputs -= session.outputs.len() as u64;
            self.bytes -= bytes as u64;
        }
    }

    pub(crate) fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let limits = self.limits;
        for number in [limits.sessions, limits.window, limits.output_bytes] {
            put(output, number)?;
        }
        put(output, self.by_id.len() as u64)?;
        for (&id, session) in &self.by_id {
            put(output, id)?;
            put(output, session.last_used.get())?;
            put(output, u64::from(session.highest.is_some()))?;
            put(output, session.highest.unwrap_or(0))?;
            put(output, session.outputs.len() as u64)?;
            for (&sequence, bytes) in &session.outputs {
                put(output, sequence)?;
                put(output, bytes.len() as u64)?;
                output.write_all(bytes)?;
            }
        }
        Ok(())
    }

    /// How many bytes [`write`](Self::write) writes.
    pub(crate) fn written_len(&self) -> u64 {
        let numbers = 4 + 5 * self.by_id.len() as u64 + 2 * self.outputs;
        numbers * size_of::<u64>() as u64 + self.bytes
    }

    pub(crate) fn read(input: &mut dyn Read) -> io::Result<Self> {
        let limits = Limits {
            sessions: get(input)?,
            window: get(input)?,
            output_bytes: get(input)?,
        };
        let mut sessions = Self {
            limits,
            ..Self::default()
        };
        for _ in 0..get(input)? {
            let id = get(input)?;
            let session = Session::read(input)?;
            let outputs = session.outputs.values();
            sessions.outputs += outputs.len() as u64;
            sessions.bytes += outputs.map(|bytes| bytes.len() as u64).sum::<u64>();
            sessions.by_use.insert(session.last_used, id);
            sessions.by_id.insert(id, session);
        }
        Ok(sessions)
    }
}

impl Session {
    fn read(input: &mut dyn Read) -> io::Result<Self> {
        let last_used = Lsn::new(get(input)?);
        let (has_highest, highest) = (get(input)? != 0, get(input)?);
        let mut session = Self {
            last_used,
            highest: has_highest.then_some(highest),
            outputs: BTreeMap::new(),
        };
        for _ in 0..get(input)? {
            let (sequence, len) = (get(input)?, get(input)?);
            let mut bytes = Vec::new();
            input.take(len).read_to_end(&mut bytes)?;
            session.outputs.insert(sequence, bytes.into());
        }
        Ok(session)
    }
}

fn put(output: &mut dyn Write, number: u64) -> io::Result<()> {
    output.write_all(&number.to_le_bytes())
}

fn get(input: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(session: u64, sequence: u64) -> RequestId {
        RequestId {
            session: SessionId(session),
            sequence,
        }
    }

    fn limits(sessions: u64, window: u64, output_bytes: u64) -> Limits {
        Limits {
            sessions,
            window,
            output_bytes,
        }
    }

    #[test]
    fn requests_in_flight_may_come_in_any_order() {
        let mut sessions = Sessions::default();
        sessions.open(Lsn::new(1), limits(10, 2, 1000));
        sessions.remember(id(1, 6), "six".into());
        assert!(matches!(sessions.look_up(id(1, 5)), Known::New));
        sessions.remember(id(1, 5), "five".into());
        assert!(matches!(sessions.look_up(id(1, 5)), Known::Applied(_)));
        assert!(matches!(sessions.look_up(id(1, 4)), Known::Forgotten));
        sessions.remember(id(1, 7), "seven".into());
        assert!(matches!(sessions.look_up(id(1, 5)), Known::Forgotten));
    }

    /// The sum overflowed, and the output was forgotten immediately.
    #[test]
    fn regression_the_highest_numbers_are_remembered_too() {
        let mut sessions = Sessions::default();
        sessions.open(Lsn::new(1), limits(10, 2, 1000));
        for sequence in [u64::MAX - 2, u64::MAX - 1, u64::MAX] {
            sessions.remember(id(1, sequence), "output".into());
            assert!(matches!(
                sessions.look_up(id(1, sequence)),
                Known::Applied(_)
            ));
        }
        let first = sessions.look_up(id(1, u64::MAX - 2));
        assert!(matches!(first, Known::Forgotten), "{first:?}");
    }

    #[test]
    fn the_session_that_was_not_used_for_longest_goes() {
        let mut sessions = Sessions::default();
        for lsn in 1..=2 {
            sessions.open(Lsn::new(lsn), limits(2, 2, 1000));
        }
        sessions.touch(Lsn::new(3), id(1, 1));
        sessions.open(Lsn::new(4), limits(2, 2, 1000));
        assert!(matches!(sessions.look_up(id(2, 1)), Known::Expired));
        assert!(matches!(sessions.look_up(id(1, 1)), Known::New));
    }

    #[test]
    fn bytes_of_outputs_are_bounded() {
        let mut sessions = Sessions::default();
        for lsn in 1..=2 {
            sessions.open(Lsn::new(lsn), limits(10, 2, 100));
            sessions.remember(id(lsn, 1), vec![0; 60].into());
        }
        assert!(matches!(sessions.look_up(id(1, 1)), Known::Expired));
        assert!(matches!(sessions.look_up(id(2, 1)), Known::Applied(_)));
        assert_eq!(sessions.bytes, 60);
    }

    #[test]
    fn the_table_is_read_back() {
        let mut sessions = Sessions::default();
        sessions.open(Lsn::new(1), limits(10, 2, 1000));
        sessions.open(Lsn::new(2), limits(10, 2, 1000));
        sessions.remember(id(1, 0), "zero".into());
        let mut bytes = Vec::new();
        sessions.write(&mut bytes).unwrap();
        assert_eq!(sessions.written_len(), bytes.len() as u64);
        assert_eq!(Sessions::read(&mut bytes.as_slice()).unwrap(), sessions);
    }
}
