//! The changes of a repair, with everything that is needed to make them.

use std::path::Path;

use crate::format::names;
use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::recovered::LastSegment;
use crate::recovery::salvage::Salvaged;
use crate::storage::Dir;
use crate::tools::step::RepairStep;

/// The changes of a repair.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Work {
    /// Files that get their full length.
    pub(super) extend: Vec<(String, u64)>,
    pub(super) begin: Option<Begin>,
    pub(super) mark_head: Option<Header>,
    /// Files that are taken out of the log, newest first.
    pub(super) remove: Vec<String>,
    pub(super) seal: Option<Seal>,
}

/// A new first segment of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Begin {
    pub(super) base: Lsn,
    /// The log id, if it is known.
    pub(super) log_id: Option<u64>,
}

/// A new end of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal {
    pub(super) last: Lsn,
    pub(super) segment: LastSegment,
}

impl PartialEq for Seal {
    fn eq(&self, other: &Self) -> bool {
        (self.last, self.segment.end, self.segment.header)
            == (other.last, other.segment.end, other.segment.header)
    }
}

impl Eq for Seal {}

impl Seal {
    /// The end after the run of records that begins with the first record of a segment.
    pub(super) fn behind(segment: &Salvaged) -> Option<Self> {
        let (meta, records) = (segment.meta()?, segment.records?);
        Some(Self {
            last: records.end,
            segment: LastSegment {
                header: meta.header,
                end: records.end_offset,
                unproven_from: records.unproven_from,
                sealed: false,
            },
        })
    }
}

impl Work {
    /// The files whose header block is changed.
    pub(super) fn changed(&self) -> Vec<String> {
        let marked = self.mark_head.map(|header| header.base);
        let sealed = self.seal.map(|seal| seal.segment.header.base);
        let sealed = sealed.filter(|_| sealed != marked);
        marked
            .into_iter()
            .chain(sealed)
            .map(names::segment)
            .collect()
    }

    /// The steps as they are shown to an operator.
    pub(super) fn steps(&self, dir: &Dir, folder: &Path) -> Vec<RepairStep> {
        let path = |name: &String| dir.path_of(name);
        let of_segment = |base| dir.path_of(&names::segment(base));
        let changed = self.changed();
        let kept = self.remove.iter().chain(&changed);
        let keep = kept.map(|name| RepairStep::Keep {
            file: path(name),
            copy: folder.join(kept_name(name)),
        });
        let extend = self.extend.iter().map(|(name, len)| RepairStep::Extend {
            file: path(name),
            len: *len,
        });
        let begin = self
            .begin
            .map(|begin| RepairStep::Begin { lsn: begin.base });
        let mark_head = self.mark_head.map(|header| RepairStep::MarkHead {
            file: of_segment(header.base),
        });
        let remove = self.remove.iter();
        let remove = remove.map(|name| RepairStep::Remove { file: path(name) });
        let seal = self.seal.map(|seal| RepairStep::Seal {
            file: of_segment(seal.segment.header.base),
            lsn: seal.last,
            offset: seal.segment.end,
        });
        let first = keep.chain(extend).chain(begin).chain(mark_head);
        first.chain(remove).chain(seal).collect()
    }
}

/// The name of a file in the folder.
pub(super) fn kept_name(name: &str) -> String {
    format!("{name}{KEPT_SUFFIX}")
}

const KEPT_SUFFIX: &str = ".kept";
