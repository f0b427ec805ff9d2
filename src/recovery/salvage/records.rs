//! The records of each segment, before and after damage.

use crate::error::{Corruption, CorruptionKind, IoFailure};
use crate::format::statement::{Statement, StatementKind};
use crate::lsn::Lsn;
use crate::recovery::chain::SegmentMeta;
use crate::recovery::chunk::Chunk;
use crate::recovery::replay::check_complete;
use crate::recovery::salvage::{Extent, RecordsRead, Salvage, Visitor};
use crate::recovery::scan::{Scan, Stop};
use crate::recovery::tail::{self, Rest, Verdict};
use crate::storage::Dir;

impl Salvage {
    pub(super) fn read_records(&mut self, dir: &Dir, extent: Extent, visitor: &mut dyn Visitor) {
        let first = match extent {
            Extent::Everything => self.head,
            _ => self.segments.len().saturating_sub(1),
        };
        for index in first..self.segments.len() {
            let Some(meta) = self.segments[index].meta().cloned() else {
                visitor.bytes(self.segments[index].len);
                continue;
            };
            match self.read_segment(dir, index, &meta, visitor) {
                Ok(records) => self.segments[index].records = Some(records),
                Err(failure) => self.read_errors.push(failure.into()),
            }
        }
    }

    fn read_segment(
        &mut self,
        dir: &Dir,
        index: usize,
        meta: &SegmentMeta,
        visitor: &mut dyn Visitor,
    ) -> Result<RecordsRead, IoFailure> {
        let next = self.linked_next(index);
        let limit = next.as_ref().and_then(|next| next.header.predecessor);
        let scan = Scan::open(dir, meta, limit.map(|before| before.end))?;
        let mut reading = Reading::new(scan, visitor);
        let stop = reading.read_on()?;
        let mut records = reading.so_far();
        if let Stop::UnknownKind(kind) = stop {
            self.read_errors.push(reading.scan.unsupported(kind));
            return Ok(reading.finish(records, Rest::default()));
        }
        let (corruption, rest) = self.judge(dir, index, &reading.scan, stop, next)?;
        records.is_whole = corruption.is_none();
        self.note_corruptions(dir, index, &mut reading, stop, corruption)?;
        Ok(reading.finish(records, rest))
    }

    /// The next segment, if it names this one as its predecessor.
    fn linked_next(&self, index: usize) -> Option<SegmentMeta> {
        let next = self.segments.get(index + 1)?.meta();
        next.filter(|_| self.segments[index].is_linked).cloned()
    }

    /// Judges whether the segment holds everything up to where it must end.
    fn judge(
        &mut self,
        dir: &Dir,
        index: usize,
        scan: &Scan,
        stop: Stop,
        next: Option<SegmentMeta>,
    ) -> Result<Judged, IoFailure> {
        match next {
            Some(next) => Ok((check_complete(dir, scan, &next).err(), Rest::default())),
            None if self.is_newest(index) => self.judge_newest(dir, scan, stop),
            None => judge_unlinked(dir, scan, stop, self.expected_end(index)),
        }
    }

    fn judge_newest(&mut self, dir: &Dir, scan: &Scan, stop: Stop) -> Result<Judged, IoFailure> {
        let (verdict, rest) = tail::judge_with(dir, scan, stop)?;
        match verdict {
            Verdict::Sealed => self.is_closed = true,
            Verdict::Torn(tail) => self.torn_tail = Some(tail),
            Verdict::Damaged(corruption) => return Ok((Some(corruption), rest)),
        }
        Ok((None, rest))
    }

    /// The end of a segment according to the name of the next file, if that can be the next
    /// segment. A file with a valid header cannot: it does not link to this one, so a file between
    /// them is missing.
    fn expected_end(&self, index: usize) -> Lsn {
        let next = &self.segments[index + 1];
        match next.file {
            Some(_) => Lsn::ZERO,
            None => next.base.prev(),
        }
    }

    /// Lists the damage in a segment, and reads the rest.
    fn note_corruptions(
        &mut self,
        dir: &Dir,
        index: usize,
        reading: &mut Reading<'_>,
        stop: Stop,
        corruption: Option<Corruption>,
    ) -> Result<(), IoFailure> {
        let lacks_successor = corruption
            .as_ref()
            .is_some_and(|corruption| corruption.kind == CorruptionKind::SuccessorMissing);
        let kind = match self.is_newest(index) {
            true => CorruptionKind::ProvenLost,
            false => CorruptionKind::SealedDamaged,
        };
        if let Some(corruption) = corruption {
            reading.read_behind(dir, stop, kind, corruption, &mut |corruption| {
                self.note_corruption(corruption);
            })?;
        }
        if self.is_newest(index)
            && !lacks_successor
            && let Some(corruption) = reading.missing_successor(dir)
        {
            self.note_corruption(corruption);
        }
        Ok(())
    }
}

