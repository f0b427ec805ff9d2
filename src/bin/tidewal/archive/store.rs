//! Where an archive is, as somebody writes it on a command line.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
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
            return match is_like_a_url(text) {
                false => Ok(Self::Directory(text.into())),
                true => Err(format!(
                    "a URL has two slashes behind its scheme; for a directory of that name write ./{text}"
                )),
            };
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

    /// Refuses a directory that is the log's, or in it, or around it: who removes one of the two would
    /// remove both.
    pub fn check_apart_from(&self, log: &Path) -> Result<(), Failure> {
        let Self::Directory(store) = self else {
            return Ok(());
        };
        let (store, log) = (real(store), real(log));
        if !store.starts_with(&log) && !log.starts_with(&store) {
            return Ok(());
        }
        Err(Failure::Other(
            format!(
                "{} and {} lie in each other, and would be lost together",
                store.display(),
                log.display()
            ),
            "name two directories side by side, or better on two disks".into(),
        ))
    }

    /// The place, which is made if it is a directory that is missing.
    pub fn make(&self) -> Result<Place, Failure> {
        if let Self::Directory(path) = self {
            make_durably(path).map_err(|error| self.unusable(&error))?;
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

/// Whether somebody has forgotten a slash. A single letter is a drive.
fn is_like_a_url(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.len() > 1
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    text.split_once(':')
        .is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// Makes a directory and those above it, each of which is in the one above durably.
fn make_durably(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = match dir.parent() {
        Some(above) if above != Path::new("") => above,
        _ => Path::new("."),
    };
    make_durably(above)?;
    fs::create_dir(dir)?;
    File::open(above)?.sync_all()
}

/// A path without links and dots, as far as it exists.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) if above == Path::new("") => real(Path::new(".")).join(name),
        (Some(above), Some(name)) => real(above).join(name),
        _ => path.to_owned(),
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
