//! The errors of codecs.

use std::fmt;
use std::sync::Arc;

/// The error of a [`Codec`](crate::typed::Codec) for a value or a record.
///
/// It displays as the codec's own error, which [`get_ref`](Self::get_ref) returns.
#[derive(Clone, Debug)]
pub struct CodecError(Arc<dyn std::error::Error + Send + Sync>);

impl CodecError {
    pub(crate) fn new(source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self(source.into())
    }

    /// The codec's own error.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for CodecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
