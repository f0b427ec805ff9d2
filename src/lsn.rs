//! The log sequence number.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// A log sequence number: the position of a record in the log.
///
/// LSNs are dense: the first record of a log has LSN 1, and each record after it has the next
/// number. [`Lsn::ZERO`] means "before the first record" and is never the LSN of a record.
///
/// # Examples
///
/// ```
/// use tidewal::Lsn;
///
/// assert_eq!(Lsn::ZERO.next(), Lsn::FIRST);
/// assert!(Lsn::new(7) < Lsn::new(8));
/// assert_eq!(Lsn::new(8).to_string(), "8");
/// assert_eq!("8".parse(), Ok(Lsn::new(8)));
/// ```
///
/// With the feature `serde`, an LSN is serialized as its number.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(transparent)
)]
pub struct Lsn(u64);

impl Lsn {
    /// The LSN of a log's first record.
    pub const FIRST: Self = Self(1);

    /// Before the first record: the end that an empty log reports.
    pub const ZERO: Self = Self(0);

    /// A log that ends after this LSN is not opened for appending: it could reach the last LSN
    /// while it is open. At ten million records a second, that would take 228 years from here.
    pub(crate) const APPENDED_MAX: Self = Self(u64::MAX - (1 << 56));

    /// Makes an LSN from its number, for example one that is stored in a snapshot.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next LSN. The largest number, 2^64 - 1, stays as it is.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The previous LSN. [`Lsn::ZERO`] stays as it is.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The LSN `count` records after this one, or `None` if there is no such number.
    #[must_use]
    pub const fn checked_add(self, count: u64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The LSN `count` records after this one, at most the largest.
    pub(crate) const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The distance from `earlier` to this LSN, or 0 if `earlier` is not earlier.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for Lsn {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl FromStr for Lsn {
    type Err = ParseIntError;

    /// Parses a decimal number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl From<Lsn> for u64 {
    fn from(lsn: Lsn) -> Self {
        lsn.0
    }
}
