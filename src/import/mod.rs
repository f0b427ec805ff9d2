//! Builds a log from the bytes of segments, to restore what [`FinishedSegment::bytes`] returned.
//!
//! [`SegmentChecker`] checks a segment's bytes as they arrive, without I/O. [`LogBuilder`] writes
//! segments into a directory, which becomes a log only when all of them are durable.
//!
//! [`FinishedSegment::bytes`]: crate::FinishedSegment::bytes
//!
//! # Examples
//!
//! ```
//! use tidewal::import::{LogBuilder, SegmentChecker};
//! use tidewal::{Lsn, Wal};
//!
//! # tokio_test::block_on(async {
//! # let dir = tempfile::tempdir().unwrap();
//! let wal = Wal::open(dir.path().join("log")).await?;
//! wal.append("a record").await?;
//! wal.rotate().await?;
//!
//! let copy = dir.path().join("copy");
//! let mut builder = LogBuilder::create(&copy).await?;
//! for segment in wal.segments().list().finished {
//!     builder.begin_segment(segment.header()).await?;
//!     let mut checker = SegmentChecker::new(segment.header());
//!     let mut bytes = segment.bytes();
//!     while let Some(piece) = bytes.try_next().await? {
//!         checker.feed(&piece).expect("the file is sound");
//!         builder.write(piece).await?;
//!     }
//!     let (last, end) = checker.end();
//!     builder.end_segment(last, end).await?;
//! }
//! builder.finish().await?;
//! assert_eq!(Wal::open(&copy).await?.durable_lsn(), Lsn::FIRST);
//! # Ok::<(), tidewal::Error>(())
//! # }).unwrap();
//! ```

mod builder;
mod checker;

pub use crate::import::builder::LogBuilder;
pub use crate::import::checker::{SegmentChecker, SegmentFlaw};
