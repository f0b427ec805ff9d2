//! Logs, and what their segments give out.

use bytes::Bytes;
use tidewal::import::LogBuilder;
use tidewal::sim::SimDisk;
use tidewal::{Error, Lsn, Record, SegmentHeader, Wal};

use crate::support::{DIR, options};

/// Where the log is built.
pub const COPY: &str = "copy";

/// A finished segment, taken out of its log.
#[derive(Clone)]
pub struct Segment {
    pub header: SegmentHeader,
    pub last: Lsn,
    pub bytes: Bytes,
}

/// The payload of a record, of a length of its own.
pub fn payload(lsn: u64) -> Vec<u8> {
    let len = usize::try_from(1000 + lsn * 911 % 3000).unwrap();
    vec![u8::try_from(lsn % 199).unwrap(); len]
}

/// The segments of a log of so many records, of which the last four are one atomic batch.
pub async fn segments(count: u64) -> Vec<Segment> {
    let wal = options().open_on(&SimDisk::new(1), DIR).await.unwrap();
    for lsn in 1..=count - 4 {
        wal.append(payload(lsn)).await.unwrap();
    }
    let batch = (count - 3..=count).map(payload);
    wal.append_batch(batch).await.unwrap();
    wal.rotate().await.unwrap();
    taken_out(&wal).await
}

pub async fn taken_out(wal: &Wal) -> Vec<Segment> {
    let mut taken = Vec::new();
    for segment in wal.segments().list().finished {
        let (mut bytes, mut pieces) = (Vec::new(), segment.bytes());
        while let Some(piece) = pieces.try_next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        taken.push(Segment {
            header: segment.header(),
            last: segment.last(),
            bytes: bytes.into(),
        });
    }
    taken
}

/// Builds a log of these segments.
pub async fn build(disk: &SimDisk, segments: &[Segment]) -> Result<(), Error> {
    let mut builder = LogBuilder::create_on(disk, COPY).await?;
    for segment in segments {
        builder.begin_segment(segment.header).await?;
        for piece in segment.bytes.chunks(1000) {
            builder.write(Bytes::copy_from_slice(piece)).await?;
        }
        let end = segment.bytes.len() as u64;
        builder.end_segment(segment.last, end).await?;
    }
    builder.finish().await
}

/// The LSNs of the log that was built, each of whose records has to be what it was.
pub async fn built(disk: &SimDisk) -> Result<Vec<u64>, Error> {
    let mut reader = options().read_on(disk, COPY).await?;
    let mut found = Vec::new();
    while let Some(Record {
        lsn,
        payload: bytes,
        ..
    }) = reader.try_next().await?
    {
        assert!(bytes == payload(lsn.get()), "{lsn}");
        found.push(lsn.get());
    }
    assert!(reader.report().torn_tail.is_none(), "it was closed");
    Ok(found)
}

/// The names of files, but for the lock.
pub fn names(disk: &SimDisk) -> Vec<String> {
    let mut files = disk.files(COPY);
    files.retain(|name| name != "LOCK");
    files
}
