//! Payloads as text.

use std::fmt::Write;

/// Writes a payload on one line, and escapes everything that is not text, so it can be read back.
/// Works piece by piece, so a large payload is not in memory twice.
pub fn escape<E>(payload: &[u8], write: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    let mut text = String::with_capacity(PIECE_LEN);
    for chunk in payload.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text += "\\\\",
                letter if letter.is_control() => text.extend(letter.escape_default()),
                letter => text.push(letter),
            }
            if text.len() >= PIECE_LEN {
                write(&text)?;
                text.clear();
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    write(&text)
}

pub fn hex(payload: &[u8]) -> String {
    let mut text = String::with_capacity(payload.len() * 2);
    for byte in payload {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The size of the pieces in which a payload is escaped.
pub const PIECE_LEN: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(payload: &[u8]) -> String {
        let mut pieces = Vec::new();
        escape(payload, &mut |text| {
            pieces.push(text.to_owned());
            Ok::<_, ()>(())
        })
        .unwrap();
        let longest = pieces.iter().map(String::len).max();
        assert!(longest.is_none_or(|len| len < PIECE_LEN + 64));
        pieces.concat()
    }

    #[test]
    fn a_large_payload_comes_in_pieces() {
        let payload = "grün\n".repeat(PIECE_LEN);
        assert_eq!(escaped(payload.as_bytes()), "grün\\n".repeat(PIECE_LEN));
    }

    #[test]
    fn text_stays_and_the_rest_is_escaped() {
        assert_eq!(escaped("grün".as_bytes()), "grün");
        assert_eq!(escaped(b"a\tb\n\\"), "a\\tb\\n\\\\");
        assert_eq!(escaped(b"\xff\x00a"), "\\xff\\u{0}a");
        assert_eq!(hex(b"\x00\xff"), "00ff");
    }
}
