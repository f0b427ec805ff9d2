//! Where an archive is, as somebody writes it on a command line.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use crate::failure::Failure;

/// A directory, or a URL.
#[derive(Clone)]
pub enum Address {
    Directory(PathBuf),
    Remote(Url),
}

/// A store, and the prefix of the archive in it.
pub struct Place {
    pub store: Arc<dyn ObjectStore>,
    pub prefix: String,
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return Ok(Self::Directory(text.into()));
        }
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        match url.scheme() {
            "file" => url
                .to_file_path()
                .map(Self::Directory)
                .map_err(|()| "a file URL has three slashes and a full path".into()),
            "memory" => Err("what is in memory is gone when the command ends".into()),
            _ => Ok(Self::Remote(url)),
        }
    }

    /// The place, which is made if it is a directory that is missing.
    pub fn make(&self) -> Result<Place, Failure> {
        if let Self::Directory(path) = self {
            fs::create_dir_all(path).map_err(|error| self.unusable(&error))?;
        }
        self.open()
    }

    pub fn open(&self) -> Result<Place, Failure> {
        match self {
            Self::Directory(path) => {
                // Whatever is said to be in the archive may be removed from the log.
                let store = LocalFileSystem::new_with_prefix(path)
                    .map_err(|error| self.unusable(&error))?
                    .with_fsync(true);
                Ok(Place {
                    store: Arc::new(store),
                    prefix: String::new(),
                })
            }
            Self::Remote(url) => {
                let (store, prefix) = object_store::parse_url_opts(url, settings())
                    .map_err(|error| self.unusable(&error))?;
                Ok(Place {
                    store: store.into(),
                    prefix: prefix.to_string(),
                })
            }
        }
    }

    fn unusable(&self, error: &dyn fmt::Display) -> Failure {
        Failure::Other(
            format!("cannot use {self} as a store: {error}"),
            "name a directory, or a URL such as s3://bucket/prefix; credentials, region and endpoint come \
             from the environment"
                .into(),
        )
    }
}

/// What the environment says about stores. Their settings also have short names, such as `token`, which
/// there belong to somebody else.
fn settings() -> impl Iterator<Item = (String, String)> {
    let is_for_stores = |name: &str| {
        let prefixes = ["AWS_", "GOOGLE_", "AZURE_"];
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(move |(name, _)| is_for_stores(name))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Remote(url) => url.fmt(f),
        }
    }
}
