//! What a repair writes: the statements and marks of a running log, on one that is not running.

use crate::error::Fault;
use crate::format::segment::Header;
use crate::lsn::Lsn;
use crate::recovered::LastSegment;
use crate::storage::{Dir, Onto};
use crate::writer::adopt;
use crate::writer::segment::{self, Segment};
use crate::writer::spares::{Spare, create_free};
use crate::writer::unshare::open_to_change;

/// Opens a segment without records, and seals it.
pub(crate) async fn begin(dir: &Dir, header: &Header) -> Result<(), Fault> {
    let spare = spare(dir, header.capacity)?;
    match Segment::open(dir, spare, *header, Onto::Nothing).await {
        Ok(segment) => segment.seal().await,
        Err(error) => Err(error.into()),
    }
}

/// Says, durably, that the log begins with this segment.
pub(crate) async fn mark_as_head(dir: &Dir, header: &Header) -> Result<(), Fault> {
    segment::mark_as_head(dir, header).await?;
    Ok(())
}

/// Makes a file as long as it should be.
pub(crate) async fn extend(dir: &Dir, name: &str, len: u64) -> Result<(), Fault> {
    let file = open_to_change(dir, name, u64::MAX).await?.allocate(len)?;
    file.sync().await.map(drop)
}

/// Removes names, in this order, and makes that durable.
pub(crate) fn remove(dir: &Dir, names: &[String]) -> Result<(), Fault> {
    names.iter().try_for_each(|name| dir.remove(name))?;
    dir.sync().map(drop)
}

/// Makes the records of a segment durable up to its new end, and says that it ends there.
pub(crate) async fn end(dir: &Dir, segment: &LastSegment, last: Lsn) -> Result<(), Fault> {
    adopt::adopt_last(dir, segment, last).await
}

/// A file with the name of a spare, which is what the next start removes if this one gets no further.
fn spare(dir: &Dir, len: u64) -> Result<Spare, Fault> {
    let (name, file) = create_free(dir)?;
    let file = file.allocate(len)?;
    Ok(Spare { name, file })
}
