//! Writing a restored directory (`docs/archive.md`, "Restoring").
//!
//! From its first step to its last the directory holds a file that says that no log is to be opened in
//! it. Removing that file is the last step.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::archive::error::{Error, Result};
use crate::error::IoFailure;
use crate::format::names;
use crate::format::segment::{self, Header};
use crate::format::statement::{Statement, StatementKind};
use crate::lsn::Lsn;
use crate::storage::{Access, Dir, File, Location, Mode, Opening};

/// What a builder is told to do. Segments come in the order of their LSNs.
pub(super) enum Order {
    /// A segment begins, which is the first one that the log keeps although it has a predecessor.
    Begin { header: Header, is_first: bool },
    /// The next bytes of it.
    Write(Bytes),
    /// It ends with this record, at this offset. What stands behind it is to go.
    End { last: Lsn, end: u64 },
    /// All segments are there.
    Finish,
}

/// Builds a log whose newest segment is to be `newest`. Without an order to finish there is no log.
pub(super) async fn run(
    location: Location,
    newest: Header,
    mut orders: mpsc::Receiver<Order>,
) -> Result<()> {
    let opening = Opening {
        access: Access::Append,
        create: true,
        allow_unsynced: false,
    };
    let dir = location.open(opening).map_err(crate::Error::from)?;
    let _lock = dir.lock(Access::Append).await?;
    let leftovers = leftovers(&dir)?;
    begin(&dir, leftovers).await.map_err(crate::Error::from)?;
    let mut site = Site {
        dir,
        newest,
        open: None,
    };
    while let Some(order) = orders.recv().await {
        let is_last = matches!(order, Order::Finish);
        site.follow(order).await.map_err(crate::Error::from)?;
        if is_last {
            return Ok(());
        }
    }
    Err(crate::Error::Interrupted.into())
}

/// What a restore that was cut short has left. Anything else is not to be touched.
fn leftovers(dir: &Dir) -> Result<Vec<String>> {
    let mut files = dir.list().map_err(crate::Error::from)?;
    let is_unfinished = files.iter().any(|name| name == names::RESTORING);
    files.retain(|name| name != names::LOCK && name != LOST_AND_FOUND);
    let is_leftover = |name: &String| {
        let is_of_log = names::parse_segment(name).is_some() || name == names::RESTORING;
        is_unfinished && is_of_log
    };
    match files.iter().find(|name| !is_leftover(name)) {
        None => Ok(files),
        Some(file) => Err(Error::NotEmpty {
            dir: dir.path().to_owned(),
            file: file.clone(),
        }),
    }
}

/// Says durably that a restore is under way, before anything else is done to the directory.
async fn begin(dir: &Dir, leftovers: Vec<String>) -> Result<(), IoFailure> {
    if leftovers.is_empty() {
        let file = dir.open(names::RESTORING, Mode::Create)?;
        file.write_at(UNFINISHED, 0)?.0.sync().await?;
    }
    dir.sync()?;
    let mut segments = leftovers.iter().filter(|name| *name != names::RESTORING);
    segments.try_for_each(|name| dir.remove(name))?;
    dir.sync().map(drop)
}

/// A directory under construction.
struct Site {
    dir: Dir,
    newest: Header,
    open: Option<Unfinished>,
}

/// A segment that is being written.
struct Unfinished {
    file: File,
    header: Header,
    is_first: bool,
    written: u64,
}

impl Site {
    async fn follow(&mut self, order: Order) -> Result<(), IoFailure> {
        match order {
            Order::Begin { header, is_first } => self.open = Some(self.begin(header, is_first)?),
            Order::Write(bytes) => self.open = Some(self.take_open().write(&bytes)?),
            Order::End { last, end } => {
                let statement = match self.take_open() {
                    newest if newest.header.base == self.newest.base => {
                        (newest, StatementKind::Seal)
                    }
                    other => (other, StatementKind::Link),
                };
                statement.0.end(statement.1, last, end).await?;
            }
            Order::Finish => self.finish()?,
        }
        Ok(())
    }

    fn begin(&self, header: Header, is_first: bool) -> Result<Unfinished, IoFailure> {
        let name = names::segment(header.base);
        let file = self.dir.open(&name, Mode::Create)?;
        Ok(Unfinished {
            file: file.allocate(header.capacity)?,
            header,
            is_first,
            written: 0,
        })
    }

    fn take_open(&mut self) -> Unfinished {
        self.open.take().expect("a segment has begun")
    }

    /// All of the log is durable before the directory is one.
    fn finish(&self) -> Result<(), IoFailure> {
        self.dir.sync()?;
        self.dir.remove(names::RESTORING)?;
        self.dir.sync().map(drop)
    }
}

impl Unfinished {
    fn write(mut self, bytes: &[u8]) -> Result<Self, IoFailure> {
        self.file = self.file.write_at(bytes, self.written)?.0;
        self.written += bytes.len() as u64;
        Ok(self)
    }

    /// Ends the segment. Nothing is appended to it any more, so that the space behind it can go.
    async fn end(self, kind: StatementKind, last: Lsn, end: u64) -> Result<(), IoFailure> {
        let mut file = clear(self.file, end, self.written)?;
        if self.is_first {
            let mark = segment::encode_head_mark(&self.header);
            file = file.write_at(&mark, segment::HEAD_MARK_OFFSET as u64)?.0;
        }
        // It may name a predecessor that the archived one does not.
        file = file.write_at(&self.header.encode(), 0)?.0;
        let statement = Statement::new(kind, last).encode(&self.header.key());
        let (file, _) = file.write_at(&statement, segment::STATEMENT_OFFSET as u64)?;
        let (file, _) = file.sync().await?;
        file.release(end);
        Ok(())
    }
}

/// Writes zeros over what was written and is not wanted.
fn clear(mut file: File, from: u64, to: u64) -> Result<File, IoFailure> {
    let zeros = vec![0; ZEROS_LEN];
    let mut offset = from;
    while offset < to {
        let len = usize::try_from(to - offset).map_or(ZEROS_LEN, |left| left.min(ZEROS_LEN));
        file = file.write_at(&zeros[..len], offset)?.0;
        offset += len as u64;
    }
    Ok(file)
}

/// For a person who finds it.
const UNFINISHED: &[u8] =
    b"A restore into this directory is under way, or was cut short: restore again.\n";

/// What a file system of its own has in its root.
const LOST_AND_FOUND: &str = "lost+found";

const ZEROS_LEN: usize = 64 * 1024;
