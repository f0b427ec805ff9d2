//! What producers append, and to which logs.

use crate::peers::State;

/// One table: a number of producers, each with a number of appends in flight.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name for `--workloads`.
    pub name: &'static str,
    pub producers: usize,
    /// The number of appends that a producer keeps in flight.
    pub in_flight: usize,
    /// Bytes of a payload.
    pub len: usize,
    pub call: Call,
    pub state: State,
    /// Whether all variants of a peer are measured, and not only the best one.
    pub variants: bool,
}

/// The kind of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// One record, acknowledged after its sync.
    Durable,
    /// One record, acknowledged when the operating system has its bytes.
    Written,
    /// [`BATCH`] records, all or nothing, acknowledged after their sync.
    Batch,
}

impl Call {
    pub fn records(self) -> u64 {
        match self {
            Self::Durable | Self::Written => 1,
            Self::Batch => BATCH as u64,
        }
    }
}

/// Records of an atomic batch.
pub const BATCH: usize = 100;

/// All workloads, in the order of the tables.
pub const ALL: &[Workload] = &[
    Workload::closed("1", 1, 100).with_variants(),
    Workload::closed("16", 16, 100).with_variants(),
    Workload::closed("64", 64, 100).with_variants(),
    Workload::closed("1024", 1024, 100).with_variants(),
    Workload {
        in_flight: 1024,
        ..Workload::closed("deep", 4, 100)
    },
    Workload::closed("1x4k", 1, 4 * KIB),
    Workload::closed("64x4k", 64, 4 * KIB),
    Workload::closed("16x64k", 16, 64 * KIB),
    Workload {
        call: Call::Batch,
        ..Workload::closed("batch", 4, 100)
    },
    Workload {
        call: Call::Written,
        ..Workload::closed("written1", 1, 100)
    },
    Workload {
        call: Call::Written,
        ..Workload::closed("written4", 4, 100)
    },
    Workload {
        state: State::New,
        ..Workload::closed("new", 64, 100)
    },
    Workload {
        state: State::Reopened,
        ..Workload::closed("reopened", 64, 100)
    },
];

impl Workload {
    /// Each producer appends again when its last append is acknowledged.
    const fn closed(name: &'static str, producers: usize, len: usize) -> Self {
        Self {
            name,
            producers,
            in_flight: 1,
            len,
            call: Call::Durable,
            state: State::Settled,
            variants: false,
        }
    }

    const fn with_variants(self) -> Self {
        Self {
            variants: true,
            ..self
        }
    }

    /// The equivalent for the bare disk: repeated writes and syncs of as many bytes.
    pub fn of_the_floor(&self) -> Self {
        Self {
            producers: 1,
            in_flight: 1,
            call: Call::Durable,
            state: State::Settled,
            ..*self
        }
    }

    /// One append in this many is timed, because reading the clock is not free if appends take microseconds.
    pub fn timed_one_in(&self) -> u64 {
        let is_fast = self.producers * self.in_flight > 64 || self.call == Call::Written;
        if is_fast { 16 } else { 1 }
    }

    /// The heading of its table.
    pub fn title(&self) -> String {
        let mut title = match self.producers {
            1 => "1 producer".to_owned(),
            count => format!("{} producers", grouped(count)),
        };
        if self.in_flight > 1 {
            title += &format!(" with {} in flight each", grouped(self.in_flight));
        }
        title += &match self.call {
            Call::Durable => format!(", {}", size(self.len)),
            Call::Written => format!(", {}, written and not synced", size(self.len)),
            Call::Batch => format!(", atomic batches of {BATCH} x {}", size(self.len)),
        };
        match self.state {
            State::Settled => {}
            State::New | State::Traced => title += ", a new log",
            State::Reopened => title += ", a log reopened",
        }
        title
    }
}

pub fn size(len: usize) -> String {
    match len % KIB {
        0 => format!("{} KiB", len / KIB),
        _ => format!("{len} B"),
    }
}

pub fn grouped(count: usize) -> String {
    match count {
        1_000.. => format!("{},{:03}", grouped(count / 1_000), count % 1_000),
        _ => count.to_string(),
    }
}

const KIB: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_say_what_is_done() {
        let title = |name| {
            let mut all = ALL.iter();
            all.find(|workload| workload.name == name).unwrap().title()
        };
        assert_eq!(title("1"), "1 producer, 100 B");
        assert_eq!(
            title("deep"),
            "4 producers with 1,024 in flight each, 100 B"
        );
        assert_eq!(title("batch"), "4 producers, atomic batches of 100 x 100 B");
        assert_eq!(title("reopened"), "64 producers, 100 B, a log reopened");
    }
}
