use super::*;

fn entry(body: Body) -> Entry {
    let segment = Some(SegmentEnd {
        salt: 0x0123_4567_89ab_cdef,
        end: 12_000_012,
    });
    Entry {
        number: 3,
        log_id: 0x1122_3344_5566_7788,
        writer: 0x8f0c_1be2_a4d9_7733,
        previous: 0x5a6b_7c8d,
        reached: Reached {
            last: Lsn::new(900),
            segment,
            clock: 1_795_641_300_123,
        },
        body,
    }
}

fn shipped() -> Shipped {
    let predecessor = Some(SegmentEnd {
        salt: 0xfedc_ba98_7654_3210,
        end: 67_108_020,
    });
    let header = SegmentHeader {
        log_id: 0x1122_3344_5566_7788,
        base: Lsn::new(451),
        salt: 0x0123_4567_89ab_cdef,
        capacity: 67_108_864,
        predecessor,
    };
    let part = |len, crc| Part { len, crc };
    let time = |lsn, time| TimePoint {
        lsn: Lsn::new(lsn),
        time,
    };
    Shipped {
        sealed: Sealed {
            header,
            last: Lsn::new(900),
            end: 12_000_012,
        },
        crc: 0x0f1e_2d3c,
        parts: vec![part(8_388_608, 0x1122_3344), part(3_611_404, 0x5566_7788)],
        times: vec![time(622, 1_795_641_299_100), time(900, 1_795_641_300_123)],
    }
}

/// The example of `docs/archive.md`, without its last line: the check there is made up, like the other checksums.
const EXAMPLE: &str = "\
tidewal-archive 1
entry 3
log 1122334455667788
writer 8f0c1be2a4d97733
previous 5a6b7c8d
reached 900 0123456789abcdef 12000012
clock 1795641300123
segment 451 900
salt 0123456789abcdef
after fedcba9876543210 67108020
capacity 67108864
end 12000012
crc 0f1e2d3c
part 8388608 11223344
part 3611404 55667788
time 622 1795641299100
time 900 1795641300123
";

#[test]
fn the_documents_example_is_what_is_written() {
    let bytes = entry(Body::Segment(shipped())).encode();
    let text = String::from_utf8(bytes).unwrap();
    let check = crc32fast::hash(EXAMPLE.as_bytes());
    assert_eq!(text, format!("{EXAMPLE}check {check:08x}\n"));
}

/// The lines of the document's example, without the explanations beside them.
fn documented() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/archive.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, example) = document.split_once("\n    tidewal-archive 1 ").unwrap();
    let (example, _) = example.split_once("\n    check ").unwrap();
    let lines = format!("tidewal-archive 1 {example}");
    let value = |line: &str| line.trim().split("  ").next().unwrap().to_owned();
    lines.lines().map(value).collect()
}

#[test]
fn the_document_has_this_example() {
    assert_eq!(documented(), EXAMPLE.lines().collect::<Vec<_>>());
}

#[test]
fn entries_are_read_back() {
    let (first, last) = (Lsn::new(901), Lsn::new(1800));
    for body in [
        Body::Claim,
        Body::Gap { first, last },
        Body::Segment(shipped()),
    ] {
        let entry = entry(body);
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let bytes = entry(Body::Segment(shipped())).encode();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Entry::decode(&damaged).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Entry::decode(&bytes[..len]).is_err(), "{len} bytes");
    }
}

fn with_check(text: &str) -> Vec<u8> {
    let check = crc32fast::hash(text.as_bytes());
    format!("{text}check {check:08x}\n").into_bytes()
}

#[test]
fn a_later_version_is_told_apart_from_damage() {
    let later = EXAMPLE.replace("tidewal-archive 1", "tidewal-archive 2");
    assert_eq!(
        Entry::decode(&with_check(&later)),
        Err(DecodeError::Version)
    );
}

#[test]
fn an_unknown_line_is_not_passed_over() {
    let more = format!("{EXAMPLE}colour blue\n");
    assert_eq!(Entry::decode(&with_check(&more)), Err(DecodeError::Damaged));
}

/// Every field has one way to be written.
#[test]
fn what_is_written_in_another_way_is_damage() {
    for (from, to) in [
        ("entry 3", "entry +3"),
        ("entry 3", "entry 03"),
        ("entry 3", "entry 3 4"),
        ("entry 3", "entry  3"),
        ("entry 3", "entry 3\r"),
        ("after fedcba9876543210", "after FEDCBA9876543210"),
        ("crc 0f1e2d3c", "crc f1e2d3c"),
        ("crc 0f1e2d3c", "crc +0f1e2d3c"),
        ("tidewal-archive 1", "tidewal-archive 1 "),
        ("time 900", "time  900"),
    ] {
        let other = EXAMPLE.replacen(from, to, 1);
        let decoded = Entry::decode(&with_check(&other));
        assert_eq!(decoded, Err(DecodeError::Damaged), "{to}");
    }
}
