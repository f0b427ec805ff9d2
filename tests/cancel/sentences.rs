//! Every sentence of a `# Cancel safety` section has a test that quotes it, anywhere in the tests of its package:
//!
//! ```text
//! /// `Wal::sync`: "If the future is dropped before it completes, the sync may still happen."
//! #[test]
//! ```
//!
//! A new sentence needs a new test. A test whose sentence has changed must be reviewed. Links and
//! line breaks do not matter.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The published packages that have futures of their own, and where their tests are.
const SOURCES: &[&str] = &[
    "src",
    "crates/tidewal-archive/src",
    "crates/tidewal-openraft/src",
];
const TESTS: &[&str] = &[
    "tests",
    "crates/tidewal-archive/tests",
    "crates/tidewal-openraft/tests",
];

/// The item and the quoted sentence. Items are `Wal::append`, `PendingAppend` and so on, and
/// `tidewal` for the crate.
type Sentence = (String, String);

#[test]
fn every_sentence_about_cancel_safety_has_a_test() {
    let (said, tested) = (said(), tested());
    let lacking: Vec<_> = said.difference(&tested).collect();
    assert!(lacking.is_empty(), "no test quotes {lacking:#?}");
    let stale: Vec<_> = tested.difference(&said).collect();
    assert!(
        stale.is_empty(),
        "not, or no more, in the sources: {stale:#?}"
    );
}

/// `tidewal`: "The documentation of each one says what a dropped future leaves behind, which is one
/// of two cases:"
///
/// It says so at each future, or at its type, or at the counterpart for a real disk.
#[test]
fn what_has_happened_then_is_said_at_each_future() {
    let mut seen = 0;
    for item in files(SOURCES).iter().flat_map(|text| items(text)) {
        if !item.code.starts_with("pub async fn ") {
            continue;
        }
        seen += 1;
        // A function of a module has no type whose documentation could say it.
        let of_type = item.name.split_once("::").is_some_and(|(owner, name)| {
            let mut said = said().into_iter();
            said.any(|(of, text)| of == owner && text.contains(name))
        });
        let of_twin = ["As [`", "Like [`"]
            .iter()
            .any(|start| item.docs.starts_with(start));
        let its_own = !item.sections("Cancel safety").is_empty();
        assert!(its_own || of_type || of_twin, "{} says nothing", item.name);
    }
    assert!(seen > 10, "the sources were not understood");
}

/// The sentences of the documentation.
fn said() -> BTreeSet<Sentence> {
    let mut said = BTreeSet::new();
    for item in files(SOURCES).iter().flat_map(|text| items(text)) {
        for paragraph in item.sections("Cancel safety") {
            for sentence in sentences(&paragraph) {
                said.insert((item.name.clone(), sentence));
            }
        }
    }
    assert!(said.len() > 20, "the sources were not understood");
    said
}

/// The sentences that the documentation of tests quotes.
fn tested() -> BTreeSet<Sentence> {
    let files = files(TESTS);
    let items = files.iter().flat_map(|text| items(text));
    let tests = items.filter(|item| item.is_test);
    tests
        .flat_map(|item| paragraphs(&item.docs))
        .filter_map(|p| quote(&p))
        .collect()
}

