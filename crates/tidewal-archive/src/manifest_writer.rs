//! Writes a manifest: knows its end, and creates the next entry.

use std::sync::Arc;

use bytes::Bytes;

use crate::entry_checks::is_sound;
use crate::error::{Error, Result};
use crate::manifest::{Body, DecodeError, Entry, Reached};
use crate::objects::{Created, Objects};

/// The newest entry of a manifest, to the knowledge of its writer.
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
            // Its writer may have got an error for this entry, or died before it got an answer, so the entry may
            // not be durable. All entries before it are: otherwise it would not have been created.
            objects.put_again(&objects.entry(number), bytes).await?;
        }
        Ok(manifest)
    }

    /// The number of the next entry.
    pub(super) fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// Creates the next entry, and returns the manifest with it.
    ///
    /// If the store says that the entry already exists, an earlier attempt that got no answer may have created it.
    /// Its bytes tell, because they name the writer. Such an attempt may have made the entry visible and then failed
    /// to make it durable, so the same bytes are put once more. A checkpoint does not take the archive over: the
    /// entry gets the number after it.
    ///
    /// A number may be free although another archiver has used it: pruning or an expiry rule removed that entry. So
    /// the entry counts only if no higher one exists, or the next one follows it.
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
                let (found, bytes) = read_existing(objects, next.number).await?;
                if bytes != next.bytes && self.is_checkpoint(&found) {
                    // The entry that follows it implies that it is durable.
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
            self.check_newest(objects).await?;
            return Ok((self, next));
        }
    }

    /// Checks that the entry that was just created is the newest one, or that the next one follows it. An entry is
    /// removed only once a later one is durable, so a listing after the creation shows what took its place.
    async fn check_newest(&self, objects: &Objects) -> Result<()> {
        let Some(higher) = objects.first_above(self.number).await? else {
            return Ok(());
        };
        let follows = higher == self.next_number() && {
            let (found, _) = read_entry(objects, higher).await?;
            (found.log_id, found.previous) == (self.log_id, self.crc)
        };
        match follows {
            true => Ok(()),
            false => Err(Error::Fenced {
                object: objects.entry(higher).to_string(),
            }),
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

    /// Whether an entry is a checkpoint that follows the newest entry known here.
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

/// Checks that the store refuses to create an object that exists. Without that, two archivers could overwrite each
/// other's entries.
pub(super) async fn check_refusal(objects: &Objects, entered: &Entered) -> Result<()> {
    let object = objects.entry(entered.number);
    match objects.create(&object, entered.bytes.clone()).await? {
        Created::No => Ok(()),
        Created::Yes => Err(Error::Unconditional {
            object: object.to_string(),
            source: Arc::new(object_store::Error::NotSupported {
                source: "the store created an object that already existed".into(),
            }),
        }),
    }
}

/// An entry that was created.
pub(super) struct Entered {
    pub(super) number: u64,
    bytes: Bytes,
}

/// An entry that the store refused to create, and its bytes.
///
/// Only an object that is listed is read. A directory also refuses if a file of another kind has the name, such as
/// a FIFO, and opening that may block forever.
async fn read_existing(objects: &Objects, number: u64) -> Result<(Entry, Bytes)> {
    match objects.has_entry(number).await? {
        true => read_entry(objects, number).await,
        false => Err(Error::Damaged {
            object: objects.entry(number).to_string(),
            reason: "what has this name is not an object that can be read",
        }),
    }
}

/// An entry, and its bytes. The entry is sound on its own.
pub(super) async fn read_entry(objects: &Objects, number: u64) -> Result<(Entry, Bytes)> {
    let bytes = objects.get_entry(number).await?;
    let object = || objects.entry(number).to_string();
    let damaged = |reason| Error::Damaged {
        object: object(),
        reason,
    };
    let entry = Entry::decode(&bytes).map_err(|error| match error {
        DecodeError::Damaged => damaged("it is not a manifest entry"),
        DecodeError::Version => Error::Unsupported { object: object() },
    })?;
    if entry.number != number {
        return Err(damaged("its number is not the one in its name"));
    }
    match is_sound(&entry) {
        true => Ok((entry, bytes)),
        false => Err(damaged("no archive can have such an entry")),
    }
}
