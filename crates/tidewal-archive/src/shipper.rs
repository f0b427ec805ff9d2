//! The task that ships segments, one after the other.

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use tidewal::{FinishedSegment, Lsn, SegmentEnd, Segments, Wal};
use tokio::sync::watch;

use crate::archive::Archive;
use crate::archive_hold::ArchiveHold;
use crate::error::{Error, Result};
use crate::lag::Lag;
use crate::manifest::{Body, Reached, Sealed, Shipped};
use crate::manifest_writer::{Entered, ManifestWriter, check_refusal};
use crate::next_action::{self, NextAction};
use crate::objects::Objects;
use crate::options::{ArchiveOptions, Overflow};
use crate::race::race;
use crate::retry::{Backoff, Retry};
use crate::status::Status;
use crate::times::Times;
use crate::upload::Uploader;

/// Ships finished segments, and lets the log remove each one once it is safe in the archive.
pub(super) struct Shipper {
    hold: ArchiveHold,
    segments: Segments,
    lag: Lag,
    uploader: Uploader,
    objects: Objects,
    retry: Arc<Retry>,
    times: Times,
    options: ArchiveOptions,
    /// The number that identifies this archiver in the manifest.
    writer: u64,
}

impl Shipper {
    pub(super) fn new(
        wal: &Wal,
        archive: &Archive,
        hold: ArchiveHold,
        times: Times,
        options: ArchiveOptions,
        status: watch::Sender<Status>,
    ) -> Self {
        let writer = random().max(1);
        let backoff = Backoff::new(options.retry_cap, options.seed.unwrap_or(writer));
        let retry = Arc::new(Retry::new(options.attempt_timeout, backoff, status));
        let objects = archive.objects.clone();
        Self {
            hold,
            segments: wal.segments(),
            lag: Lag::new(wal, options.max_lag),
            uploader: Uploader {
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

    /// Ships until an error that a retry cannot help.
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
            let (segments, kept) = (self.segments.list(), self.hold.first_kept());
            let prefix = self.objects.prefix();
            let step = next_action::next(&manifest.reached, &segments, kept, &prefix)?;
            // Only now is it known that archive and log belong together.
            self.settle(&manifest);
            self.retry.note_looked();
            match step {
                NextAction::Wait => self.wait().await?,
                _ if !is_claimed => {
                    manifest = self.claim(log_id).await?;
                    self.times.go_on_from(manifest.reached.clock);
                    is_claimed = true;
                }
                NextAction::Ship(segment) => self.ship(&mut manifest, &segment).await?,
                NextAction::Gap(first, last) => self.note_gap(&mut manifest, first, last).await?,
            }
        }
    }

    /// Waits until the log has an id, and returns it. Before the log has its first segment, all that can be told is
    /// that an existing archive under the prefix is not its own.
    async fn log_id(&mut self) -> Result<u64> {
        if let Some(log_id) = self.segments.list().log_id {
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
        loop {
            if let Some(log_id) = self.segments.list().log_id {
                return Ok(log_id);
            }
            still_open(self.segments.changed().await)?;
        }
    }

    /// Waits for a change of the log's segments. Rotates the open segment itself once a record has waited long
    /// enough.
    async fn wait(&mut self) -> Result<()> {
        let Self { segments, lag, .. } = self;
        let finish_in_time = async {
            lag.finish_in_time().await;
            true
        };
        still_open(race(segments.changed(), finish_in_time).await)
    }

    /// Reads how far the archive goes, without taking it over.
    async fn look(&self, log_id: u64) -> Result<ManifestWriter> {
        let (object, writer) = (self.objects.manifest(), self.writer);
        let read = || ManifestWriter::read(&self.objects, log_id, writer);
        self.retry.call("read", &object, read).await
    }

    /// Takes the archive over. If another archiver does so at the same moment, tries again.
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

    /// Checks that the store refuses to create an object that exists.
    async fn check_refusal(&self, entered: &Entered) -> Result<()> {
        let object = self.objects.entry(entered.number);
        let check = || check_refusal(&self.objects, entered);
        self.retry.call("create", &object, check).await
    }

    /// Moves the hold, so the log may remove what is in the archive.
    fn settle(&self, manifest: &ManifestWriter) {
        let reached = manifest.reached.last;
        let status = self.retry.status();
        status.send_modify(|status| status.archived = reached);
        self.hold.advance(reached.next());
    }

    /// Ships a segment, unless it is given up in the meantime.
    ///
    /// From the first attempt to create its entry on, the segment is shipped in any case: after an abandoned attempt
    /// the archiver would not know whether the entry exists.
    async fn ship(
        &mut self,
        manifest: &mut ManifestWriter,
        segment: &FinishedSegment,
    ) -> Result<()> {
        let first = segment.first();
        let let_go = self.hold.let_go(first, self.segments.clone());
        let shipped = race(
            async { Some(self.uploader.put_segment(segment).await) },
            async {
                let_go.await;
                None
            },
        );
        match shipped.await {
            Some(Ok(shipped)) => self.enter_segment(manifest, shipped).await,
            // The file that was read may already be another segment.
            Some(Err(_)) if self.hold.has_let_go(first) => Ok(()),
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
            segment: Some(SegmentEnd { salt, end }),
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
        status.send_modify(|status| status.given_up += last.get() - first.get() + 1);
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

fn still_open(is_open: bool) -> Result<()> {
    match is_open {
        true => Ok(()),
        false => Err(tidewal::Error::Closed.into()),
    }
}

/// A random number, which no other archiver is likely to have.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
