//! An outbox: it delivers each record of a service's log to an HTTP endpoint, in order and at least once, through
//! any crash.
//!
//! Three parts make this work:
//!
//! - The cursor. After the endpoint has accepted a record, the outbox durably stores its LSN. A restart continues
//!   after that LSN. A crash between the two steps delivers the record again, so the endpoint must ignore an LSN
//!   that it has seen. Each request has the LSN in the header `Outbox-Lsn`.
//! - The hold. Records that are not delivered yet stay in the log, even if it is truncated. If the endpoint is down
//!   for so long that the hold reaches its bound, appends are refused. `HoldOverflow::Release` would lose records
//!   instead.
//! - The follower. It delivers only durable records. Otherwise a power cut could remove a record from the log that
//!   the endpoint has already received.

mod cursor;

use std::time::Duration;

use tidewal::{HoldOptions, Lsn, Record, Wal};

pub use cursor::Cursor;

/// The error that ends a delivery.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The receiver of the records.
pub struct Endpoint {
    client: reqwest::Client,
    url: String,
}

impl Endpoint {
    /// The endpoint at this address.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            client: reqwest::Client::new(),
            url: url.into(),
        }
    }

    /// Posts a record until it is accepted. It never gives up, because the next record must not overtake this one.
    async fn deliver(&self, record: &Record) {
        let mut wait = WAIT_MIN;
        while let Err(error) = self.post(record).await {
            eprintln!("record {}: {error}: retrying", record.lsn);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn post(&self, record: &Record) -> Result<(), reqwest::Error> {
        let request = self.client.post(&self.url);
        let request = request.header("Outbox-Lsn", record.lsn.to_string());
        let request = request.timeout(TIMEOUT).body(record.payload.clone());
        request.send().await?.error_for_status().map(drop)
    }
}

/// Delivers records from the cursor on, until the log is closed.
///
/// Delivered records are truncated. If your service also reads its log for another purpose, remove this, and let the
/// service truncate: the hold keeps the records that are not delivered yet.
///
/// # Errors
///
/// The errors of the log. [`Truncated`](tidewal::Error::Truncated) at the start means that the cursor is missing or
/// outdated: records were truncated that are undelivered according to the cursor.
pub async fn run(wal: &Wal, mut cursor: Cursor, endpoint: &Endpoint) -> Result<(), Error> {
    let next = cursor.next();
    let hold = wal.hold_with(next, HoldOptions::new().name("outbox"))?;
    let mut follower = wal.follow(next);
    let mut undurable = 0;
    while let Some(record) = follower.try_next().await? {
        endpoint.deliver(&record).await;
        undurable += 1;
        if undurable < STORE_EVERY && record.lsn < wal.durable_lsn() {
            continue;
        }
        // Deliver, then store, then release: a crash in between repeats records and loses none.
        cursor.store(record.lsn.next()).await?;
        undurable = 0;
        hold.advance(cursor.next())?;
        wal.truncate_before(cursor.next()).await?;
    }
    Ok(())
}

/// The first record that an outbox without a cursor delivers.
const FIRST: Lsn = Lsn::FIRST;

/// The cursor is stored when everything is delivered, and at the latest after this many records.
const STORE_EVERY: u32 = 64;

const TIMEOUT: Duration = Duration::from_secs(10);
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(10);
