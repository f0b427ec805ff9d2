//! A segment on its way to the store.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::archive::error::Result;
use crate::archive::manifest::Shipped;
use crate::archive::objects::Objects;
use crate::archive::read::{self, Piece};
use crate::archive::retry::Retry;
use crate::executor::Executor;
use crate::retention::Sealed;
use crate::storage::Dir;

/// Puts the parts of segments.
pub(super) struct Uploader {
    pub(super) dir: Dir,
    pub(super) executor: Executor,
    pub(super) objects: Objects,
    pub(super) retry: Arc<Retry>,
}

impl Uploader {
    /// Puts all parts of a segment. What cannot be read for now is read again later.
    pub(super) async fn put_segment(&self, sealed: Sealed) -> Result<Shipped> {
        self.retry.run(|| self.try_put(sealed)).await
    }

    async fn try_put(&self, sealed: Sealed) -> Result<Shipped> {
        let (outbox, mut pieces) = mpsc::channel(PARTS_AHEAD);
        let reading = read::run(self.dir.clone(), sealed, outbox);
        let started = self
            .executor
            .run("tidewal-archive", self.dir.path(), reading);
        started.map_err(crate::Error::from)?;
        let Piece::Surveyed(survey) = next_piece(&mut pieces).await? else {
            unreachable!("a reader surveys a segment before it sends its parts");
        };
        let shipped = Shipped {
            sealed,
            crc: survey.crc,
            parts: survey.parts,
            times: Vec::new(),
        };
        for index in 0..shipped.parts.len() {
            let Piece::Part(bytes) = next_piece(&mut pieces).await? else {
                unreachable!("a segment is surveyed once");
            };
            let object = self.objects.part(&shipped, index);
            let put = || self.objects.put(&object, bytes.clone());
            self.retry.call("put", &object, put).await?;
        }
        Ok(shipped)
    }
}

async fn next_piece(pieces: &mut mpsc::Receiver<Result<Piece>>) -> Result<Piece> {
    let interrupted = || Err(crate::Error::Interrupted.into());
    pieces.recv().await.unwrap_or_else(interrupted)
}

/// Parts that are read ahead of the one that is put.
const PARTS_AHEAD: usize = 1;
