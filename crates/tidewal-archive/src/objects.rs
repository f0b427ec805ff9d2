//! The names of the objects (`docs/archive.md`, "The objects"), and the calls of the store, each with
//! an error that says what was tried.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tidewal::Lsn;

use crate::error::{Error, Result};
use crate::manifest::Shipped;

/// The objects of an archive that is in a store, or is to be.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// What became of a put on the condition that there is no object.
pub(super) enum Created {
    Yes,
    /// There is one.
    No,
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        let prefix = Path::from(prefix);
        Self { store, prefix }
    }

    pub(super) fn prefix(&self) -> String {
        self.prefix.to_string()
    }

    pub(super) fn entry(&self, number: u64) -> Path {
        self.manifest().join(format!("{number:020}"))
    }

    pub(super) fn part(&self, segment: &Shipped, index: usize) -> Path {
        let header = segment.sealed.header;
        let (base, salt, crc) = (header.base.get(), header.salt, segment.crc);
        self.segments()
            .join(format!("{base:020}-{salt:016x}-{crc:08x}"))
            .join(format!("{index:04}"))
    }

    pub(super) fn manifest(&self) -> Path {
        self.prefix.clone().join("manifest")
    }

    fn segments(&self) -> Path {
        self.prefix.clone().join("segments")
    }

    /// The numbers of the entries that are there.
    pub(super) async fn entries(&self) -> Result<BTreeSet<u64>> {
        let (manifest, mut found) = (self.manifest(), BTreeSet::new());
        self.list(&manifest, |object| {
            found.extend(entry_number(&manifest, object));
        })
        .await?;
        Ok(found)
    }

    /// The number of the newest entry, 0 if there is none.
    pub(super) async fn newest_entry(&self) -> Result<u64> {
        let (manifest, mut newest) = (self.manifest(), 0);
        self.list(&manifest, |object| {
            newest = newest.max(entry_number(&manifest, object).unwrap_or(0));
        })
        .await?;
        Ok(newest)
    }

    /// The parts of segments that are there, and the first LSN of the segment of each.
    pub(super) async fn parts(&self) -> Result<BTreeMap<Path, Lsn>> {
        let (segments, mut found) = (self.segments(), BTreeMap::new());
        self.list(&segments, |object| {
            let base = part_base(&segments, object);
            found.extend(base.map(|base| (object.location.clone(), base)));
        })
        .await?;
        Ok(found)
    }

    async fn list(&self, below: &Path, mut look: impl FnMut(&ObjectMeta)) -> Result<()> {
        let mut listing = self.store.list(Some(below));
        while let Some(found) = poll_fn(|context| listing.as_mut().poll_next(context)).await {
            look(&found.map_err(|error| failed("list", below, error))?);
        }
        Ok(())
    }

    /// An entry's bytes.
    pub(super) async fn get_entry(&self, number: u64) -> Result<Bytes> {
        let reason = "it is longer than any entry";
        let object = self.entry(number);
        self.get(&object, |len| len <= ENTRY_LEN_MAX, reason).await
    }

    /// The bytes of a part, as many as the manifest says.
    pub(super) async fn get_part(&self, segment: &Shipped, index: usize) -> Result<Bytes> {
        let (object, expected) = (self.part(segment, index), segment.parts[index].len);
        let reason = "it has another length than the manifest says";
        self.get(&object, |len| len == expected, reason).await
    }

    /// The length is looked at before anything is read: it is what is asked of memory.
    async fn get(
        &self,
        object: &Path,
        fits: impl Fn(u64) -> bool,
        reason: &'static str,
    ) -> Result<Bytes> {
        let damaged = || Error::Damaged {
            object: object.to_string(),
            reason,
        };
        let missing = |error| match error {
            object_store::Error::NotFound { .. } => Error::Missing {
                object: object.to_string(),
            },
            error => failed("get", object, error),
        };
        let found = self.store.get(object).await.map_err(missing)?;
        if !fits(found.meta.size) {
            return Err(damaged());
        }
        let bytes = found.bytes().await.map_err(missing)?;
        if !fits(bytes.len() as u64) {
            return Err(damaged());
        }
        Ok(bytes)
    }

    pub(super) async fn put(&self, object: &Path, payload: PutPayload) -> Result<()> {
        let put = self.store.put(object, payload).await;
        put.map(drop).map_err(|error| failed("put", object, error))
    }

    /// Puts an object that can be seen, the same bytes, for the store's word that it is durable. A store
    /// that does not allow overwriting what is there is none that shows what it may lose.
    pub(super) async fn put_again(&self, object: &Path, bytes: Bytes) -> Result<()> {
        match self.put(object, bytes.into()).await {
            Err(Error::Store { source, .. }) if is_forbidden(&source) => Ok(()),
            put => put,
        }
    }

    /// Puts an object if there is none of that name.
    pub(super) async fn create(&self, object: &Path, bytes: Bytes) -> Result<Created> {
        use object_store::Error::{AlreadyExists, NotImplemented, NotSupported, Precondition};
        let put = self
            .store
            .put_opts(object, bytes.into(), PutMode::Create.into());
        match put.await {
            Ok(_) => Ok(Created::Yes),
            Err(AlreadyExists { .. } | Precondition { .. }) => Ok(Created::No),
            Err(error @ (NotImplemented { .. } | NotSupported { .. })) => {
                Err(Error::Unconditional {
                    object: object.to_string(),
                    source: Arc::new(error),
                })
            }
            Err(error) => Err(failed("create", object, error)),
        }
    }

    /// Removes an object. One that is gone already is removed.
    pub(super) async fn remove(&self, object: &Path) -> Result<()> {
        match self.store.delete(object).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove", object, error)),
        }
    }
}

/// The number of an entry, from its name. Other names, and those further below, are not ours.
fn entry_number(manifest: &Path, object: &ObjectMeta) -> Option<u64> {
    let mut below = object.location.prefix_match(manifest)?;
    let (name, None) = (below.next()?, below.next()) else {
        return None;
    };
    decimal(name.as_ref(), 20)
}

/// The first LSN of the segment that a part is of, from its name. Other names are not ours.
fn part_base(segments: &Path, object: &ObjectMeta) -> Option<Lsn> {
    let mut below = object.location.prefix_match(segments)?;
    let (segment, index, None) = (below.next()?, below.next()?, below.next()) else {
        return None;
    };
    decimal(index.as_ref(), 4)?;
    let mut fields = segment.as_ref().split('-');
    let base = decimal(fields.next()?, 20)?;
    let is_name = is_hex(fields.next()?, 16) && is_hex(fields.next()?, 8);
    (is_name && fields.next().is_none()).then(|| Lsn::new(base))
}

fn decimal(text: &str, digits: usize) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_forbidden(error: &object_store::Error) -> bool {
    use object_store::Error::{PermissionDenied, Precondition};
    matches!(error, PermissionDenied { .. } | Precondition { .. })
}

fn failed(action: &'static str, object: &Path, error: object_store::Error) -> Error {
    Error::Store {
        action,
        object: object.to_string(),
        source: Arc::new(error),
    }
}

/// An entry has at most 4,097 times and 512 parts, each in a line of at most 50 bytes.
const ENTRY_LEN_MAX: u64 = 1024 * 1024;
