//! A directory as a store: files of other kinds in the place of objects.
//!
//! The library sees only objects. It would take such a file for an object that is missing, and opening some of them
//! waits for ever.

use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// How much of a directory is checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// Every name that is an object's.
    Everything,
    /// Not the parts of segments.
    Names,
}

/// Fails if a name that belongs to the archive is that of something else. The names are in `docs/archive.md`, "The
/// objects". Other names do not matter.
pub fn check(store: &Path, extent: Extent) -> Result<(), Failure> {
    match find(store, extent) {
        None => Ok(()),
        Some(Odd {
            path,
            kind,
            expected,
        }) => Err(Failure::Damaged(
            format!("{} is {kind}, not {expected}", path.display()),
            "move it away. If it has replaced an object, bring that back, for example from a copy"
                .into(),
        )),
    }
}

/// A file in the place of something else.
struct Odd {
    path: PathBuf,
    kind: &'static str,
    expected: &'static str,
}

/// The first file that is in the place of something else.
fn find(store: &Path, extent: Extent) -> Option<Odd> {
    let (manifest, segments) = (store.join("manifest"), store.join("segments"));
    let top = [
        (&manifest, "the directory `manifest` of the archive"),
        (&segments, "the directory `segments` of the archive"),
    ];
    let top = top.into_iter().filter_map(|(dir, expected)| {
        odd(with_kind(dir.clone()).ok()?, FileType::is_dir, expected)
    });
    let of_segments = entries(&segments, is_segment)
        .filter_map(|dir| odd(dir, FileType::is_dir, "the directory of a segment"));
    top.chain(of_segments)
        .chain(odd_objects(&manifest, is_entry))
        .chain(match extent {
            Extent::Names => None,
            Extent::Everything => odd_part(&segments),
        })
        .next()
}

/// What is not an object although its name passes.
fn odd_objects(dir: &Path, is_named: fn(&str) -> bool) -> impl Iterator<Item = Odd> {
    entries(dir, is_named)
        .filter_map(|file| odd(file, FileType::is_file, "an object of the archive"))
}

fn odd_part(segments: &Path) -> Option<Odd> {
    let mut dirs = entries(segments, is_segment);
    dirs.find_map(|(dir, _)| odd_objects(&dir, is_part).next())
}

fn with_kind(path: PathBuf) -> io::Result<(PathBuf, FileType)> {
    let kind = path.symlink_metadata()?.file_type();
    Ok((path, kind))
}

/// What is there, unless that is expected. A symbolic link counts as what it leads to.
fn odd(
    (path, kind): (PathBuf, FileType),
    is_expected: fn(&FileType) -> bool,
    expected: &'static str,
) -> Option<Odd> {
    let target = match kind.is_symlink() {
        true => path.metadata().map(|found| found.file_type()),
        false => Ok(kind),
    };
    let kind = match target {
        Ok(kind) if is_expected(&kind) => return None,
        Ok(kind) => name(kind),
        Err(error) => broken_link(&error),
    };
    Some(Odd {
        path,
        kind,
        expected,
    })
}

/// The entries of a directory whose names pass. None if it cannot be read: the library says why.
fn entries(dir: &Path, is_named: fn(&str) -> bool) -> impl Iterator<Item = (PathBuf, FileType)> {
    let all = fs::read_dir(dir).into_iter().flatten().flatten();
    let named = all.filter(move |entry| entry.file_name().to_str().is_some_and(is_named));
    named.filter_map(|entry| Some((entry.path(), entry.file_type().ok()?)))
}

fn is_entry(name: &str) -> bool {
    is_number(name, 20)
}

fn is_part(name: &str) -> bool {
    is_number(name, 4)
}

/// Base LSN, salt and checksum.
fn is_segment(name: &str) -> bool {
    let fields: Vec<_> = name.split('-').collect();
    let is_hex =
        |text: &str, len| text.len() == len && text.bytes().all(|at| at.is_ascii_hexdigit());
    matches!(fields[..], [base, salt, crc] if is_number(base, 20) && is_hex(salt, 16) && is_hex(crc, 8))
}

fn is_number(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn broken_link(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "a symbolic link to nothing",
        _ => "a symbolic link that cannot be followed",
    }
}

fn name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_file() => "a regular file",
        kind => special(kind),
    }
}

#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> &'static str {
    "a special file"
}
