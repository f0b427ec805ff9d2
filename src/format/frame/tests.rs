use proptest::prelude::*;

use super::*;
use crate::format::segment::{Header, encode_head_mark};
use crate::format::statement::{Statement, StatementKind};

fn record(lsn: Lsn) -> Frame {
    Frame {
        kind: Kind::Record,
        lsn,
        len: 5,
        crc: 0x1234_5678,
        lag: Lag(3),
    }
}

#[test]
fn a_header_is_read_back() {
    let key = Key::new(42, Lsn::FIRST);
    for kind in [Kind::Record, Kind::Part] {
        let frame = Frame {
            kind,
            ..record(Lsn::new(9))
        };
        assert_eq!(Frame::decode(&frame.encode(&key), &key), Some(frame));
    }
}

/// The worked example of `docs/format.md`, byte for byte.
#[test]
fn the_worked_example_of_the_format_document() {
    let header = Header {
        log_id: 0x1122_3344_5566_7788,
        base: Lsn::FIRST,
        salt: 0x0123_4567_89ab_cdef,
        capacity: 65_536,
        predecessor: None,
    };
    let record = |kind, lsn, payload: &[u8], durable| {
        let lsn = Lsn::new(lsn);
        let frame = Frame {
            kind,
            lsn,
            len: u32::try_from(payload.len()).unwrap(),
            crc: crc32fast::hash(payload),
            lag: Lag::between(lsn, Lsn::new(durable)),
        };
        [&frame.encode(&header.key())[..], payload].concat()
    };
    let seal = Statement::new(StatementKind::Seal, Lsn::new(3)).encode(&header.key());
    assert_documented(&header.encode());
    assert_documented(&encode_head_mark(&header));
    assert_documented(&record(Kind::Record, 1, b"hello", 0));
    assert_documented(&record(Kind::Part, 2, b"a", 1));
    assert_documented(&record(Kind::Record, 3, b"b", 1));
    assert_documented(&seal);
}

/// Looks for the bytes in the hex dumps of the document, whose lines begin with an offset.
fn assert_documented(bytes: &[u8]) {
    let document = include_str!("../../../docs/format.md");
    let is_byte = |word: &&str| word.len() == 2 && u8::from_str_radix(word, 16).is_ok();
    let dump: String = document
        .lines()
        .filter_map(|line| line.strip_prefix("    0000")?.split_once("  "))
        .flat_map(|(_, line)| {
            line.split_whitespace()
                .take_while(is_byte)
                .collect::<Vec<_>>()
        })
        .collect();
    let hex = bytes
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert!(dump.contains(&hex), "docs/format.md lacks {hex}");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let key = Key::new(42, Lsn::FIRST);
    let bytes = record(Lsn::new(7)).encode(&key);
    for bit in 0..HEADER_LEN * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Frame::decode(&damaged, &key), None, "bit {bit}");
    }
}

#[test]
fn an_earlier_life_of_the_file_is_not_read() {
    let bytes = record(Lsn::new(7)).encode(&Key::new(1, Lsn::FIRST));
    assert_eq!(Frame::decode(&bytes, &Key::new(2, Lsn::FIRST)), None);
}

#[test]
fn the_same_low_bits_of_another_epoch_are_not_read() {
    let far = Lsn::new(1 << 32);
    let bytes = record(Lsn::new(7)).encode(&Key::new(1, Lsn::FIRST));
    assert_eq!(Frame::decode(&bytes, &Key::new(1, far)), None);
}

#[test]
fn a_segment_may_cross_the_32_bit_boundary() {
    let base = Lsn::new((1 << 32) - 2);
    let key = Key::new(99, base);
    for lsn in [
        base.prev(),
        base,
        base.plus(1),
        base.plus(2),
        base.plus(1000),
    ] {
        assert_eq!(
            Frame::decode(&record(lsn).encode(&key), &key),
            Some(record(lsn))
        );
    }
}

/// The low half would belong to an LSN above the last possible one.
#[test]
fn there_is_no_lsn_above_the_last_one() {
    let top = Lsn::new(u64::MAX);
    let key = Key::new(42, top);
    for lsn in [top.prev(), top] {
        assert_eq!(
            Frame::decode(&record(lsn).encode(&key), &key),
            Some(record(lsn))
        );
    }
    for low in [0, 1, 0x7fff_ffff, 0xffff_fffd] {
        assert_eq!(key.lsn(low), None);
    }
}

#[test]
fn zeros_are_never_a_frame() {
    for salt in 0..1000 {
        assert_eq!(
            Frame::decode(&[0; HEADER_LEN], &Key::new(salt, Lsn::FIRST)),
            None
        );
    }
    // Not even if the check of all zeros holds.
    let key = Key::new(42, Lsn::FIRST);
    let zero = Raw {
        kind: 0,
        lsn: Lsn::new(1 << 32),
        len: 0,
        crc: 0,
        lag: Lag::NONE,
    };
    assert_eq!(Frame::decode(&zero.encode(&key), &key), None);
    assert!(Raw::decode(&zero.encode(&key), &key).is_none());
}

#[test]
fn a_lag_too_large_to_say_proves_nothing() {
    let near = Frame {
        lag: Lag::between(Lsn::new(10), Lsn::new(8)),
        ..record(Lsn::new(10))
    };
    assert_eq!(near.proves(), Lsn::new(8));
    let far = Lsn::new(0xff_ffff);
    assert_eq!(Lag::between(far, Lsn::ZERO), Lag::UNKNOWN);
    let far = Frame {
        lag: Lag::UNKNOWN,
        ..record(far.plus(500))
    };
    assert_eq!(far.proves(), Lsn::ZERO);
}

proptest! {
    #[test]
    fn any_header_is_read_back(
        salt in any::<u64>(),
        base in 1..u64::MAX / 2,
        step in 0..u64::from(u32::MAX),
        len in any::<u32>(),
        crc in any::<u32>(),
        lag in 0..=0xff_ffff_u32,
    ) {
        let key = Key::new(salt, Lsn::new(base));
        let lsn = Lsn::new(base - 1 + step);
        let frame = Frame { kind: Kind::Part, lsn, len, crc, lag: Lag(lag) };
        prop_assert_eq!(Frame::decode(&frame.encode(&key), &key), Some(frame));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in any::<[u8; HEADER_LEN]>(), salt in any::<u64>()) {
        let _ = Frame::decode(&bytes, &Key::new(salt, Lsn::FIRST));
    }
}