/// The texts of all files below these directories.
fn files(roots: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dirs: Vec<_> = roots.iter().map(|root| package.join(root)).collect();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// Something with documentation.
#[derive(Debug, Default)]
struct Item {
    name: String,
    docs: String,
    code: String,
    is_test: bool,
}

impl Item {
    /// The paragraphs below the headings of this name.
    fn sections(&self, name: &str) -> Vec<String> {
        let heading = format!("# {name}\n");
        let below = self.docs.split(&heading).skip(1);
        let bodies = below.map(|rest| rest.split("\n# ").next().unwrap_or_default());
        bodies.flat_map(paragraphs).collect()
    }
}

/// The documented items of a file, the file itself being the first.
fn items(text: &str) -> Vec<Item> {
    let mut found = vec![Item::default()];
    let (mut owner, mut next) = ("tidewal", Item::default());
    found[0].name = owner.into();
    for line in text.lines() {
        let code = line.trim_start();
        if let Some(docs) = code.strip_prefix("//!") {
            append_line(&mut found[0].docs, docs);
        } else if let Some(docs) = code.strip_prefix("///") {
            append_line(&mut next.docs, docs);
        } else if code.starts_with("#[") {
            next.is_test |= code.contains("test");
        } else {
            owner = implementation(line).map_or(owner, type_name);
            let mut item = std::mem::take(&mut next);
            if !item.docs.is_empty() {
                item.name = item_name(line, owner);
                item.code = code.into();
                found.push(item);
            }
        }
    }
    found
}

fn append_line(docs: &mut String, line: &str) {
    docs.push_str(line.strip_prefix(' ').unwrap_or(line));
    docs.push('\n');
}

/// The text after `impl` and its parameters, if any.
fn implementation(line: &str) -> Option<&str> {
    let generic = || line.strip_prefix("impl<")?.split_once("> ");
    let plain = line.strip_prefix("impl ");
    plain.or_else(|| generic().map(|(_, rest)| rest))
}

/// The type of `Display for Wal {` or of `Wal {`.
fn type_name(implementation: &str) -> &str {
    let name = implementation.split(" for ").last().unwrap_or_default();
    name.split([' ', '<']).next().unwrap_or_default()
}

/// The name of an item whose code begins with this line, with its owner if it has one.
fn item_name(line: &str, owner: &str) -> String {
    let kinds = ["fn ", "struct ", "enum ", "trait ", "type ", "const "];
    let named = kinds.iter().find_map(|kind| line.split_once(kind));
    let rest = named.map_or(line.trim_start(), |(_, rest)| rest);
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &rest[..end.unwrap_or(rest.len())];
    if line.starts_with(' ') {
        format!("{owner}::{name}")
    } else {
        name.into()
    }
}

/// Paragraphs and list entries, without line breaks and marks.
fn paragraphs(docs: &str) -> Vec<String> {
    let separate = docs.replace("\n- ", "\n\n");
    let plain = separate.split("\n\n").map(plain);
    plain.filter(|paragraph| !paragraph.is_empty()).collect()
}

/// A text without line breaks, links and marks.
fn plain(text: &str) -> String {
    let mut pieces = text.split("](");
    let mut joined = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        joined.push_str(piece.split_once(')').map_or(piece, |(_, rest)| rest));
    }
    joined.retain(|c| !"[]`".contains(c));
    joined.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sentences(paragraph: &str) -> Vec<String> {
    let ends = paragraph.split_inclusive(". ");
    ends.map(|sentence| sentence.trim_end().to_owned())
        .collect()
}

/// The sentence in a paragraph that is a quotation.
fn quote(paragraph: &str) -> Option<Sentence> {
    let (of, sentence) = paragraph.split_once(": \"")?;
    let sentence = sentence.strip_suffix('"')?;
    Some((of.to_owned(), sentence.to_owned()))
}

#[test]
fn a_sentence_would_be_found() {
    let text = "\
impl Wal {
    /// Waits.
    ///
    /// # Cancel safety
    ///
    /// It is [`safe`](Self::safe), and so
    /// is [`Lsn`]. Two more:
    ///
    /// - this
    /// - that
    ///
    /// # Errors
    ///
    /// None.
    #[must_use]
    pub async fn wait(&self) {
";
    let items = items(text);
    let [_, item] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert_eq!(item.name, "Wal::wait");
    let found: Vec<_> = item
        .sections("Cancel safety")
        .iter()
        .flat_map(|p| sentences(p))
        .collect();
    let expected = ["It is safe, and so is Lsn.", "Two more:", "this", "that"];
    assert_eq!(found, expected);
}

#[test]
fn the_type_of_an_implementation_would_be_found() {
    let type_of = |line| implementation(line).map(type_name);
    assert_eq!(type_of("impl Wal {"), Some("Wal"));
    assert_eq!(type_of("impl<C> RaftLog<C>"), Some("RaftLog"));
    assert_eq!(type_of("impl<C: X> Drop for RaftLog<C> {"), Some("RaftLog"));
    assert_eq!(type_of("pub fn implement() {"), None);
}

#[test]
fn a_quotation_would_be_found() {
    let text = "\
/// `Wal::wait`: \"It is `safe`, and
/// so is `Lsn`.\"
///
/// Why it matters.
#[test]
fn it_waits() {
";
    let item = &items(text)[1];
    assert!(item.is_test);
    let quotes: Vec<_> = paragraphs(&item.docs)
        .iter()
        .filter_map(|p| quote(p))
        .collect();
    let expected = ("Wal::wait".into(), "It is safe, and so is Lsn.".into());
    assert_eq!(quotes, [expected]);
}
