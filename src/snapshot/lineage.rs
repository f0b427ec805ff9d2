//! Which snapshots belong to a log, judged by its segments.
//!
//! The log id alone is not enough. A repair that cuts the end of a log, and a restore to an earlier
//! point, keep the id and give LSNs out again. Records after the cut are in another segment with
//! another salt. A snapshot therefore names the segment of the last record that it covers.

use crate::format::segment;
use crate::format::snapshot;
use crate::lsn::Lsn;
use crate::mutants::{Mutant, is_active};

/// The segments of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    /// `None` if the log has no segment, or if that is not known.
    log_id: Option<u64>,
    /// Oldest first.
    headers: Vec<segment::Header>,
}

/// How a snapshot relates to a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Relation {
    /// As far as the segments show, the snapshot covers records of this log.
    Own,
    /// The snapshot belongs to another log.
    Foreign,
    /// The last record that the snapshot covers is not the log's record of that LSN.
    Diverged,
}

impl Chain {
    pub(crate) fn new(log_id: Option<u64>, mut headers: Vec<segment::Header>) -> Self {
        headers.sort_unstable_by_key(|header| header.base);
        Self { log_id, headers }
    }

    pub(crate) fn log_id(&self) -> Option<u64> {
        self.log_id
    }

    /// A log without a segment has no id yet. Such a log ends before the snapshot, which recovery
    /// reports.
    pub(crate) fn is_foreign(&self, log_id: u64) -> bool {
        self.log_id.is_some_and(|own| own != log_id)
    }

    pub(crate) fn relation(&self, snapshot: &snapshot::Header) -> Relation {
        if self.is_foreign(snapshot.log_id) {
            return Relation::Foreign;
        }
        match (snapshot.segment, self.segment_of(snapshot.lsn)) {
            (Some(covered), Some(own))
                if covered != own && !is_active(Mutant::SnapshotDiverged) =>
            {
                Relation::Diverged
            }
            _ => Relation::Own,
        }
    }

    /// The salt of the segment that holds this record, or that held it before it was truncated.
    /// `None` if it is unknown, because more was truncated.
    ///
    /// A file with a segment's name may be a truncated one, and files between it and the log may be
    /// gone. It counts if the segment after it names it.
    pub(crate) fn segment_of(&self, lsn: Lsn) -> Option<u64> {
        let after = self.headers.partition_point(|header| header.base <= lsn);
        let found = after.checked_sub(1).map(|index| self.headers[index].salt);
        let Some(next) = self.headers.get(after) else {
            return found;
        };
        let before = next.predecessor.map(|before| before.salt);
        before.filter(|_| found == before || next.base.prev() == lsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment::Predecessor;

    fn header(base: u64, salt: u64, before: Option<u64>) -> segment::Header {
        segment::Header {
            log_id: 1,
            base: Lsn::new(base),
            salt,
            capacity: 4096,
            predecessor: before.map(|salt| Predecessor { salt, end: 4096 }),
        }
    }

    fn relation(chain: &Chain, lsn: u64, segment: Option<u64>) -> Relation {
        chain.relation(&snapshot::Header {
            log_id: 1,
            lsn: Lsn::new(lsn),
            salt: 9,
            len: 0,
            chunks: 0,
            segment,
        })
    }

    #[test]
    fn the_segment_of_the_last_record_decides() {
        let headers = vec![header(31, 3, Some(2)), header(11, 2, Some(1))];
        let chain = Chain::new(Some(1), headers);
        for (lsn, own) in [(10, 1), (11, 2), (30, 2), (31, 3), (99, 3)] {
            assert_eq!(relation(&chain, lsn, Some(own)), Relation::Own, "{lsn}");
            assert_eq!(relation(&chain, lsn, Some(7)), Relation::Diverged, "{lsn}");
            assert_eq!(relation(&chain, lsn, None), Relation::Own, "{lsn}");
        }
        // Too much was truncated to know, and recovery reports that.
        assert_eq!(relation(&chain, 9, Some(7)), Relation::Own);
    }

    /// The removal of its name was not durable yet, while that of the segment after it was.
    #[test]
    fn regression_a_truncated_segment_that_came_back_holds_no_record_of_the_log() {
        let headers = vec![header(1, 1, None), header(21, 3, Some(2))];
        let chain = Chain::new(Some(1), headers);
        assert_eq!(relation(&chain, 20, Some(2)), Relation::Own);
        assert_eq!(relation(&chain, 20, Some(1)), Relation::Diverged);
        assert_eq!(
            relation(&chain, 15, Some(2)),
            Relation::Own,
            "too old to tell"
        );
    }

    #[test]
    fn a_log_that_begins_anew_says_nothing_of_what_was_before() {
        let chain = Chain::new(Some(1), vec![header(11, 2, None)]);
        assert_eq!(relation(&chain, 10, Some(7)), Relation::Own);
        assert_eq!(relation(&Chain::default(), 10, Some(7)), Relation::Own);
    }

    #[test]
    fn another_log_is_foreign_whatever_its_segments_are() {
        let chain = Chain::new(Some(2), vec![header(11, 2, None)]);
        assert_eq!(relation(&chain, 11, Some(2)), Relation::Foreign);
        assert_eq!(relation(&chain, 11, Some(3)), Relation::Foreign);
    }
}
