//! The fuzz targets without a fuzzer: their corpora and random inputs (`fuzz/README.md`).

use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tidewal_testing::cases;

type Case = fn(&[u8]);

/// The number of random inputs for each target. `TIDEWAL_INPUTS` overrides it.
const INPUTS: u64 = 3000;

/// The first seed. `TIDEWAL_SEED` overrides it.
const SEED: u64 = 1;

#[test]
fn records_of_any_bytes() {
    exercise("record", cases::record);
}

#[test]
fn segments_of_any_bytes() {
    exercise("segment", cases::segment);
}

#[test]
fn directories_of_any_files() {
    exercise("directory", cases::directory);
}

#[test]
fn sound_logs_with_edits() {
    exercise("edits", cases::edits);
}

fn exercise(target: &str, case: Case) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "the corpus of {target} is missing");
    let seed = setting("TIDEWAL_SEED", SEED);
    let count = setting("TIDEWAL_INPUTS", INPUTS);
    println!(
        "{target}: {} files, {count} inputs by chance from seed {seed} on",
        corpus.len()
    );
    let by_chance =
        (seed..seed + count).map(|seed| (format!("seed {seed}"), cases::bytes_by_chance(seed)));
    let inputs = corpus.into_iter().chain(by_chance).collect();
    let (sender, progress) = mpsc::channel();
    let worker = thread::spawn(move || run_all(inputs, case, &sender));
    let last = watch(target, &progress);
    assert!(worker.join().is_ok(), "{target}: {last} fails");
}

/// Runs a case on every input, and reports the name of each before it runs.
fn run_all(inputs: Vec<(String, Vec<u8>)>, case: Case, progress: &Sender<String>) {
    for (name, data) in inputs {
        let _ = progress.send(name);
        case(&data);
    }
}

/// Waits for the end, and reports the last input. Fails if an input takes too long.
fn watch(target: &str, progress: &Receiver<String>) -> String {
    let mut last = String::new();
    loop {
        match progress.recv_timeout(FOR_EVER) {
            Ok(name) => last = name,
            Err(RecvTimeoutError::Timeout) => panic!("{target}: {last} never ends"),
            Err(RecvTimeoutError::Disconnected) => return last,
        }
    }
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(dir).expect("the corpus is part of the repository");
    let read = |path: &Path| (path.display().to_string(), fs::read(path).unwrap());
    let mut files: Vec<_> = entries.map(|entry| read(&entry.unwrap().path())).collect();
    files.sort();
    files
}

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// The limit for one input, which usually takes a millisecond.
const FOR_EVER: Duration = Duration::from_secs(120);
