//! The archive of a log, as its users have it.

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;

use crate::objects::Objects;

/// The archive of one log: what is in a store under a prefix.
///
/// Making one asks nothing of the store. Clones are the same archive.
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
