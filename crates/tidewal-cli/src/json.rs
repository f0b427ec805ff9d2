//! A survey as JSON. Unknown values are `null`.

use serde_json::{Value, json};
use tidewal::tools::{Depth, Ending, LockOwner, SegmentSurvey, Survey};
use tidewal::{Corruption, Lsn, TornTail};

use crate::failure::with_sources;
use crate::findings::known_end;

pub fn survey(survey: &Survey, lock_owners: &[LockOwner]) -> Value {
    let segments = |segments: &[SegmentSurvey]| segments.iter().map(segment).collect::<Vec<_>>();
    json!({
        "dir": survey.dir.to_string_lossy(),
        "sound": is_sound(survey),
        "read": read(survey),
        "in_use": survey.in_use,
        "lock_owners": lock_owners.iter().map(lock_owner).collect::<Vec<_>>(),
        "oldest": survey.oldest.get(),
        "end": known_end(survey).map(Lsn::get),
        "proven_durable": survey.proven.get(),
        "ending": survey.ending.as_ref().map(ending),
        "segments": segments(&survey.segments),
        "stale_segments": segments(&survey.stale_segments),
        "spares": survey.spares,
        "unknown_files": survey.unknown_files,
        "corruptions": survey.corruptions.iter().map(corruption).collect::<Vec<_>>(),
        "corruptions_left_out": survey.corruptions_left_out,
        "read_errors": survey.read_errors.iter().map(|error| with_sources(error)).collect::<Vec<_>>(),
    })
}

/// `null` if no damage was found but not everything was read.
fn is_sound(survey: &Survey) -> Option<bool> {
    match survey.is_sound() {
        true => (read(survey) == "everything").then_some(true),
        false => Some(false),
    }
}

fn read(survey: &Survey) -> &'static str {
    match survey.depth {
        Depth::Everything => "everything",
        Depth::Newest if survey.segments.len() <= 1 => "everything",
        Depth::Newest => "newest segment",
        _ => "headers",
    }
}

fn lock_owner(lock_owner: &LockOwner) -> Value {
    let access = if lock_owner.appends {
        "appending"
    } else {
        "reading"
    };
    json!({ "pid": lock_owner.pid, "name": lock_owner.name, "access": access })
}

fn ending(ending: &Ending) -> Value {
    match ending {
        Ending::TornTail(tail) => torn_tail(tail),
        Ending::Closed => json!({ "kind": "closed" }),
        Ending::Empty => json!({ "kind": "empty" }),
        _ => Value::Null,
    }
}

fn torn_tail(tail: &TornTail) -> Value {
    json!({
        "kind": "torn_tail",
        "reason": tail.reason.label(),
        "file": tail.segment.to_string_lossy(),
        "offset": tail.offset,
        "lsn": tail.lsn.get(),
    })
}

fn segment(segment: &SegmentSurvey) -> Value {
    let header = segment.header.map(|header| {
        json!({
            "log_id": format!("{:016x}", header.log_id),
            "capacity": header.capacity,
            "predecessor_end": header.predecessor_end,
            "is_head": header.is_head,
        })
    });
    let statement = segment
        .statement
        .map(|statement| json!({ "kind": statement.kind.name(), "lsn": statement.lsn.get() }));
    json!({
        "file": segment.file.to_string_lossy(),
        "base": segment.base.get(),
        "last": segment.last.map(Lsn::get),
        "len": segment.len,
        "end_offset": segment.end_offset,
        "records": segment.records,
        "payload_bytes": segment.payload_bytes,
        "header": header,
        "statement": statement,
    })
}

fn corruption(corruption: &Corruption) -> Value {
    let last = (corruption.last >= corruption.first).then(|| corruption.last.get());
    json!({
        "label": corruption.kind.label(),
        "file": corruption.segment.to_string_lossy(),
        "offset": corruption.offset,
        "first": corruption.first.get(),
        "last": last,
        "message": corruption.to_string(),
    })
}
