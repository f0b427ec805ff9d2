//! The handle of an archive.

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;

use crate::objects::Objects;

/// The archive of one log: the objects under a prefix of a store.
///
/// Creating the handle makes no call to the store. Clones refer to the same archive.
#[derive(Clone)]
pub struct Archive {
    pub(super) objects: Objects,
}

impl Archive {
    /// The archive under a prefix of a store. One prefix holds one log.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: impl AsRef<str>) -> Self {
        Self {
            objects: Objects::new(store, prefix.as_ref()),
        }
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("prefix", &self.objects.prefix())
            .finish_non_exhaustive()
    }
}
