//! A store whose calls can be made to fail, before or after they take effect, or to hang.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tidewal_archive::Archive;

use crate::helpers::PREFIX;

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It fails and does nothing.
    Before,
    /// It takes effect, and fails.
    After,
    /// It does nothing and never answers.
    Hang,
    /// It takes effect, and never answers.
    HangAfter,
    /// Permission is denied.
    Denied,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Before, Self::After, Self::Hang, Self::HangAfter];
}

/// An in-memory store, or another one, with planned faults. Clones refer to the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: u64,
    running: u64,
    most_running: u64,
    planned: BTreeMap<u64, Fault>,
    always: Option<Fault>,
    is_unconditional: bool,
    ignores_conditions: bool,
    forbids_overwriting: bool,
    /// Objects that can be read, although no put of them has succeeded, so they may not be durable.
    doubtful: BTreeSet<String>,
}

impl Store {
    pub fn new() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }

    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { store, state }))
    }

    pub fn shared(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }

    /// The archive of the tests in this store.
    pub fn archive(&self) -> Archive {
        Archive::new(self.shared(), PREFIX)
    }

    /// The number of calls so far.
    pub fn calls(&self) -> u64 {
        self.0.state.lock().unwrap().calls
    }

    /// The largest number of calls that ran at the same time.
    pub fn most_running(&self) -> u64 {
        self.0.state.lock().unwrap().most_running
    }

    /// Plans a fault for the call with this number. The first call has number 0.
    pub fn plan(&self, call: u64, fault: Fault) {
        self.0.state.lock().unwrap().planned.insert(call, fault);
    }

    /// Whether all planned faults have occurred.
    pub fn is_through(&self) -> bool {
        self.0.state.lock().unwrap().planned.is_empty()
    }

    /// From now on, every call fails in this way, or none does.
    pub fn set(&self, fault: Option<Fault>) {
        self.0.state.lock().unwrap().always = fault;
    }

    /// From now on, the store does not support conditional puts.
    pub fn set_unconditional(&self) {
        self.0.state.lock().unwrap().is_unconditional = true;
    }

    /// From now on, the store ignores the condition of a put.
    pub fn set_ignoring_conditions(&self) {
        self.0.state.lock().unwrap().ignores_conditions = true;
    }

    /// From now on, the store forbids overwriting, as with credentials that may only create.
    pub fn set_create_only(&self) {
        self.0.state.lock().unwrap().forbids_overwriting = true;
    }

    /// The objects that a store might lose in a power cut: a failed put has made them visible, and no put of them has
    /// succeeded since.
    pub fn doubtful(&self) -> Vec<String> {
        let state = self.0.state.lock().unwrap();
        state.doubtful.iter().cloned().collect()
    }

    /// The names of all objects, sorted.
    pub async fn names(&self) -> Vec<String> {
        let listing = self.0.store.list(None);
        let found = listing.map(|found| found.unwrap().location.to_string());
        let mut names: Vec<_> = found.collect().await;
        names.sort();
        names
    }

    pub async fn read(&self, name: &str) -> Vec<u8> {
        let got = self.0.store.get(&Path::from(name)).await.unwrap();
        got.bytes().await.unwrap().to_vec()
    }

    pub async fn write(&self, name: &str, bytes: Vec<u8>) {
        let name = Path::from(name);
        self.0.store.put(&name, bytes.into()).await.unwrap();
    }

    pub async fn remove(&self, name: &str) {
        self.0.store.delete(&Path::from(name)).await.unwrap();
    }

    /// A copy of the store without planned faults.
    pub async fn fork(&self) -> Self {
        let fork = Self::new();
        for name in self.names().await {
            fork.write(&name, self.read(&name).await).await;
        }
        fork
    }

    fn begin(&self) -> Option<Fault> {
        let mut state = self.0.state.lock().unwrap();
        let call = state.calls;
        state.calls += 1;
        state.planned.remove(&call).or(state.always)
    }

    /// A listing that begins after a name, as stores answer it: sorted, in pages. Each page is a call, which is made
    /// when the names before it were taken.
    fn pages(
        &self,
        prefix: Option<&Path>,
        after: Option<Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let pages = futures::stream::unfold(Some(after), move |after| {
            let (this, prefix) = (this.clone(), prefix.clone());
            async move {
                let after = after?;
                let page = this.page(prefix.as_ref(), after.as_ref());
                Some(match this.perform(page).await {
                    Err(error) => (vec![Err(error)], None),
                    Ok(page) => {
                        let last = page.last().filter(|_| page.len() == PAGE_LEN);
                        let next = last.map(|last| Some(last.location.clone()));
                        (page.into_iter().map(Ok).collect(), next)
                    }
                })
            }
        });
        pages.flat_map(futures::stream::iter).boxed()
    }

    async fn page(&self, prefix: Option<&Path>, after: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let mut found: Vec<_> = self.0.store.list(prefix).try_collect().await?;
        found.retain(|object| after.is_none_or(|after| object.location > *after));
        found.sort_by(|one, other| one.location.cmp(&other.location));
        found.truncate(PAGE_LEN);
        Ok(found)
    }

    async fn perform<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let _running = Running::begin(self);
        // All concurrent calls get here before any of them continues.
        tokio::task::yield_now().await;
        match self.begin() {
            None => work.await,
            Some(Fault::Before) => Err(fault()),
            Some(Fault::Denied) => Err(Error::PermissionDenied {
                path: "some/object".into(),
                source: "not with these credentials".into(),
            }),
            Some(Fault::After) => {
                work.await?;
                Err(fault())
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::HangAfter) => {
                work.await?;
                std::future::pending().await
            }
        }
    }
}

