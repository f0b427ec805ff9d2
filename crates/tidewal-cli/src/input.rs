//! Records from standard input.

use std::io::{BufRead, Read};

use crate::failure::Failure;

/// Where a record ends.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Framing {
    /// At a newline, which is not part of it.
    Lines,
    /// By the length before it: four bytes, little endian.
    Prefixed,
}

/// The next record, which is the input's record `number`, or `None` at the end. A record of more than `max`
/// bytes is an error before it is read.
pub fn next(
    input: &mut impl BufRead,
    framing: Framing,
    max: usize,
    number: u64,
) -> Result<Option<Vec<u8>>, Failure> {
    match framing {
        Framing::Lines => next_line(input, max, number),
        Framing::Prefixed => next_prefixed(input, max, number),
    }
}

fn next_line(
    input: &mut impl BufRead,
    max: usize,
    number: u64,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let mut limited = input.take(max as u64 + 1);
    limited
        .read_until(b'\n', &mut line)
        .map_err(Failure::Input)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > max {
        return Err(too_long(max, number));
    }
    Ok(Some(line))
}

fn next_prefixed(
    input: &mut impl BufRead,
    max: usize,
    number: u64,
) -> Result<Option<Vec<u8>>, Failure> {
    if input.fill_buf().map_err(Failure::Input)?.is_empty() {
        return Ok(None);
    }
    let len = read_up_to(input, 4)?;
    let Ok(len) = <[u8; 4]>::try_from(&len[..]) else {
        return Err(ends_inside(
            &format!("the length of record {number}"),
            len.len(),
            4,
        ));
    };
    let len = u32::from_le_bytes(len) as usize;
    if len > max {
        return Err(too_long(max, number));
    }
    let payload = read_up_to(input, len)?;
    match payload.len() == len {
        true => Ok(Some(payload)),
        false => Err(ends_inside(&format!("record {number}"), payload.len(), len)),
    }
}

fn read_up_to(input: &mut impl BufRead, len: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut limited = input.take(len as u64);
    limited.read_to_end(&mut bytes).map_err(Failure::Input)?;
    Ok(bytes)
}

fn ends_inside(what: &str, there: usize, wanted: usize) -> Failure {
    Failure::Other(
        format!("the input ends inside {what}: {there} of {wanted} bytes"),
        "the records before it are appended: append this one and those after it again".into(),
    )
}

fn too_long(max: usize, number: u64) -> Failure {
    Failure::Other(
        format!("record {number} has more than {max} bytes and does not fit into a segment"),
        "split it, or give a larger --segment-size. The records before it are appended".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], framing: Framing) -> Result<Vec<Vec<u8>>, Failure> {
        let mut input = input;
        let mut records = Vec::new();
        while let Some(record) = next(&mut input, framing, 5, 1)? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn lines_are_taken_without_their_newlines() {
        let lines = all(b"one\n\ntwo\r\nthree", Framing::Lines).ok().unwrap();
        assert_eq!(lines, [&b"one"[..], b"", b"two\r", b"three"]);
        assert!(all(b"12345\n", Framing::Lines).is_ok());
        assert!(all(b"123456\n", Framing::Lines).is_err());
        assert!(all(b"123456", Framing::Lines).is_err());
    }

    #[test]
    fn lengths_are_believed_up_to_the_largest() {
        let records = all(b"\x02\0\0\0ab\0\0\0\0", Framing::Prefixed)
            .ok()
            .unwrap();
        assert_eq!(records, [&b"ab"[..], b""]);
        assert!(all(b"\x06\0\0\0abcdef", Framing::Prefixed).is_err());
        assert!(all(b"\x02\0\0\0a", Framing::Prefixed).is_err());
        assert!(all(b"\x02\0\0", Framing::Prefixed).is_err());
    }
}
