//! The names of the objects (`docs/archive.md`, "The objects"), and the calls of the store. The error of each
//! call names the call and the object.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tidewal::Lsn;

use crate::error::{Error, Result};
use crate::manifest::Shipped;
use crate::newest::{LISTED_MAX, Listed, Search};

/// The objects of an archive, which may not exist yet.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// The outcome of a conditional put.
pub(super) enum Created {
    Yes,
    /// The object already existed.
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

    /// The numbers of the entries that exist.
    pub(super) async fn entries(&self) -> Result<BTreeSet<u64>> {
        self.entries_after(0).await
    }

    /// The numbers above `after` of the entries that exist.
    pub(super) async fn entries_after(&self, after: u64) -> Result<BTreeSet<u64>> {
        let mut found = BTreeSet::new();
        let look = |number| {
            found.insert(number);
            ControlFlow::Continue(())
        };
        let _ = self.list_entries(after, look).await?;
        Ok(found)
    }

    /// The number of the newest entry, or 0 if there is none.
    pub(super) async fn newest_entry(&self) -> Result<u64> {
        let mut search = Search::default();
        loop {
            let after = search.next();
            let (found, is_complete) = self.some_entries(after).await?;
            let newest = found.last().copied().unwrap_or(0);
            let listed = Listed {
                newest,
                is_complete,
            };
            if let Some(newest) = search.take(after, listed) {
                return Ok(newest);
            }
        }
    }

    /// The lowest number above this one of an entry that exists.
    pub(super) async fn first_above(&self, number: u64) -> Result<Option<u64>> {
        Ok(self.some_entries(number).await?.0.first().copied())
    }

    /// Whether there is an entry with this number.
    pub(super) async fn has_entry(&self, number: u64) -> Result<bool> {
        let is_other = |found| match found == number {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let listed = self.list_entries(number.saturating_sub(1), is_other);
        Ok(listed.await?.is_break())
    }

    /// Some of the entries with numbers above `after`: the first ones, or all if the store does not sort them. Also
    /// returns whether these are all.
    pub(super) async fn some_entries(&self, after: u64) -> Result<(BTreeSet<u64>, bool)> {
        let (mut found, mut is_sorted) = (BTreeSet::new(), true);
        let look = |number| {
            is_sorted &= found.last().is_none_or(|last| *last < number);
            found.insert(number);
            match is_sorted && found.len() as u64 == LISTED_MAX {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let is_complete = self.list_entries(after, look).await?.is_continue();
        Ok((found, is_complete))
    }

    /// Passes the numbers above `after` of the entries that exist to `look`, until that breaks off.
    async fn list_entries(
        &self,
        after: u64,
        mut look: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let manifest = self.manifest();
        let mut listing = self
            .store
            .list_with_offset(Some(&manifest), &self.entry(after));
        while let Some(found) = poll_fn(|context| listing.as_mut().poll_next(context)).await {
            let found = found.map_err(|error| failed("list", &manifest, error))?;
            let number = entry_number(&manifest, &found).filter(|number| *number > after);
            if number.is_some_and(|number| look(number).is_break()) {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The parts that exist, each with the first LSN of its segment.
    pub(super) async fn parts(&self) -> Result<BTreeMap<Path, Lsn>> {
        let (segments, mut parts) = (self.segments(), BTreeMap::new());
        let mut listing = self.store.list(Some(&segments));
        while let Some(found) = poll_fn(|context| listing.as_mut().poll_next(context)).await {
            let found = found.map_err(|error| failed("list", &segments, error))?;
            let base = part_base(&segments, &found);
            parts.extend(base.map(|base| (found.location, base)));
        }
        Ok(parts)
    }

    /// An entry's bytes.
    pub(super) async fn get_entry(&self, number: u64) -> Result<Bytes> {
        let reason = "it is longer than an entry can be";
        let object = self.entry(number);
        self.get(&object, |len| len <= ENTRY_LEN_MAX, reason).await
    }

    /// The bytes of a part. Their number is checked against the manifest.
    pub(super) async fn get_part(&self, segment: &Shipped, index: usize) -> Result<Bytes> {
        let (object, expected) = (self.part(segment, index), segment.parts[index].len);
        let reason = "its length is not the one in the manifest";
        self.get(&object, |len| len == expected, reason).await
    }

    /// Checks the length before anything is read, because it determines how much memory is allocated.
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

    /// Puts an object that is already visible once more, with the same bytes, so that the store confirms that it is
    /// durable. A store that forbids overwriting is trusted: it shows only objects that are durable.
    pub(super) async fn put_again(&self, object: &Path, bytes: Bytes) -> Result<()> {
        match self.put(object, bytes.into()).await {
            Err(Error::Store { source, .. }) if is_forbidden(&source) => Ok(()),
            put => put,
        }
    }

    /// Puts an object unless one with this name exists.
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

    /// Removes an object. Succeeds if the object does not exist.
    pub(super) async fn remove(&self, object: &Path) -> Result<()> {
        match self.store.delete(object).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove", object, error)),
        }
    }
}

/// The number of an entry, from its name. `None` for other names, and for names in directories below.
fn entry_number(manifest: &Path, object: &ObjectMeta) -> Option<u64> {
    let mut below = object.location.prefix_match(manifest)?;
    let (name, None) = (below.next()?, below.next()) else {
        return None;
    };
    decimal(name.as_ref(), 20)
}

/// The first LSN of a part's segment, from the part's name. `None` for other names.
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

/// More than any entry needs: it has at most 4,097 times and 512 parts, each in a line of at most 50 bytes.
const ENTRY_LEN_MAX: u64 = 1024 * 1024;
