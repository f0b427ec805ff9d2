//! What a checker says of a segment's bytes.

use tidewal::Lsn;
use tidewal::import::SegmentChecker;

use crate::helpers::{Segment, segments};
use crate::support::run;

#[test]
fn the_pieces_may_have_any_size() {
    run(async {
        for segment in segments(24).await {
            for len in [1, 7, 4095, 4096, 4097, segment.bytes.len()] {
                let mut checker = SegmentChecker::new(segment.header);
                for piece in segment.bytes.chunks(len) {
                    checker.feed(piece).unwrap();
                }
                let end = (segment.last, segment.bytes.len() as u64);
                assert_eq!(checker.end(), end, "pieces of {len}");
                assert!(!checker.is_done());
            }
        }
    });
}

/// Whether a checker finds a flaw, or another end.
fn is_noticed(segment: &Segment, bytes: &[u8]) -> bool {
    let mut checker = SegmentChecker::new(segment.header);
    checker.feed(bytes).is_err() || checker.end() != (segment.last, bytes.len() as u64)
}

#[test]
fn every_flipped_bit_is_noticed() {
    run(async {
        let segment = segments(24).await.swap_remove(0);
        assert!(!is_noticed(&segment, &segment.bytes));
        for bit in 0..segment.bytes.len() * 8 {
            // All of the header block, and some of the records.
            if bit > 4200 * 8 && bit % 97 != 0 {
                continue;
            }
            let mut damaged = segment.bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(is_noticed(&segment, &damaged), "bit {bit}");
        }
    });
}

#[test]
fn a_flaw_says_where_it_is() {
    run(async {
        let segment = segments(24).await.swap_remove(0);
        let mut damaged = segment.bytes.to_vec();
        damaged[4096] ^= 1;
        let mut checker = SegmentChecker::new(segment.header);
        let flaw = checker.feed(&damaged).unwrap_err();
        assert_eq!(flaw.offset, 4096);
        assert_eq!(
            flaw.to_string(),
            "at byte 4096: the next record is missing or damaged"
        );
        let header = tidewal::SegmentHeader {
            salt: 1,
            ..segment.header
        };
        let flaw = SegmentChecker::new(header).feed(&segment.bytes);
        assert_eq!(flaw.unwrap_err().offset, 0);
    });
}

#[test]
fn an_atomic_batch_that_goes_beyond_the_end_does_not_count() {
    run(async {
        let segment = segments(24).await.pop().unwrap();
        for last in segment.header.base.get()..=24 {
            let mut checker = SegmentChecker::up_to(segment.header, Lsn::new(last));
            checker.feed(&segment.bytes).unwrap();
            assert!(checker.is_done());
            let expected = if (21..24).contains(&last) { 20 } else { last };
            assert_eq!(checker.end().0, Lsn::new(expected), "up to {last}");
        }
    });
}