/// Damage at the end of a segment, and what the frames after its end prove.
type Judged = (Option<Corruption>, Rest);

/// Judges a segment whose successor is missing or unreadable. It was complete. Its statement, its
/// records and the name of the next file show where it ended.
fn judge_unlinked(dir: &Dir, scan: &Scan, stop: Stop, expected: Lsn) -> Result<Judged, IoFailure> {
    let statement = scan.segment.statement;
    let is_read = |end: Statement| end.is_end() && end.lsn <= scan.end().0;
    let rest = match statement.is_some_and(is_read) {
        true => Rest::default(),
        false => tail::search_rest(scan)?,
    };
    let last = stated(scan).max(rest.proven).max(expected);
    let is_lost = last > scan.end().0 || matches!(stop, Stop::Unreadable(_));
    let corruption = is_lost.then(|| scan.damaged(dir, CorruptionKind::SealedDamaged, last));
    Ok((corruption, rest))
}

/// The durable LSN according to the segment's statement.
fn stated(scan: &Scan) -> Lsn {
    let statement = scan.segment.statement;
    statement.map_or(Lsn::ZERO, |statement| statement.lsn)
}

/// A scan that continues after damage.
struct Reading<'a> {
    scan: Scan,
    visitor: &'a mut dyn Visitor,
    count: u64,
    payload_bytes: u64,
    highest: Lsn,
    /// The number of bytes of the file that were reported to the visitor.
    told: u64,
}

impl<'a> Reading<'a> {
    fn new(scan: Scan, visitor: &'a mut dyn Visitor) -> Self {
        Self {
            scan,
            visitor,
            count: 0,
            payload_bytes: 0,
            highest: Lsn::ZERO,
            told: 0,
        }
    }

    /// Reads until something does not continue the log, and returns why.
    fn read_on(&mut self) -> Result<Stop, IoFailure> {
        loop {
            let mut chunk = Chunk::new(self.visitor.keep());
            let stop = self.scan.read_block(&mut chunk)?;
            self.hand_over(chunk);
            if let Some(stop) = stop {
                self.highest = self.highest.max(self.scan.walker.last());
                return Ok(stop);
            }
        }
    }

    fn hand_over(&mut self, chunk: Chunk) {
        self.count += chunk.count;
        self.payload_bytes += chunk.bytes;
        self.tell(self.scan.walker.offset());
        let records: Vec<_> = chunk.into_records().collect();
        if !records.is_empty() {
            self.visitor.records(records);
        }
    }

    fn tell(&mut self, offset: u64) {
        self.visitor.bytes(offset.saturating_sub(self.told));
        self.told = self.told.max(offset);
    }

    /// The records from the first one on, before the first damage.
    fn so_far(&self) -> RecordsRead {
        let (end, end_offset) = self.scan.end();
        RecordsRead {
            count: self.count,
            payload_bytes: self.payload_bytes,
            end,
            end_offset,
            unproven_from: self.scan.unproven_from(),
            proven: Lsn::ZERO,
            highest: Lsn::ZERO,
            is_whole: false,
        }
    }

    /// Reports each damaged range up to the last record that `damage` names, and reads the records
    /// between them. Damage other than an unreadable page has this `kind`.
    fn read_behind(
        &mut self,
        dir: &Dir,
        mut stop: Stop,
        kind: CorruptionKind,
        mut corruption: Corruption,
        report: &mut dyn FnMut(Corruption),
    ) -> Result<(), IoFailure> {
        let last = corruption.last;
        while corruption.first <= last && self.scan.resume(stop, last)? {
            let before = self.scan.walker.last();
            report(Corruption {
                last: before.max(corruption.first),
                ..corruption
            });
            stop = self.read_on()?;
            corruption = self.scan.damaged(dir, kind, last);
            if corruption.first > last {
                return Ok(());
            }
        }
        report(corruption);
        Ok(())
    }

    /// If the newest segment has lost records, its successor may be missing too.
    fn missing_successor(&self, dir: &Dir) -> Option<Corruption> {
        let link = self.scan.segment.statement?;
        (link.kind == StatementKind::Link).then(|| Corruption {
            first: link.lsn.next(),
            ..self
                .scan
                .damaged(dir, CorruptionKind::SuccessorMissing, Lsn::ZERO)
        })
    }

    /// Adds the records after the first damage, and what frames that are no records prove.
    fn finish(mut self, records: RecordsRead, rest: Rest) -> RecordsRead {
        self.tell(self.scan.capacity());
        let stated = stated(&self.scan);
        RecordsRead {
            count: self.count,
            payload_bytes: self.payload_bytes,
            proven: self.scan.walker.proven().max(stated).max(rest.proven),
            highest: self.highest.max(stated).max(rest.highest),
            ..records
        }
    }
}
