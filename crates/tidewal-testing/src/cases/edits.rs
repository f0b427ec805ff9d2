//! A sound log, and then some bytes of it are not what they were.
//!
//! What has to hold is what `docs/durability.md` promises (P4, and "What can go unnoticed"), whatever
//! the format says.

use std::rc::Rc;

use super::check::{Reading, check};
use super::files::Files;
use super::format::{DATA_AT, FRAME_LEN, HEAD_MARK_AT, HEADER_LEN, STATEMENT_AT};
use super::input::Input;
use super::logs::{SoundLog, check_entries};
use super::reader::{self, Place};

/// The first bytes choose the log, the others the edits.
pub fn edits(data: &[u8]) {
    let (log, document, files) = edited(data);
    let reading = check(&files);
    check_truth(&log, &reading);
    check_proofs(&log, &document, &files, &reading);
    if is_harmless(&log, &document, &files) {
        let (end, kept) = (
            reading.outcome.expect("no harm was done"),
            &log.reading.records,
        );
        assert!(
            reading.records.starts_with(kept),
            "nothing was lost: {end:?}"
        );
    }
}

pub fn edited_files(data: &[u8]) -> Files {
    edited(data).2
}

/// The log, what the document says of it, and its files after the edits.
fn edited(data: &[u8]) -> (Rc<SoundLog>, reader::Reading, Files) {
    let mut input = Input::new(data);
    let log = SoundLog::make(&mut input);
    let document = reader::read(&log.files);
    let mut files = log.files.clone();
    for _ in 0..EDITS_MAX {
        if input.is_empty() {
            break;
        }
        edit(&mut input, &mut files, &document);
    }
    (log, document, files)
}

/// What is delivered was appended, and begins where the log begins. A batch is never cut.
fn check_truth(log: &SoundLog, reading: &Reading) {
    check_entries(&reading.records, &log.asked);
    let Ok(end) = &reading.outcome else {
        return;
    };
    assert!(
        reading.oldest <= log.reading.oldest,
        "the beginning is lost"
    );
    for batch in &log.batches {
        let is_cut = batch.contains(&end.lsn) && *batch.end() != end.lsn;
        assert!(!is_cut, "the batch {batch:?} was delivered in part");
    }
}

/// "Damage to a record never goes unnoticed if a frame is left whole that was written after that
/// record's sync." The segment's header has to be left too, without which there are no frames.
fn check_proofs(log: &SoundLog, document: &reader::Reading, files: &Files, reading: &Reading) {
    let Ok(end) = &reading.outcome else {
        return;
    };
    for place in document.places.iter().chain(&document.statements) {
        let is_whole = is_left(log, files, &place.file, 0, HEADER_LEN)
            && is_left(log, files, &place.file, place.at, FRAME_LEN);
        if is_whole && let Some(proven) = place.frame.proves() {
            assert!(end.lsn >= proven, "{place:?} proves more than {end:?}");
        }
    }
}

/// Whether everything is left that says something.
fn is_harmless(log: &SoundLog, document: &reader::Reading, files: &Files) -> bool {
    let is_segment = |name: &&String| name.strip_suffix(".wal").is_some();
    let segments = || log.files.keys().filter(is_segment);
    // What is not used of a header block says something too, by being zero.
    let is_block_left = |name: &String| {
        files[name].len() >= log.files[name].len() && is_left(log, files, name, 0, DATA_AT)
    };
    let is_record_left =
        |place: &Place| is_left(log, files, &place.file, place.at, place.frame.total_len());
    segments().eq(files.keys().filter(is_segment))
        && segments().all(is_block_left)
        && document.places.iter().all(is_record_left)
}

/// Whether bytes of a file are what they were.
fn is_left(log: &SoundLog, files: &Files, name: &str, at: usize, len: usize) -> bool {
    let range = at..at + len;
    let bytes = |files: &Files| files.get(name)?.get(range.clone()).map(<[u8]>::to_vec);
    bytes(files) == bytes(&log.files)
}

fn edit(input: &mut Input, files: &mut Files, document: &reader::Reading) {
    let names: Vec<_> = files.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let kind = input.byte() % 9;
    let (name, at) = place(input, &names, document);
    let file = files.entry(name.clone()).or_default();
    let at = at.min(file.len());
    match kind {
        0 => {
            let flip = 1 << input.below(8);
            file.iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= flip);
        }
        1 => {
            let len = usize::from(input.byte());
            overwrite(file, at, input.take(len));
        }
        2 => overwrite(file, at / 512 * 512, &[0; 512]),
        3 => overwrite(file, at, &vec![input.byte(); input.below(8192)]),
        4 => file.truncate(at),
        5 => file.extend(vec![0; at]),
        6 => {
            let source = place(input, &names, document);
            copy(input, files, &source, (&name, at));
        }
        7 => drop(files.remove(&name)),
        _ => {
            let other = names[input.below(names.len())].clone();
            let (one, two) = (files.remove(&name), files.remove(&other));
            files.extend(one.map(|bytes| (other.clone(), bytes)));
            files.extend(two.map(|bytes| (name.clone(), bytes)));
        }
    }
}

/// A place in a file: where something is said, or anywhere.
fn place(input: &mut Input, names: &[String], document: &reader::Reading) -> (String, usize) {
    let near = usize::from(input.byte() % 32);
    let places = &document.places;
    let name = |input: &mut Input| names[input.below(names.len())].clone();
    match input.byte() % 6 {
        // Mostly the end, where the verdict is hardest.
        0 if !places.is_empty() => {
            let place = &places[places.len() - 1 - input.below(places.len())];
            (place.file.clone(), place.at + near)
        }
        1 => (name(input), near * 3),
        2 => (name(input), HEAD_MARK_AT + near),
        3 => (name(input), STATEMENT_AT + near),
        4 => (name(input), DATA_AT + input.below(12 * 1024)),
        _ => (name(input), 512 * near),
    }
}

fn copy(input: &mut Input, files: &mut Files, source: &(String, usize), to: (&str, usize)) {
    let len = [20, 72, 512, 4096][input.below(4)];
    let bytes = files
        .get(&source.0)
        .and_then(|file| file.get(source.1..))
        .unwrap_or_default();
    let bytes = bytes[..len.min(bytes.len())].to_vec();
    if let Some(file) = files.get_mut(to.0) {
        overwrite(file, to.1, &bytes);
    }
}

/// Writes bytes over a file's, up to its end.
fn overwrite(file: &mut [u8], at: usize, bytes: &[u8]) {
    let places = file.iter_mut().skip(at);
    places.zip(bytes).for_each(|(place, byte)| *place = *byte);
}

const EDITS_MAX: usize = 8;
