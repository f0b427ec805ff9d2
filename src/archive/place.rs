//! The names of the objects (`docs/archive.md`, "The objects"), and the calls of the store, each with
//! an error that says what was tried.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};

use crate::archive::error::{Error, Result};
use crate::archive::manifest::Shipped;

/// A place in a store where an archive is, or is to be.
#[derive(Clone, Debug)]
pub(super) struct Place {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// What became of a put on the condition that there is no object.
pub(super) enum Created {
    Yes,
    /// There is one.
    No,
}

impl Place {
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
        let segments = self.prefix.clone().join("segments");
        segments
            .join(format!("{base:020}-{salt:016x}-{crc:08x}"))
            .join(format!("{index:04}"))
    }

    pub(super) fn manifest(&self) -> Path {
        self.prefix.clone().join("manifest")
    }

    /// The number of the newest entry of the manifest, 0 if there is none.
    pub(super) async fn newest_entry(&self) -> Result<u64> {
        let manifest = self.manifest();
        let mut listing = self.store.list(Some(&manifest));
        let mut newest = 0;
        while let Some(found) = poll_fn(|context| listing.as_mut().poll_next(context)).await {
            let found = found.map_err(|error| failed("list", &manifest, error))?;
            newest = newest.max(number_of(&manifest, &found).unwrap_or(0));
        }
        Ok(newest)
    }

    pub(super) async fn get(&self, object: &Path) -> Result<Bytes> {
        let got = async { self.store.get(object).await?.bytes().await };
        got.await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => Error::Missing {
                object: object.to_string(),
            },
            error => failed("get", object, error),
        })
    }

    pub(super) async fn put(&self, object: &Path, bytes: Bytes) -> Result<()> {
        let put = self.store.put(object, bytes.into()).await;
        put.map(drop).map_err(|error| failed("put", object, error))
    }

    /// Puts an object that can be seen, the same bytes, for the store's word that it is durable. A store
    /// that lets nobody write over what is there is none that shows what it may lose.
    pub(super) async fn put_again(&self, object: &Path, bytes: Bytes) -> Result<()> {
        match self.put(object, bytes).await {
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
}

/// Gives an attempt up when it has taken this long.
pub(super) async fn within<T>(
    time: Duration,
    action: &'static str,
    object: &Path,
    attempt: impl Future<Output = Result<T>>,
) -> Result<T> {
    let answered = tokio::time::timeout(time, attempt).await;
    answered.unwrap_or_else(|_| {
        Err(Error::TimedOut {
            action,
            object: object.to_string(),
        })
    })
}

/// The number of an entry, from its name; other names, and those further below, are not ours.
fn number_of(manifest: &Path, object: &ObjectMeta) -> Option<u64> {
    let mut below = object.location.prefix_match(manifest)?;
    let (name, None) = (below.next()?, below.next()) else {
        return None;
    };
    let name = name.as_ref();
    let is_number = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| name.parse().ok()).flatten()
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
