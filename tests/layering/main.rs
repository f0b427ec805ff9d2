//! Rules that can be checked in the sources: which module imports which, and which code may use
//! what (ARCHITECTURE.md, "Dependencies").

mod documents;
mod inclusions;
mod modules;

use std::fs;
use std::path::{Path, PathBuf};

use modules::Modules;

/// What the files in each place may import from the crate. Dependencies go down only.
const ALLOWED: &[(&str, &[&str])] = &[
    ("lsn", &[]),
    ("error", &["Lsn", "error", "lsn"]),
    ("rng", &[]),
    ("small_deque", &[]),
    ("wakers", &["small_deque"]),
    ("record", LEAVES),
    ("stats", &["small_deque", "lsn", "stats"]),
    ("observe", &["error", "lsn", "observe"]),
    ("executor", &["error"]),
    ("environment", &["executor", "storage"]),
    ("mutants", &[]),
    (
        "options",
        &[
            "error", "lsn", "Error", "Lsn", "Result", "format", "options",
        ],
    ),
    ("format", &["Lsn", "lsn", "format", "mutants"]),
    ("recovered", &["lsn", "format"]),
    ("storage", &["rng", "error", "format", "storage", "mutants"]),
    ("retention", &["lsn", "format", "mutants", "retention"]),
    (
        "unfinished_dir",
        &["error", "format", "lsn", "mutants", "storage"],
    ),
    (
        "import",
        &[
            "environment",
            "error",
            "format",
            "import",
            "lsn",
            "mutants",
            "storage",
            "unfinished_dir",
        ],
    ),
    ("hold", &["error", "lsn", "queue", "retention", "wal"]),
    (
        "feed",
        &[
            "error", "feed", "format", "lsn", "mutants", "record", "storage", "wakers",
        ],
    ),
    (
        "follow",
        &[
            "error",
            "feed",
            "follow",
            "format",
            "executor",
            "lsn",
            "mutants",
            "queue",
            "record",
            "recovery",
            "retention",
            "storage",
            "wal",
        ],
    ),
    (
        "queue",
        &[
            "error",
            "small_deque",
            "executor",
            "mutants",
            "lsn",
            "options",
            "stats",
            "retention",
            "format",
            "storage",
            "wakers",
            "queue",
        ],
    ),
    (
        "writer",
        &[
            "error",
            "small_deque",
            "lsn",
            "options",
            "executor",
            "recovered",
            "retention",
            "format",
            "storage",
            "queue",
            "writer",
            "mutants",
            "stats",
            "observe",
            "feed",
        ],
    ),
    (
        "recovery",
        &[
            "environment",
            "error",
            "lsn",
            "record",
            "options",
            "executor",
            "recovered",
            "format",
            "storage",
            "recovery",
            "mutants",
            "observe",
        ],
    ),
    (
        "wal",
        &[
            "error",
            "lsn",
            "options",
            "executor",
            "stats",
            "retention",
            "format",
            "storage",
            "queue",
            "wal",
            "feed",
        ],
    ),
    (
        "backup",
        &[
            "error",
            "feed",
            "unfinished_dir",
            "lsn",
            "queue",
            "retention",
            "format",
            "storage",
            "wal",
            "backup",
        ],
    ),
    ("ordered", &["error", "lsn", "options", "queue", "wal"]),
    ("sink", &["error", "lsn", "ordered", "wal"]),
    (
        "snapshot",
        &[
            "error",
            "lsn",
            "mutants",
            "executor",
            "retention",
            "format",
            "storage",
            "queue",
            "recovery",
            "wal",
            "snapshot",
        ],
    ),
    (
        "typed",
        &[
            "error", "lsn", "record", "options", "ordered", "stats", "recovery", "wal", "sink",
            "typed", "follow",
        ],
    ),
    (
        "tools",
        &[
            "environment",
            "executor",
            "error",
            "Error",
            "lsn",
            "record",
            "recovered",
            "format",
            "storage",
            "recovery",
            "writer",
            "tools",
        ],
    ),
    (
        "open",
        &[
            "environment",
            "error",
            "feed",
            "lsn",
            "observe",
            "options",
            "recovery",
            "snapshot",
            "storage",
            "wal",
            "writer",
        ],
    ),
    (
        "lib",
        &[
            "error", "lsn", "options", "ordered", "record", "recovery", "sink", "stats", "storage",
            "wal", "follow", "format", "hold",
        ],
    ),
];

const LEAVES: &[&str] = &["Lsn", "lsn"];

