//! Values as they are typed on the command line.

use std::time::Duration;
#[cfg(feature = "archive")]
use std::time::SystemTime;

/// A number with a unit: 500us, 5ms, 1s.
pub fn time(text: &str) -> Result<Duration, String> {
    let units = [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let parsed = units.iter().find_map(|(unit, size)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        Duration::try_from_secs_f64(number * size).ok()
    });
    parsed
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "a time such as 500us, 5ms or 1s".into())
}

/// A segment size that the library accepts.
pub fn segment_size(text: &str) -> Result<u64, String> {
    let size = size(text)?;
    match (SEGMENT_SIZE_MIN..=SEGMENT_SIZE_MAX).contains(&size) {
        true => Ok(size),
        false => Err(format!(
            "a segment has from 16KiB ({SEGMENT_SIZE_MIN} bytes) up to {SEGMENT_SIZE_MAX} bytes"
        )),
    }
}

/// A number with a unit, or a number of bytes.
fn size(text: &str) -> Result<u64, String> {
    let units = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("B", 1),
        ("", 1),
    ];
    let parsed = units.iter().find_map(|(unit, size): &(&str, u64)| {
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(*size)
    });
    parsed.ok_or_else(|| "a size such as 64KiB, 16MiB or 1GiB".into())
}

/// A point in time, in UTC.
#[cfg(feature = "archive")]
pub fn point_in_time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339_weak(text)
        .map_err(|_| "a time in UTC, such as 2026-11-26T12:00:00Z".into())
}

/// The limits of `WalOptions::segment_size`.
const SEGMENT_SIZE_MIN: u64 = 16 * 1024;
const SEGMENT_SIZE_MAX: u64 = u32::MAX as u64;
