//! A frame's header before the writer completes it.

use crate::format::bytes::le_u32;
use crate::format::frame::{Frame, HEADER_LEN, KIND_AT, Key, Kind, Lag};
use crate::lsn::Lsn;

/// The part of a record's header that the caller of an append knows. The LSN, the lag and the check
/// depend on the segment, which only the writer knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    /// Length of the payload in bytes.
    pub(crate) len: u32,
    /// CRC-32 of the payload.
    pub(crate) crc: u32,
}

impl Draft {
    /// The bytes of a header. The missing fields are zero, so they are not a valid frame yet.
    pub(crate) fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[4..8].copy_from_slice(&self.crc.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[KIND_AT] = self.kind as u8;
        bytes
    }

    /// The draft in these bytes, which [`encode`](Self::encode) made.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        Self {
            kind: Kind::from_byte(bytes[KIND_AT]).expect("a draft has a kind"),
            len: le_u32(bytes, 8),
            crc: le_u32(bytes, 4),
        }
    }

    /// The bytes of the whole header.
    pub(crate) fn complete(self, lsn: Lsn, lag: Lag, key: &Key) -> [u8; HEADER_LEN] {
        let Self { kind, len, crc } = self;
        let frame = Frame {
            kind,
            lsn,
            len,
            crc,
            lag,
        };
        frame.encode(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Draft;
    use crate::format::frame::{Frame, Key, Kind, Lag};
    use crate::lsn::Lsn;

    proptest! {
        #[test]
        fn a_draft_becomes_the_frame_and_is_none_before(
            len: u32, crc: u32, salt: u64, is_part: bool, ahead in 0_u64..1000,
        ) {
            let kind = if is_part { Kind::Part } else { Kind::Record };
            let draft = Draft { kind, len, crc };
            let (key, lsn) = (Key::new(salt, Lsn::FIRST), Lsn::new(1 + ahead));
            prop_assert_eq!(Draft::decode(&draft.encode()), draft);
            prop_assert_eq!(Frame::decode(&draft.encode(), &key), None);
            let lag = Lag::between(lsn, Lsn::ZERO);
            let bytes = draft.complete(lsn, lag, &key);
            prop_assert_eq!(Frame::decode(&bytes, &key), Some(Frame { kind, lsn, len, crc, lag }));
        }
    }
}
