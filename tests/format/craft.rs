//! Logs made byte by byte, with valid checks.

use tidewal::sim::SimDisk;
use tidewal::tools::{Depth, LogDir, Survey};
use tidewal::{Error, Record, RecoveryReport, Wal};

use crate::cases::format::{DATA_AT, FRAME_LEN, Frame, HEADER_LEN, Header, RECORD, STATEMENT_AT};
use crate::cases::format::{checksum, crc32};
use crate::support::{DIR, run};

/// A segment's file.
#[derive(Clone)]
pub struct Segment {
    pub header: Header,
    pub bytes: Vec<u8>,
    /// The offset of the next frame, and its LSN.
    pub at: usize,
    pub next: u64,
}

impl Segment {
    pub fn new(base: u64, capacity: usize) -> Self {
        let header = Header {
            log_id: 7,
            base,
            salt: 11,
            capacity: capacity as u64,
            prev_salt: 0,
            prev_end: 0,
        };
        let mut bytes = vec![0; capacity];
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        Self {
            header,
            bytes,
            at: DATA_AT,
            next: base,
        }
    }

    /// The segment that follows it.
    pub fn successor(&self, capacity: usize) -> Self {
        let mut next = Self::new(self.next, capacity);
        next.header.prev_salt = self.header.salt;
        next.header.prev_end = self.at as u64;
        next.header.salt = self.header.salt + 1;
        next.bytes[..HEADER_LEN].copy_from_slice(&next.header.encode());
        next
    }

    pub fn record(self, payload: &[u8]) -> Self {
        self.frame(RECORD, payload)
    }

    /// The next record as a frame of this kind.
    pub fn frame(mut self, kind: u8, payload: &[u8]) -> Self {
        let frame = Frame {
            lsn: self.next,
            payload_sum: crc32(0, payload),
            len: u32::try_from(payload.len()).unwrap(),
            kind,
            lag: 1,
        };
        self.put(&frame, payload);
        self.next = self.next.wrapping_add(1);
        self
    }

    pub fn put(&mut self, frame: &Frame, payload: &[u8]) {
        let header = frame.encode(self.header.salt);
        let (at, end) = (self.at + FRAME_LEN, self.at + FRAME_LEN + payload.len());
        self.bytes[self.at..at].copy_from_slice(&header);
        self.bytes[at..end].copy_from_slice(payload);
        self.at = end;
    }

    pub fn state(mut self, statement: Frame) -> Self {
        let bytes = statement.encode(self.header.salt);
        self.bytes[STATEMENT_AT..STATEMENT_AT + FRAME_LEN].copy_from_slice(&bytes);
        self
    }

    /// Changes the header and corrects its checksum.
    pub fn edit_header(mut self, change: impl FnOnce(&mut [u8; HEADER_LEN])) -> Self {
        let header = self.bytes.first_chunk_mut().unwrap();
        change(header);
        checksum(header);
        self
    }

    pub fn name(&self) -> String {
        format!("{:020}.wal", self.header.base)
    }
}

pub fn disk_with(segments: &[Segment]) -> SimDisk {
    let disk = SimDisk::new(1);
    for segment in segments {
        let path = format!("{DIR}/{}", segment.name());
        disk.write_file(path, segment.bytes.clone());
    }
    disk
}

/// The records that a reader delivers, and how it ends.
pub struct Read {
    pub records: Vec<Record>,
    pub outcome: Result<RecoveryReport, Error>,
}

impl Read {
    pub fn of(disk: &SimDisk) -> Self {
        run(async {
            let mut records = Vec::new();
            let outcome = read(disk, &mut records).await;
            Self { records, outcome }
        })
    }

    pub fn lsns(&self) -> Vec<u64> {
        self.records.iter().map(|record| record.lsn.get()).collect()
    }

    /// The label of the damage, if there is any.
    #[track_caller]
    pub fn label(&self) -> Option<&'static str> {
        match &self.outcome {
            Ok(_) => None,
            Err(Error::Corrupt(corruption)) => Some(corruption.kind.label()),
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn read(disk: &SimDisk, records: &mut Vec<Record>) -> Result<RecoveryReport, Error> {
    let mut reader = Wal::options().read_on(disk, DIR).await?;
    while let Some(record) = reader.try_next().await? {
        records.push(record);
    }
    Ok(reader.report().clone())
}

pub fn survey(disk: &SimDisk) -> Survey {
    LogDir::on(disk, DIR).survey(Depth::Everything).unwrap()
}

/// Opens for appending, and appends.
pub fn append(disk: &SimDisk) -> Result<u64, Error> {
    run(async {
        let wal = Wal::options()
            .segment_size(16 * 1024)
            .open_on(disk, DIR)
            .await?;
        let lsn = wal.append("more").await?;
        wal.close().await?;
        Ok(lsn.get())
    })
}
