//! The task that ships segments, one after the other.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::watch;

use crate::archive::error::{Error, Result};
use crate::archive::hold::{HeldLog, is_let_go, let_go};
use crate::archive::manifest::{Body, Reached, Shipped};
use crate::archive::manifest_writer::{Entered, ManifestWriter, check_refusal};
use crate::archive::objects::Objects;
use crate::archive::options::{ArchiveOptions, Overflow};
use crate::archive::retry::{Backoff, Retry};
use crate::archive::status::Status;
use crate::archive::step::{self, Step};
use crate::archive::times::Times;
use crate::archive::upload::Uploader;
use crate::executor::race;
use crate::format::segment::Predecessor;
use crate::lsn::Lsn;
use crate::queue::Progress;
use crate::retention::{Kept, Sealed};
use crate::wal::Wal;

/// Ships what is complete, and lets the log have it when it is safe.
pub(super) struct Shipper {
    hold: HeldLog,
    news: watch::Receiver<Kept>,
    progress: watch::Receiver<Progress>,
    uploader: Uploader,
    objects: Objects,
    retry: Arc<Retry>,
    times: Times,
    options: ArchiveOptions,
    /// What this archiver calls itself in the manifest.
    writer: u64,
}

impl Shipper {
    pub(super) fn new(
        wal: &Wal,
        objects: Objects,
        times: Times,
        options: ArchiveOptions,
        status: watch::Sender<Status>,
    ) -> Self {
        let writer = wal.dir().new_salt();
        let backoff = Backoff::new(options.retry_cap, options.seed.unwrap_or(writer));
        let retry = Arc::new(Retry::new(options.attempt_timeout, backoff, status));
        Self {
            hold: HeldLog::new(wal),
            news: wal.retention().subscribe(),
            progress: wal.progress(),
            uploader: Uploader {
                dir: wal.dir().clone(),
                executor: wal.executor(),
                objects: objects.clone(),
                retry: Arc::clone(&retry),
            },
            objects,
            retry,
            times,
            options,
            writer,
        }
    }

    /// Ships until something is wrong that trying again does not mend.
    pub(super) async fn run(&mut self) -> Error {
        let Err(error) = self.ship_all().await;
        error
    }

    pub(super) fn note_end(&self, end: Error) {
        let status = self.retry.status();
        status.send_modify(|status| status.end = Some(end));
    }

    async fn ship_all(&mut self) -> Result<Infallible> {
        let log_id = self.log_id().await?;
        let mut is_claimed = !self.options.lazy_claim;
        let mut manifest = match is_claimed {
            true => self.claim(log_id).await?,
            false => self.look(log_id).await?,
        };
        self.times.go_on_from(manifest.reached.clock);
        loop {
            let kept = self.news.borrow_and_update().clone();
            let durable = self.progress.borrow().durable;
            let step = step::next(&manifest.reached, &kept, durable, &self.objects.prefix())?;
            // Not before it is known that archive and log belong together.
            self.settle(&manifest).await;
            self.retry.note_looked();
            match step {
                Step::Wait => drop(self.news.changed().await),
                _ if !is_claimed => {
                    manifest = self.claim(log_id).await?;
                    self.times.go_on_from(manifest.reached.clock);
                    is_claimed = true;
                }
                Step::Ship(sealed) => self.ship(&mut manifest, sealed).await?,
                Step::Gap(first, last) => self.note_gap(&mut manifest, first, last).await?,
            }
        }
    }

    /// The id of the log, when it has one. Before its first segment it may be told only that what is
    /// under the prefix is not its archive.
    async fn log_id(&mut self) -> Result<u64> {
        let known = self.news.borrow().log_id;
        if let Some(log_id) = known {
            return Ok(log_id);
        }
        let newest = || self.objects.newest_entry();
        let manifest = self.objects.manifest();
        if self.retry.call("list", &manifest, newest).await? > 0 {
            return Err(Error::Foreign {
                prefix: self.objects.prefix(),
            });
        }
        self.retry.note_looked();
        let opened = self.news.wait_for(|kept| kept.log_id.is_some()).await;
        let log_id = opened.ok().and_then(|kept| kept.log_id);
        log_id.ok_or(crate::Error::Interrupted.into())
    }

