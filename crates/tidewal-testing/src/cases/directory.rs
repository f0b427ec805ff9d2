//! A whole directory: files of a log, of another one, made-up ones and others, under any names.

use std::rc::Rc;

use super::check::check;
use super::files::{Files, segment_name};
use super::format::{DATA_AT, HEADER_LEN, Header, checksum};
use super::input::Input;
use super::logs::SoundLog;
use super::pieces;

/// The first bytes choose what the directory holds to begin with, the others change that.
pub fn directory(data: &[u8]) {
    check(&directory_files(data));
}

pub fn directory_files(data: &[u8]) -> Files {
    let mut input = Input::new(data);
    let mut room = Room::default();
    match input.byte() % 4 {
        0 => room.files.clone_from(&SoundLog::make(&mut input).files),
        1 => (0..=input.below(5)).for_each(|_| room.add_made_up(&mut input)),
        _ => {}
    }
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        room.change(&mut input);
    }
    room.files
}

/// A directory that is being filled.
#[derive(Default)]
struct Room {
    files: Files,
    /// The made-up segment that comes next if all is well.
    next: Option<Header>,
    other: Option<Rc<SoundLog>>,
}

impl Room {
    fn change(&mut self, input: &mut Input) {
        match input.byte() % 10 {
            0 => self.add_made_up(input),
            1 => self.add_raw(input),
            2 => self.add_foreign(input),
            3 => drop(self.files.remove(&self.name(input))),
            4 => self.copy(input, false),
            5 => self.copy(input, true),
            6 => self.rename_inside(input),
            7 => self.cut(input),
            8 => self.scribble(input),
            _ => self.swap(input),
        }
    }

    /// A segment that joins the one made up before it, unless the input wants it otherwise.
    fn add_made_up(&mut self, input: &mut Input) {
        let mut header = self.next.unwrap_or(Header {
            log_id: 5,
            base: 1,
            salt: 6,
            capacity: 8192,
            prev_salt: 0,
            prev_end: 0,
        });
        let odd = input.byte();
        if odd & 1 != 0 {
            header.base = input.number(1) + 1;
        }
        if odd & 2 != 0 {
            header.log_id = input.number(1);
        }
        if odd & 4 != 0 {
            header.prev_salt = input.number(1);
        }
        if odd & 8 != 0 {
            let step = input.byte().cast_signed();
            header.prev_end = header.prev_end.saturating_add_signed(step.into());
        }
        let count = usize::from(odd >> 4);
        let pieces::MadeUp {
            file,
            header,
            end,
            last,
        } = pieces::segment(input, header, count);
        self.files.insert(segment_name(header.base), file);
        self.next = Some(Header {
            base: last.saturating_add(1).max(1),
            salt: header.salt.wrapping_add(1).max(1),
            prev_salt: header.salt,
            prev_end: end as u64,
            ..header
        });
    }

    fn add_raw(&mut self, input: &mut Input) {
        let name = self.name(input);
        let len = usize::from(input.byte());
        self.files.insert(name, input.take(len).to_vec());
    }

    /// A segment of another log, perhaps under its own name.
    fn add_foreign(&mut self, input: &mut Input) {
        if self.other.is_none() {
            self.other = Some(SoundLog::make(input));
        }
        let foreign = self.other.as_ref().map(|log| &log.files);
        let Some((name, bytes)) = foreign.and_then(|files| pick(files, input)) else {
            return;
        };
        let name = match input.byte() & 1 {
            0 => name,
            _ => self.name(input),
        };
        self.files.insert(name, bytes);
    }

    /// A copy of a file under another name, with its header made to fit or not.
    fn copy(&mut self, input: &mut Input, fits: bool) {
        let Some((_, mut bytes)) = pick(&self.files, input) else {
            return;
        };
        let name = self.name(input);
        let base = name.strip_suffix(".wal").and_then(|base| base.parse().ok());
        if let Some(mut header) = Header::decode(&bytes).filter(|_| fits) {
            header.base = base.unwrap_or(1);
            bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        }
        self.files.insert(name, bytes);
    }

    /// Another name for the same file, in its header too if it has one.
    fn rename_inside(&mut self, input: &mut Input) {
        let at = 8 * (1 + input.below(8));
        let value = input.number(8);
        if let Some((name, mut bytes)) = pick(&self.files, input)
            && let Some(header) = bytes.first_chunk_mut()
        {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
            checksum(header);
            self.files.insert(name, bytes);
        }
    }

    fn cut(&mut self, input: &mut Input) {
        if let Some((name, mut bytes)) = pick(&self.files, input) {
            bytes.resize(input.below(2 * DATA_AT + bytes.len()), 0);
            self.files.insert(name, bytes);
        }
    }

    fn scribble(&mut self, input: &mut Input) {
        if let Some((name, mut bytes)) = pick(&self.files, input) {
            let at = input.below(bytes.len()).min(bytes.len());
            let len = usize::from(input.byte());
            let written = input.take(len.min(bytes.len() - at));
            bytes[at..at + written.len()].copy_from_slice(written);
            self.files.insert(name, bytes);
        }
    }

    fn swap(&mut self, input: &mut Input) {
        let (Some((one, first)), Some((two, second))) =
            (pick(&self.files, input), pick(&self.files, input))
        else {
            return;
        };
        self.files.insert(one, second);
        self.files.insert(two, first);
    }

    /// A name: one that is there, one near those, or an odd one.
    fn name(&self, input: &mut Input) -> String {
        match input.byte() {
            0..=99 => pick(&self.files, input).map_or_else(|| segment_name(1), |(name, _)| name),
            100..=199 => segment_name(input.number(1)),
            200..=219 => segment_name((1 << 63) - input.number(1)),
            220..=239 => format!("{:020}.spare", input.number(1)),
            _ => input.pick(STRANGERS).to_owned(),
        }
    }
}

fn pick(files: &Files, input: &mut Input) -> Option<(String, Vec<u8>)> {
    let index = input.below(files.len());
    let (name, bytes) = files.iter().nth(index)?;
    Some((name.clone(), bytes.clone()))
}

const CHANGES_MAX: usize = 8;

/// Names that are no segment's, however near they come.
const STRANGERS: &[&str] = &[
    "LOCK",
    "1.wal",
    "notes.txt",
    "00000000000000000001.wal~",
    "00000000000000000001.WAL",
    "0000000000000000001.wal",
    "+0000000000000000001.wal",
    "99999999999999999999.wal",
    "99999999999999999999.spare",
];