/// The sources of the log, without their tests, by their paths below `src`.
fn sources() -> Vec<(PathBuf, String)> {
    let found = sources_below(&package().join("src"));
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The sources of every published package of the workspace, by their full paths.
fn all_sources() -> Vec<(PathBuf, String)> {
    let mut roots = crates();
    roots.push(package().join("src"));
    let named = |root: &PathBuf| {
        let found = sources_below(root).into_iter();
        let found = found.map(|(path, text)| (root.join(path), text));
        found.collect::<Vec<_>>()
    };
    roots.iter().flat_map(named).collect()
}

/// The sources' directories of the packages beside the log.
fn crates() -> Vec<PathBuf> {
    let packages = fs::read_dir(package().join("crates")).unwrap();
    let sources = packages.map(|package| package.unwrap().path().join("src"));
    let sources: Vec<_> = sources.collect();
    assert!(sources.len() > 3, "the packages were not found");
    sources
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory that is not a test, with its text.
fn sources_below(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && path.file_name().unwrap() != "tests.rs"
            {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    found
}

/// The module that a file lies in: `writer/batch.rs` and `writer/mod.rs` are in `writer`.
fn module(path: &Path) -> String {
    path.with_extension("")
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned()
}

/// The modules that a text names after `crate::`.
fn imports(text: &str) -> Vec<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code
        .collect::<Vec<_>>()
        .join("\n")
        .replace("pub(crate)", "");
    let mut names = Vec::new();
    for piece in code.split("crate::").skip(1) {
        if let Some(group) = piece.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or_default();
            names.extend(group.split(',').map(|name| first_word(name.trim())));
        } else {
            names.push(first_word(piece));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn arrows_go_down_only() {
    for (path, text) in sources() {
        let module = module(&path);
        let allowed = ALLOWED.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} is not in the list"));
        for import in imports(&text) {
            assert!(
                allowed.contains(&import.as_str()),
                "{} imports {import}",
                path.display()
            );
        }
    }
}

#[test]
fn a_forbidden_import_would_be_seen() {
    assert_eq!(
        imports("use crate::writer::Batch;\nlet x = crate::wal::f();"),
        ["writer", "wal"]
    );
    assert_eq!(
        imports("use crate::{Lsn, format};\n// use crate::x;\npub(crate) fn f()"),
        ["Lsn", "format"]
    );
}

#[test]
fn no_module_imports_itself_through_others() {
    let mut roots = crates();
    roots.push(package().join("src"));
    for root in roots {
        let cycle = Modules::of(&sources_below(&root)).cycle();
        assert_eq!(cycle, None, "a cycle in {}", root.display());
    }
}

/// Asserts that `needle` is nowhere but in the files whose path begins with one of `places`.
fn assert_only_in(needle: &str, places: &[&str]) {
    let mut seen = false;
    for (path, text) in sources() {
        let is_allowed = places.iter().any(|place| path.starts_with(place));
        assert!(
            is_allowed || !text.contains(needle),
            "{} has {needle}",
            path.display()
        );
        seen |= text.contains(needle);
    }
    assert!(seen, "{needle} is nowhere: the rule checks nothing");
}

#[test]
fn only_the_disk_touches_files() {
    assert_only_in("std::fs", &["storage/disk"]);
    assert_only_in("fs::", &["storage/disk"]);
}

#[test]
fn receipts_are_made_at_one_place() {
    assert_only_in("Synced::and(", &["storage/dir.rs", "storage/file.rs"]);
    assert_only_in("Wrote::all(", &["storage/file.rs"]);
    assert_only_in("Present::", &["storage/dir.rs", "storage/receipts.rs"]);
}

#[test]
fn only_the_writer_acknowledges_appends() {
    assert_only_in(".durable(", &["writer/batch.rs"]);
    assert_only_in(".written(", &["writer/batch.rs"]);
}

#[test]
fn recovery_never_writes() {
    for (path, text) in sources() {
        let reads_only = !path.starts_with("recovery")
            || [
                "Mode::Write",
                "Mode::Create",
                ".write_at(",
                ".rename(",
                ".remove(",
                ".sync(",
            ]
            .iter()
            .all(|needle| !text.contains(needle));
        assert!(reads_only, "{} writes", path.display());
    }
}

#[test]
fn the_format_does_no_io() {
    for (path, text) in sources() {
        let pure =
            !path.starts_with("format") || !(text.contains("std::io") || text.contains("async"));
        assert!(pure, "{} does I/O", path.display());
    }
}

#[test]
fn files_and_functions_stay_small() {
    for (path, text) in all_sources() {
        assert!(
            text.lines().count() <= 600,
            "{} is too long",
            path.display()
        );
        for (start, len) in function_lengths(&text) {
            assert!(
                len <= 70,
                "{}:{start}: a function of {len} lines",
                path.display()
            );
        }
    }
}

/// The first line and the length of each function, by the indentation that rustfmt keeps.
fn function_lengths(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let is_one_line = line.ends_with(';') || line.ends_with('}');
        if !line.contains("fn ") || line.trim_start().starts_with("//") || is_one_line {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        if let Some(len) = lines[index..].iter().position(|line| *line == closing) {
            found.push((index + 1, len + 1));
        }
    }
    found
}

#[test]
fn a_long_function_would_be_seen() {
    let text = format!("fn f() {{\n{}}}\n", "    x();\n".repeat(80));
    assert_eq!(function_lengths(&text), [(1, 82)]);
}
