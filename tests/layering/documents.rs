//! The files that the documents name exist.

use std::fs;
use std::path::{Path, PathBuf};

use crate::package;

const ENDS: [&str; 4] = [".md", ".py", ".rs", ".toml"];

/// All files below a directory that may be named.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let entries = entries.filter(|entry| entry.file_name() != "target");
    entries
        .flat_map(|entry| match entry.file_type().unwrap().is_dir() {
            true => files_below(&entry.path()),
            false => vec![entry.path()],
        })
        .collect()
}

/// The names of files in code style, such as `writer/task.rs`, and with wildcards left out.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let in_code = text.split('`').skip(1).step_by(2);
    let is_path = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    in_code
        .filter(move |code| code.chars().all(is_path) && ENDS.iter().any(|end| code.ends_with(end)))
}

fn without_code_blocks(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// What a document names without there being such a file: each name is a path's end.
fn missing(text: &str, files: &[PathBuf]) -> Vec<String> {
    let text = without_code_blocks(text);
    let exists = |name: &str| files.iter().any(|file| file.ends_with(name));
    let missing = named(&text).filter(|name| !exists(name));
    missing.map(str::to_owned).collect()
}

#[test]
fn the_documents_name_files_that_exist() {
    let files = files_below(package());
    let documents = files.iter().filter(|file| {
        let dir = file.parent().unwrap();
        let is_document = file.extension().is_some_and(|extension| extension == "md");
        is_document && (dir == package() || dir == package().join("docs"))
    });
    for document in documents {
        let text = fs::read_to_string(document).unwrap();
        assert_eq!(
            missing(&text, &files),
            <[String; 0]>::default(),
            "{}",
            document.display()
        );
    }
}

#[test]
fn a_file_that_does_not_exist_would_be_seen() {
    let text = "`tests/layering/documents.rs`, `writer/mended.rs`\n```\n`no.rs`\n```\n`Wal`";
    assert_eq!(missing(text, &files_below(package())), ["writer/mended.rs"]);
}

/// The sources of the log that the code map leaves out.
fn unmapped<'a>(map: &str, sources: &'a [PathBuf]) -> Vec<&'a str> {
    let names = sources.iter().filter(|path| path.components().count() <= 2);
    let names = names.map(|path| path.file_name().unwrap().to_str().unwrap());
    let is_left_out =
        |name: &str| ["lib.rs", "mod.rs"].contains(&name) || name.ends_with("_noop.rs");
    let is_named = |name: &str| named(map).any(|named| named.ends_with(name));
    names
        .filter(|name| !is_left_out(name) && !is_named(name))
        .collect()
}

#[test]
fn the_code_map_names_every_file() {
    let map = fs::read_to_string(package().join("ARCHITECTURE.md")).unwrap();
    let sources: Vec<_> = crate::sources().into_iter().map(|(path, _)| path).collect();
    assert_eq!(unmapped(&map, &sources), <[&str; 0]>::default());
}

#[test]
fn a_file_that_is_not_in_the_map_would_be_seen() {
    let sources = ["lsn.rs", "queue/mod.rs", "queue/new.rs", "queue/a/deep.rs"].map(PathBuf::from);
    assert_eq!(unmapped("`lsn.rs` numbers", &sources), ["new.rs"]);
}
