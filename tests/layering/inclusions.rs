//! A file is compiled into one binary, by `mod`. Only the tests of one binary may name files by
//! their paths, to run the same tests for several versions.

use std::fs;
use std::path::{Path, PathBuf};

use crate::package;

/// The files that a source includes by their paths.
fn included(source: &Path, text: &str) -> Vec<PathBuf> {
    let lines = text.lines().map(str::trim_start);
    let paths = lines.filter_map(|line| line.strip_prefix("#[path")?.split('"').nth(1));
    let dir = source.parent().unwrap();
    paths.map(|path| without_parents(&dir.join(path))).collect()
}

/// A path with its `..` resolved.
fn without_parents(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(resolved.pop()),
            part => resolved.push(part),
        }
    }
    resolved
}

/// `tests/<name>`, for a file that belongs to the test binary of that directory.
fn binary(path: &Path) -> Option<&Path> {
    let is_tests = |dir: &Path| dir.ends_with("tests");
    path.ancestors()
        .skip(1)
        .find(|dir| dir.parent().is_some_and(is_tests))
}

fn is_allowed(source: &Path, target: &Path) -> bool {
    binary(source).is_some_and(|binary| target.starts_with(binary))
}

#[test]
fn only_the_tests_of_one_binary_include_files_by_path() {
    let sources = crate::documents::files_below(package());
    let sources = sources
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let mut count = 0;
    for source in sources {
        let text = fs::read_to_string(source).unwrap();
        for target in included(source, &text) {
            assert!(
                is_allowed(source, &target),
                "{} includes {}",
                source.display(),
                target.display()
            );
            count += 1;
        }
    }
    assert!(count > 0, "no inclusion was seen");
}

#[test]
fn an_inclusion_into_two_binaries_would_be_seen() {
    let source = Path::new("/p/tests/one/v1/mod.rs");
    let text = "    #[path = \"../shared/a.rs\"]\nmod a;\n#[path = \"../../two/b.rs\"]\nmod b;\n";
    let targets = included(source, text);
    let expected = ["/p/tests/one/shared/a.rs", "/p/tests/two/b.rs"].map(PathBuf::from);
    assert_eq!(targets, expected);
    assert!(is_allowed(source, &targets[0]));
    assert!(!is_allowed(source, &targets[1]));
    assert!(!is_allowed(
        Path::new("/p/src/a.rs"),
        Path::new("/p/src/b.rs")
    ));
}
