//! Files that are ready to become segments.
//!
//! A keeper prepares them in the background: it takes the space, and writes the file full of zeros
//! piece by piece, so that later syncs have no metadata to write and no other sync has to wait long.
//! It prefers to recycle the segments that truncation gives free, and removes the rest of them. If it
//! has nothing ready, the writer makes a file itself; whatever the keeper could not do is tried, and
//! reported, there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Fault};
use crate::format::names;
use crate::host::Host;
use crate::planted::Bug;
use crate::queue::completion::Completion;
use crate::storage::{Dir, File, Mode};

/// A file of full length with some name that is not a segment's. Its contents do not matter.
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) file: File,
}

/// The writer's side.
pub(super) struct Spares {
    maker: Maker,
    ready: mpsc::Receiver<Spare>,
    jobs: mpsc::UnboundedSender<Job>,
    /// Whether files of an earlier truncation are still to be removed.
    owes_removals: Arc<AtomicBool>,
    ended: oneshot::Receiver<()>,
}

impl Spares {
    /// Starts a keeper of `count` files of `len` bytes.
    pub(super) fn start(dir: &Dir, host: Host, count: usize, len: u64) -> Result<Self, Fault> {
        let maker = Maker {
            dir: dir.clone(),
            len,
            next: Arc::default(),
        };
        let (ready_sender, ready) = mpsc::channel(count.max(1));
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let owes_removals = Arc::default();
        let keeper = Keeper {
            maker: maker.clone(),
            host,
            count,
            ready: ready_sender,
            stock: Vec::new(),
            leftovers: Vec::new(),
            owes_removals: Arc::clone(&owes_removals),
            jobs: inbox,
        };
        host.run("tidewal-spares", dir.path(), keeper.run(end))?;
        Ok(Self {
            maker,
            ready,
            jobs,
            owes_removals,
            ended,
        })
    }

    /// A file for the next segment: one that is ready, or a new one.
    pub(super) fn take(&mut self) -> Result<Spare, Fault> {
        while let Ok(spare) = self.ready.try_recv() {
            if Self::is_usable(&spare.file) {
                return Ok(spare);
            }
            self.maker.discard(&spare.name);
        }
        self.maker.make()
    }

    /// Whether it still has its name, and no other: a copy of the directory that was made of links must not
    /// follow what is written now.
    fn is_usable(file: &File) -> bool {
        file.check_present().is_ok() && file.is_exclusive().is_ok_and(|is| is)
    }

    /// Removes a file that did not become a segment.
    pub(super) fn discard(&self, name: &str) {
        self.maker.discard(name);
    }

    /// Asks for as many files as are wanted to be made ready.
    pub(super) fn refill(&self) {
        // The keeper ends after the writer, or with the runtime: then no file is needed.
        let _ = self.jobs.send(Job::Fill);
    }

    /// Whether files of an earlier truncation could not be removed and will be tried again with the
    /// next one.
    pub(super) fn owes_removals(&self) -> bool {
        self.owes_removals.load(Ordering::Relaxed)
    }

    /// Asks for truncated segments to be recycled or removed, oldest first, and for those that an
    /// earlier truncation could not remove.
    pub(super) fn retire(&self, segments: Vec<String>, done: Completion<()>) {
        let _ = self.jobs.send(Job::Retire(segments, done));
    }

    /// Waits until the keeper has done what it was asked for.
    pub(super) async fn end(self) {
        drop((self.jobs, self.ready));
        let _ = self.ended.await;
    }
}

enum Job {
    Fill,
    Retire(Vec<String>, Completion<()>),
}

/// Makes files.
#[derive(Clone)]
struct Maker {
    dir: Dir,
    len: u64,
    /// The number in the next file's name.
    next: Arc<AtomicU64>,
}

