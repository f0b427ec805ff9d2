//! The path or URL of an archive, as a command line names it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{self, Component, Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use tidewal_archive::Archive;
use url::Url;

use crate::archive::directory::{self, Extent};
use crate::failure::Failure;

/// A directory, or a URL.
#[derive(Clone)]
pub enum Address {
    Directory(PathBuf),
    Remote(Url),
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the name of a directory, or a URL".into());
        }
        if !text.contains("://") {
            return match is_like_a_url(text) {
                false => Ok(Self::Directory(text.into())),
                true => Err(format!(
                    "a URL has two slashes after its scheme. For a directory of that name, write ./{text}"
                )),
            };
        }
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        match url.scheme() {
            "file" => url
                .to_file_path()
                .map(Self::Directory)
                .map_err(|()| "a file URL has three slashes and a full path".into()),
            "memory" => Err("an archive in memory would be lost when the command ends".into()),
            _ => Ok(Self::Remote(url)),
        }
    }

    /// Refuses the log's directory, and one inside it or around it: removing one of the two would remove both.
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
                "{} and {} are the same directory, or one contains the other: both would be lost together",
                store.display(),
                log.display()
            ),
            "name two separate directories, better on two disks".into(),
        ))
    }

    /// The archive, to be shipped to. Creates a missing directory.
    pub fn make(&self) -> Result<Archive, Failure> {
        if let Self::Directory(path) = self {
            check_is_dir(path, false)?;
            make_durably(path).map_err(|error| self.unusable(&error))?;
            // A run that has nothing to ship must not take time in proportion to the archive.
            directory::check(path, Extent::Names)?;
        }
        self.connect()
    }

    /// The archive, to be read.
    pub fn open(&self) -> Result<Archive, Failure> {
        if let Self::Directory(path) = self {
            check_is_dir(path, true)?;
            directory::check(path, Extent::Everything)?;
        }
        self.connect()
    }

    fn connect(&self) -> Result<Archive, Failure> {
        match self {
            Self::Directory(path) => {
                // A log may be truncated once its records are in the archive, so they have to be durable there.
                let store = LocalFileSystem::new_with_prefix(path)
                    .map_err(|error| self.unusable(&error))?
                    .with_fsync(true);
                Ok(Archive::new(Arc::new(store), ""))
            }
            Self::Remote(url) => {
                let (store, prefix) = object_store::parse_url_opts(url, settings())
                    .map_err(|error| self.unusable(&error))?;
                Ok(Archive::new(store.into(), prefix))
            }
        }
    }

    /// A text that names an object of the archive, with the object's path or URL instead of its name in the store.
    pub fn with_name(&self, text: String, object: &str) -> String {
        let dirs = ["manifest/", "segments/"].iter();
        match dirs.filter_map(|dir| object.rfind(dir)).max() {
            Some(at) => {
                let store = self.to_string();
                let full = format!("{}/{}", store.trim_end_matches('/'), &object[at..]);
                text.replacen(object, &full, 1)
            }
            None => text,
        }
    }

    fn unusable(&self, error: &dyn fmt::Display) -> Failure {
        Failure::Other(
            format!("cannot use {self} as a store: {error}"),
            "name a directory, or a URL such as s3://bucket/prefix. Credentials, region and endpoint come \
             from the environment"
                .into(),
        )
    }
}

/// Whether the text is a URL in which a slash is missing.
fn is_like_a_url(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()))
}

/// A mistyped path. The library of the stores says less about it.
fn check_is_dir(path: &Path, must_exist: bool) -> Result<(), Failure> {
    let what = match path.metadata() {
        Ok(found) if !found.is_dir() => format!("{} is not a directory", path.display()),
        Err(error) if must_exist && error.kind() == io::ErrorKind::NotFound => {
            format!("there is no directory {}", path.display())
        }
        // The library says why it cannot be used.
        _ => return Ok(()),
    };
    Err(Failure::Other(
        what,
        "check the path: it must be the directory of an archive".into(),
    ))
}

/// Creates a directory and its missing parents, and makes the name of each durable.
fn make_durably(dir: &Path) -> io::Result<()> {
    let dir = path::absolute(dir)?;
    let missing = dir.ancestors().take_while(|dir| !dir.is_dir()).count();
    fs::create_dir_all(&dir)?;
    // An earlier run may have created the directory and ended before it was synced.
    let made = dir.ancestors().take(missing.max(1));
    made.filter_map(Path::parent).try_for_each(sync)
}

#[cfg(unix)]
fn sync(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "its twin can fail")]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The absolute path. Links and dots are resolved in the part that exists.
fn real(path: &Path) -> PathBuf {
    let path = path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut real = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            real.pop();
        } else {
            real.push(part);
            real = real.canonicalize().unwrap_or(real);
        }
    }
    real
}

/// The settings of stores in the environment. Only prefixed names count: the short names of these settings, such as
/// `token`, may belong to other programs.
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

/// The schemes of URLs that name a store.
const SCHEMES: [&str; 12] = [
    "abfs", "abfss", "adl", "az", "azure", "file", "gs", "http", "https", "memory", "s3", "s3a",
];
