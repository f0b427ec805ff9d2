//! The manifest of an archive that is being written: where it stands, and its next entry.

use std::sync::Arc;

use bytes::Bytes;

use crate::archive::error::{Error, Result};
use crate::archive::manifest::{Body, DecodeError, Entry, Reached};
use crate::archive::place::{Created, Place};

/// The newest entry of a manifest, as far as its writer knows.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    log_id: u64,
    writer: u64,
    number: u64,
    /// CRC-32 of the newest entry.
    crc: u32,
    pub(super) reached: Reached,
}

impl Ledger {
    /// Reads where the archive of a log stands.
    pub(super) async fn read(place: &Place, log_id: u64, writer: u64) -> Result<Self> {
        let number = place.newest_entry().await?;
        let mut ledger = Self {
            log_id,
            writer,
            number,
            crc: 0,
            reached: Reached::default(),
        };
        if number > 0 {
            let (entry, bytes) = read_entry(place, number).await?;
            if entry.log_id != log_id {
                return Err(Error::Foreign {
                    prefix: place.prefix(),
                });
            }
            ledger.crc = crc32fast::hash(&bytes);
            ledger.reached = entry.reached;
            // Whoever wrote it may have been told that it is not durable, or not have lived to be told
            // anything. All before it are, or it would not be there.
            place.put_again(&place.entry(number), bytes).await?;
        }
        Ok(ledger)
    }

    /// The entry that is to be the next one, and its bytes.
    pub(super) fn next(&self, body: Body, reached: Reached) -> Next {
        let entry = Entry {
            number: self.number + 1,
            log_id: self.log_id,
            writer: self.writer,
            previous: self.crc,
            reached,
            body,
        };
        Next {
            number: entry.number,
            reached,
            bytes: entry.encode().into(),
        }
    }

    /// Enters it. If the store says that it is there already, it may be from an attempt that was not
    /// answered: its bytes tell, which name the writer. Such an attempt may have failed after the entry
    /// could be seen and before it was durable, so that it is put once more, the same bytes.
    pub(super) async fn enter(&mut self, place: &Place, next: &Next) -> Result<()> {
        let object = place.entry(next.number);
        if let Created::No = place.create(&object, next.bytes.clone()).await? {
            if place.get(&object).await? != next.bytes {
                return Err(Error::Fenced {
                    object: object.to_string(),
                });
            }
            place.put_again(&object, next.bytes.clone()).await?;
        }
        self.number = next.number;
        self.crc = crc32fast::hash(&next.bytes);
        self.reached = next.reached;
        Ok(())
    }
}

/// Makes sure that the store refuses to create what is there: without that two archivers could not be
/// kept apart.
pub(super) async fn check_refusal(place: &Place, entered: &Next) -> Result<()> {
    let object = place.entry(entered.number);
    match place.create(&object, entered.bytes.clone()).await? {
        Created::No => Ok(()),
        Created::Yes => Err(Error::Unconditional {
            object: object.to_string(),
            source: Arc::new(object_store::Error::NotSupported {
                source: "it created an object that was there".into(),
            }),
        }),
    }
}

/// An entry that is to be entered.
pub(super) struct Next {
    number: u64,
    reached: Reached,
    bytes: Bytes,
}

impl Next {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

/// An entry, and its bytes.
pub(super) async fn read_entry(place: &Place, number: u64) -> Result<(Entry, Bytes)> {
    let object = place.entry(number);
    let bytes = place.get(&object).await?;
    let damaged = |reason| Error::Damaged {
        object: object.to_string(),
        reason,
    };
    let entry = Entry::decode(&bytes).map_err(|error| match error {
        DecodeError::Damaged => damaged("it is no entry of a manifest"),
        DecodeError::Version => Error::Unsupported {
            object: object.to_string(),
        },
    })?;
    if entry.number != number {
        return Err(damaged("it is another entry than its name says"));
    }
    Ok((entry, bytes))
}