impl Maker {
    fn next_name(&self) -> String {
        names::spare(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn make(&self) -> Result<Spare, Fault> {
        self.take_space(self.create()?)
    }

    fn create(&self) -> Result<Spare, Fault> {
        let (name, file) = self.name_freely(|name| self.dir.open(name, Mode::Create))?;
        Ok(Spare { name, file })
    }

    /// Passes over names that are taken by what an earlier process left and could not be removed.
    fn name_freely<T>(
        &self,
        mut name_it: impl FnMut(&str) -> Result<T, Fault>,
    ) -> Result<(String, T), Fault> {
        loop {
            let name = self.next_name();
            match name_it(&name) {
                Err(fault) if fault.is_taken() => {}
                named => return Ok((name, named?)),
            }
        }
    }

    /// A file that cannot have its space is removed, so that it does not keep what it got.
    fn take_space(&self, spare: Spare) -> Result<Spare, Fault> {
        let Spare { name, file } = spare;
        match file.allocate(self.len) {
            Ok(file) => Ok(Spare { name, file }),
            Err(fault) => {
                self.discard(&name);
                Err(fault)
            }
        }
    }

    /// Removes a file that is of no use. If that fails it will be found, and removed, at the next start.
    fn discard(&self, name: &str) {
        let _ = self.dir.remove(name);
    }
}

/// The task behind [`Spares`].
struct Keeper {
    maker: Maker,
    host: Host,
    count: usize,
    ready: mpsc::Sender<Spare>,
    /// The names of recycled files, which will be ready when there is a place for them.
    stock: Vec<String>,
    /// Truncated segments that could not be removed, oldest first.
    leftovers: Vec<String>,
    owes_removals: Arc<AtomicBool>,
    jobs: mpsc::UnboundedReceiver<Job>,
}

impl Keeper {
    /// Ends once nobody can ask for anything any more.
    async fn run(mut self, _end: oneshot::Sender<()>) {
        while let Some(job) = self.jobs.recv().await {
            match job {
                Job::Fill => self.fill().await,
                Job::Retire(segments, done) => self.retire(segments, done),
            }
        }
    }

    fn wants_more(&self) -> bool {
        self.count > 0 && self.ready.capacity() > 0
    }

    /// Makes files ready until there are enough, or one cannot be made.
    async fn fill(&mut self) {
        self.use_stock();
        while self.wants_more() && !self.jobs.is_closed() && self.make_one().await {
            self.use_stock();
        }
        // What was recycled meanwhile is there for whoever finds the disk full.
        self.use_stock();
    }

    /// Makes a new file ready, and says whether it could.
    async fn make_one(&mut self) -> bool {
        let Ok(spare) = self.maker.make() else {
            return false;
        };
        let name = spare.name.clone();
        if let Ok(Some(file)) = self.write_ahead(spare.file).await {
            self.hand_over(Spare { name, file });
            return true;
        }
        self.maker.discard(&name);
        false
    }

    /// Writes zeros; `None` if the log closes meanwhile.
    async fn write_ahead(&mut self, mut file: File) -> Result<Option<File>, Fault> {
        let zeros = vec![0; PIECE_LEN];
        let mut offset = 0;
        while offset < self.maker.len {
            if self.jobs.is_closed() {
                return Ok(None);
            }
            let left = usize::try_from(self.maker.len - offset).unwrap_or(usize::MAX);
            let piece = &zeros[..left.min(PIECE_LEN)];
            file = file.write_at(piece, offset)?.0.sync().await?.0;
            offset += piece.len() as u64;
            self.retire_meanwhile();
            self.host.relax().await;
        }
        Ok(Some(file))
    }

    /// Whoever truncates does not wait for a whole file to be written.
    fn retire_meanwhile(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            match job {
                Job::Retire(segments, done) => self.retire(segments, done),
                // This is what is being done.
                Job::Fill => {}
            }
        }
    }

    /// Removes or recycles segments, makes that durable, and answers.
    ///
    /// A recycled file is used only once its old name is gone for good: otherwise a crash could bring
    /// the name back, on a file that has become another segment. A file that cannot be removed keeps
    /// none of the others: it is reported, and tried again with the next truncation. That is safe in
    /// any order, because all of them are below the head mark.
    fn retire(&mut self, segments: Vec<String>, done: Completion<()>) {
        let mut recycled = Vec::new();
        let mut failed = None;
        let leftovers = std::mem::take(&mut self.leftovers);
        for segment in leftovers.into_iter().chain(segments) {
            match self.retire_one(&segment, recycled.len()) {
                Ok(spare) => recycled.extend(spare),
                Err(fault) => {
                    self.leftovers.push(segment);
                    failed.get_or_insert(fault);
                }
            }
        }
        self.owes_removals
            .store(!self.leftovers.is_empty(), Ordering::Relaxed);
        match self.maker.dir.sync_removals(Bug::RecycleUnsynced) {
            Ok(synced) => {
                self.stock.append(&mut recycled);
                self.use_stock();
                match failed {
                    None => done.done(synced),
                    Some(fault) => done.fail(Error::Io(fault)),
                }
            }
            Err(fault) => {
                recycled.iter().for_each(|name| self.maker.discard(name));
                done.fail(Error::Io(fault));
            }
        }
    }

    /// Recycles a segment, if another spare is wanted, and returns its new name; or removes it.
    fn retire_one(&self, segment: &str, recycled: usize) -> Result<Option<String>, Fault> {
        if self.stock.len() + recycled < self.count && self.is_reusable(segment) {
            let dir = &self.maker.dir;
            let renamed = self.maker.name_freely(|name| dir.rename(segment, name));
            if let Ok((name, ())) = renamed {
                return Ok(Some(name));
            }
        }
        match self.maker.dir.remove(segment) {
            Err(fault) if !fault.is_not_found() => Err(fault),
            _ => Ok(None),
        }
    }

    fn use_stock(&mut self) {
        while self.wants_more()
            && let Some(name) = self.stock.pop()
        {
            self.reuse(name);
        }
    }

    /// Makes a recycled file ready, or removes it.
    fn reuse(&mut self, name: String) {
        let opened = self.maker.dir.open(&name, Mode::Write);
        match opened.and_then(|file| file.allocate(self.maker.len)) {
            Ok(file) if file.is_exclusive().is_ok_and(|is| is) => {
                self.hand_over(Spare { name, file });
            }
            _ => self.maker.discard(&name),
        }
    }

    /// A file that has another name too belongs to someone else as well, such as a backup.
    fn is_reusable(&self, name: &str) -> bool {
        let opened = self.maker.dir.open(name, Mode::Read);
        let looked =
            opened.and_then(|file| Ok(file.is_exclusive()? && file.len()? == self.maker.len));
        looked.is_ok_and(|is_reusable| is_reusable)
    }

    /// Removes the file if there is no room: recycled ones may have come while it was written.
    fn hand_over(&self, spare: Spare) {
        let name = spare.name.clone();
        if self.ready.try_send(spare).is_err() {
            self.maker.discard(&name);
        }
    }
}

/// Creates a file with the name of a spare, which is what the next start removes if this one gets no
/// further.
///
/// The numbers are counted down, so that a keeper's never meet them: where the system cannot rename without
/// replacing, one of both would take the other's file.
pub(super) fn create_free(dir: &Dir) -> Result<(String, File), Fault> {
    let taken = dir.list()?;
    let numbers = (0..).map(|number| u64::MAX - number);
    let mut names = numbers
        .map(names::spare)
        .filter(|name| !taken.contains(name));
    loop {
        let name = names.next().expect("there are more numbers than files");
        match dir.open(&name, Mode::Create) {
            Err(fault) if fault.is_taken() => {}
            created => return Ok((name, created?)),
        }
    }
}

/// Zeros are written and synced in pieces of this size: a sync of the log that comes meanwhile waits
/// for one of them, not for a whole segment.
const PIECE_LEN: usize = 1024 * 1024;