    /// Reads how far the archive goes, without taking it over.
    async fn look(&self, log_id: u64) -> Result<ManifestWriter> {
        let (object, writer) = (self.objects.manifest(), self.writer);
        let read = || ManifestWriter::read(&self.objects, log_id, writer);
        self.retry.call("read", &object, read).await
    }

    /// Takes the archive over. Another archiver may do the same at this moment: then once more.
    async fn claim(&self, log_id: u64) -> Result<ManifestWriter> {
        let object = self.objects.manifest();
        let claim = || self.try_claim(log_id);
        let (manifest, entered) = loop {
            match self.retry.call("claim", &object, claim).await {
                Err(error @ Error::Fenced { .. }) => self.retry.pause(error).await,
                claimed => break claimed?,
            }
        };
        self.check_refusal(&entered).await?;
        Ok(manifest)
    }

    async fn try_claim(&self, log_id: u64) -> Result<(ManifestWriter, Entered)> {
        let manifest = ManifestWriter::read(&self.objects, log_id, self.writer).await?;
        let reached = manifest.reached;
        manifest.enter(&self.objects, &Body::Claim, reached).await
    }

    /// Makes sure that the store refuses to create what is there.
    async fn check_refusal(&self, entered: &Entered) -> Result<()> {
        let object = self.objects.entry(entered.number);
        let check = || check_refusal(&self.objects, entered);
        self.retry.call("create", &object, check).await
    }

    /// Lets the log have what is in the archive.
    async fn settle(&self, manifest: &ManifestWriter) {
        let reached = manifest.reached.last;
        let status = self.retry.status();
        status.send_modify(|status| status.archived = reached);
        self.hold.move_to(reached.next()).await;
    }

    /// Ships a segment, unless it is given up meanwhile.
    ///
    /// Only until its entry is tried: whether that is there could not be told afterwards.
    async fn ship(&mut self, manifest: &mut ManifestWriter, sealed: Sealed) -> Result<()> {
        let let_go = let_go(self.news.clone(), sealed);
        let shipped = race(
            async { Some(self.uploader.put_segment(sealed).await) },
            async {
                let_go.await;
                None
            },
        );
        match shipped.await {
            Some(Ok(shipped)) => self.enter_segment(manifest, shipped).await,
            // What was read may be another segment already.
            Some(Err(_)) if is_let_go(&self.news.borrow(), &sealed) => Ok(()),
            Some(Err(error)) => Err(error),
            None => Ok(()),
        }
    }

    async fn enter_segment(
        &self,
        manifest: &mut ManifestWriter,
        mut shipped: Shipped,
    ) -> Result<()> {
        let Sealed { header, last, end } = shipped.sealed;
        shipped.times = self.times.of_segment(header.base, last);
        let clock = shipped.times.last().map_or(0, |point| point.time);
        let salt = header.salt;
        let reached = Reached {
            last,
            segment: Some(Predecessor { salt, end }),
            clock: clock.max(manifest.reached.clock),
        };
        let body = Body::Segment(shipped);
        self.enter(manifest, body, reached).await?;
        self.retry.status().send_modify(|status| {
            status.segments += 1;
            status.bytes += end;
        });
        Ok(())
    }

    async fn note_gap(&self, manifest: &mut ManifestWriter, first: Lsn, last: Lsn) -> Result<()> {
        if self.options.overflow != Overflow::LeaveGap {
            return Err(Error::Gap { first, last });
        }
        let reached = Reached {
            last,
            segment: None,
            clock: manifest.reached.clock,
        };
        let body = Body::Gap { first, last };
        self.enter(manifest, body, reached).await?;
        let status = self.retry.status();
        status.send_modify(|status| status.given_up += last.since(first) + 1);
        Ok(())
    }

    async fn enter(
        &self,
        manifest: &mut ManifestWriter,
        body: Body,
        reached: Reached,
    ) -> Result<()> {
        let object = self.objects.entry(manifest.next_number());
        let enter = || manifest.clone().enter(&self.objects, &body, reached);
        (*manifest, _) = self.retry.call("create", &object, enter).await?;
        self.times.forget(reached.last);
        Ok(())
    }
}
