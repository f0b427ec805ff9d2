//! The statement: how far a segment says that it is durable (`docs/format.md`, "Statement").

use crate::format::frame::{HEADER_LEN, Key, Lag, Raw};
use crate::lsn::Lsn;

/// What a segment says about itself in its header block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Statement {
    pub(crate) kind: StatementKind,
    /// This record is durable, and so is everything before it.
    pub(crate) lsn: Lsn,
}

/// The kinds of statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum StatementKind {
    /// Written when the log went idle. More records may follow.
    Mark = 3,
    /// The segment ends with this record.
    Seal = 4,
    /// The same, and another segment follows.
    Link = 5,
}

/// A statement whose check holds and whose kind only a later version knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct UnknownKind(pub(crate) u8);

impl Statement {
    /// A statement: every record up to `lsn` is durable.
    pub(crate) const fn new(kind: StatementKind, lsn: Lsn) -> Self {
        Self { kind, lsn }
    }

    pub(crate) fn encode(&self, key: &Key) -> [u8; HEADER_LEN] {
        let bytes = Raw {
            kind: self.kind as u8,
            lsn: self.lsn,
            len: 0,
            crc: 0,
            lag: Lag::NONE,
        }
        .encode(key);
        debug_assert_eq!(Self::decode(&bytes, key), Ok(Some(*self)));
        bytes
    }

    /// Decodes a statement. `None` if there is none, or if a crash has torn it. Only its kind and
    /// its LSN count.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN], key: &Key) -> Result<Option<Self>, UnknownKind> {
        let Some(raw) = Raw::decode(bytes, key) else {
            return Ok(None);
        };
        let kind = StatementKind::from_byte(raw.kind).ok_or(UnknownKind(raw.kind))?;
        Ok(Some(Self::new(kind, raw.lsn)))
    }

    /// Whether the segment ends with the named record.
    pub(crate) fn is_end(&self) -> bool {
        match self.kind {
            StatementKind::Mark => false,
            StatementKind::Seal | StatementKind::Link => true,
        }
    }
}

impl StatementKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Mark, Self::Seal, Self::Link]
            .into_iter()
            .find(|&kind| kind as u8 == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_read_back() {
        let key = Key::new(42, Lsn::FIRST);
        for kind in [
            StatementKind::Mark,
            StatementKind::Seal,
            StatementKind::Link,
        ] {
            for lsn in [Lsn::ZERO, Lsn::FIRST, Lsn::new(u64::from(u32::MAX))] {
                let statement = Statement::new(kind, lsn);
                let bytes = statement.encode(&key);
                assert_eq!(Statement::decode(&bytes, &key), Ok(Some(statement)));
            }
        }
    }

    /// The kinds of records are unknown kinds here too.
    #[test]
    fn any_other_kind_is_a_later_versions() {
        let key = Key::new(42, Lsn::FIRST);
        for kind in 1..=u8::MAX {
            let raw = Raw {
                kind,
                lsn: Lsn::FIRST,
                len: 7,
                crc: 8,
                lag: Lag::UNKNOWN,
            };
            let expected = match StatementKind::from_byte(kind) {
                Some(kind) => Ok(Some(Statement::new(kind, Lsn::FIRST))),
                None => Err(UnknownKind(kind)),
            };
            assert_eq!(Statement::decode(&raw.encode(&key), &key), expected);
        }
    }

    #[test]
    fn what_is_torn_says_nothing() {
        let key = Key::new(42, Lsn::FIRST);
        let bytes = Statement::new(StatementKind::Seal, Lsn::new(7)).encode(&key);
        for bit in 0..HEADER_LEN * 8 {
            let mut torn = bytes;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Statement::decode(&torn, &key), Ok(None), "bit {bit}");
        }
        assert_eq!(Statement::decode(&[0; HEADER_LEN], &key), Ok(None));
    }
}