/// A running call.
struct Running<'a>(&'a Store);

impl<'a> Running<'a> {
    fn begin(store: &'a Store) -> Self {
        let mut state = store.0.state.lock().unwrap();
        state.running += 1;
        state.most_running = state.most_running.max(state.running);
        Self(store)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.state.lock().unwrap().running -= 1;
    }
}

/// The number of names that S3 lists per request.
const PAGE_LEN: usize = 1000;

fn fault() -> Error {
    Error::Generic {
        store: "fault",
        source: "the store is down".into(),
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let is_conditional = options.mode != object_store::PutMode::Overwrite;
        if is_conditional && self.0.state.lock().unwrap().is_unconditional {
            return Err(Error::NotImplemented {
                operation: "a conditional put".into(),
                implementer: self.to_string(),
            });
        }
        let is_there = !is_conditional && self.0.store.head(location).await.is_ok();
        if is_there && self.0.state.lock().unwrap().forbids_overwriting {
            return Err(Error::PermissionDenied {
                path: location.to_string(),
                source: "the object exists and cannot be overwritten".into(),
            });
        }
        let mut options = options;
        if self.0.state.lock().unwrap().ignores_conditions {
            options.mode = object_store::PutMode::Overwrite;
        }
        let name = location.to_string();
        let put = async {
            let put = self.0.store.put_opts(location, payload, options).await;
            if put.is_ok() {
                self.0.state.lock().unwrap().doubtful.insert(name.clone());
            }
            put
        };
        let put = self.perform(put).await;
        if put.is_ok() {
            self.0.state.lock().unwrap().doubtful.remove(&name);
        }
        put
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("parts are put with one call")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.perform(self.0.store.get_opts(location, options)).await
    }

    async fn get_ranges(&self, _: &Path, _: &[Range<u64>]) -> Result<Vec<Bytes>> {
        unreachable!("objects are read whole")
    }

    fn delete_stream(
        &self,
        objects: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let removed = objects.then(move |object| {
            let this = this.clone();
            async move {
                let object = object?;
                this.perform(this.0.store.delete(&object)).await?;
                Ok(object)
            }
        });
        removed.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unreachable!("folders are not listed")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("nothing is copied")
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store with planned faults")
    }
}
