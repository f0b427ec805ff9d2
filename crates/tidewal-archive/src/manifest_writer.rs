//! The manifest of an archive as it is written: how far it goes, and its next entry.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::manifest::{Body, DecodeError, Entry, Reached};
use crate::objects::{Created, Objects};

/// The newest entry of a manifest, as far as its writer knows.
#[derive(Clone, Debug)]
pub(super) struct ManifestWriter {
    pub(super) log_id: u64,
    pub(super) writer: u64,
    pub(super) number: u64,
    /// CRC-32 of the newest entry.
    pub(super) crc: u32,
    pub(super) reached: Reached,
}

impl ManifestWriter {
    /// Reads how far the archive of a log goes.
    pub(super) async fn read(objects: &Objects, log_id: u64, writer: u64) -> Result<Self> {
        let number = objects.newest_entry().await?;
        let mut manifest = Self {
            log_id,
            writer,
            number,
            crc: 0,
            reached: Reached::default(),
        };
        if number > 0 {
            let (entry, bytes) = read_entry(objects, number).await?;
            if entry.log_id != log_id {
                return Err(Error::Foreign {
                    prefix: objects.prefix(),
                });
            }
            manifest.crc = crc32fast::hash(&bytes);
            manifest.reached = entry.reached;
            // Its writer may have been told that it is not durable, or may not have lived to be told
            // anything. All before it are, or it would not be there.
            objects.put_again(&objects.entry(number), bytes).await?;
        }
        Ok(manifest)
    }

    /// The number of the next entry.
    pub(super) fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// Enters something as the next entry, and returns the manifest with it.
    ///
    /// If the store says that it is there already, it may be from an attempt that was not answered: its
    /// bytes tell, which name the writer. Such an attempt may have failed after the entry could be seen
    /// and before it was durable, so that it is put once more, the same bytes. A checkpoint takes nothing
    /// over: the next entry goes behind it.
    pub(super) async fn enter(
        mut self,
        objects: &Objects,
        body: &Body,
        reached: Reached,
    ) -> Result<(Self, Entered)> {
        loop {
            let next = self.next(body.clone(), reached);
            let object = objects.entry(next.number);
            if let Created::No = objects.create(&object, next.bytes.clone()).await? {
                let (found, bytes) = read_entry(objects, next.number).await?;
                if bytes != next.bytes && self.is_checkpoint(&found) {
                    // What comes behind it says that it is durable.
                    objects.put_again(&object, bytes.clone()).await?;
                    self.advance(found.number, &bytes, found.reached);
                    continue;
                }
                if bytes != next.bytes {
                    return Err(Error::Fenced {
                        object: object.to_string(),
                    });
                }
                objects.put_again(&object, bytes).await?;
            }
            self.advance(next.number, &next.bytes, reached);
            return Ok((self, next));
        }
    }

    fn next(&self, body: Body, reached: Reached) -> Entered {
        let entry = Entry {
            number: self.next_number(),
            log_id: self.log_id,
            writer: self.writer,
            previous: self.crc,
            reached,
            body,
        };
        Entered {
            number: entry.number,
            bytes: entry.encode().into(),
        }
    }

    /// Whether an entry is a checkpoint that follows the newest one that is known here.
    fn is_checkpoint(&self, found: &Entry) -> bool {
        let follows = (found.log_id, found.previous) == (self.log_id, self.crc);
        let is_checkpoint = matches!(found.body, Body::Checkpoint { .. });
        follows && is_checkpoint && found.reached == self.reached
    }

    fn advance(&mut self, number: u64, bytes: &[u8], reached: Reached) {
        self.number = number;
        self.crc = crc32fast::hash(bytes);
        self.reached = reached;
    }
}

/// Makes sure that the store refuses to create what is there: without that two archivers could not be
/// kept apart.
pub(super) async fn check_refusal(objects: &Objects, entered: &Entered) -> Result<()> {
    let object = objects.entry(entered.number);
    match objects.create(&object, entered.bytes.clone()).await? {
        Created::No => Ok(()),
        Created::Yes => Err(Error::Unconditional {
            object: object.to_string(),
            source: Arc::new(object_store::Error::NotSupported {
                source: "it created an object that was there".into(),
            }),
        }),
    }
}

/// An entry that was entered.
pub(super) struct Entered {
    pub(super) number: u64,
    bytes: Bytes,
}

/// An entry, and its bytes.
pub(super) async fn read_entry(objects: &Objects, number: u64) -> Result<(Entry, Bytes)> {
    let bytes = objects.get_entry(number).await?;
    let object = || objects.entry(number).to_string();
    let damaged = |reason| Error::Damaged {
        object: object(),
        reason,
    };
    let entry = Entry::decode(&bytes).map_err(|error| match error {
        DecodeError::Damaged => damaged("it is no entry of a manifest"),
        DecodeError::Version => Error::Unsupported { object: object() },
    })?;
    if entry.number != number {
        return Err(damaged("it is another entry than its name says"));
    }
    Ok((entry, bytes))
}
