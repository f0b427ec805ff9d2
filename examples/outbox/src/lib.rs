//! An outbox: what a service has written to its log is delivered to an HTTP endpoint, in order, each record
//! at least once, whatever crashes.
//!
//! Three things make that so:
//!
//! - The cursor. After the endpoint has accepted a record, its LSN is stored durably. A start goes on behind
//!   it. A crash between the two delivers the record again, so the endpoint has to ignore an LSN that it
//!   knows: each request carries it in the header `Outbox-Lsn`.
//! - The hold. Records that were not delivered stay in the log, whatever is truncated. When the endpoint is
//!   down for so long that the hold reaches its bound, appends are refused. `HoldOverflow::Release` would
//!   lose records instead.
//! - The follower. It delivers only what is durable. An endpoint that hears of an order which a power cut
//!   then takes from the log would be ahead of the service.

mod cursor;

use std::time::Duration;

use tidewal::{HoldOptions, Lsn, Record, Wal};

pub use cursor::Cursor;

/// What can end a delivery.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where records go.
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

    /// Posts a record until it is accepted. There is no other way on: the next one must not overtake it.
    async fn deliver(&self, record: &Record) {
        let mut wait = WAIT_MIN;
        while let Err(error) = self.post(record).await {
            eprintln!("record {}: {error}; trying again", record.lsn);
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

/// Delivers records from the cursor on, for as long as the log is open.
///
/// The log is truncated behind what was delivered. A service that reads its log for other purposes leaves
/// that out, and truncates itself: the hold keeps what is still to be delivered.
///
/// # Errors
///
/// Those of the log. [`Truncated`](tidewal::Error::Truncated) on start means that the cursor is missing or
/// old: records were truncated that it says were never delivered.
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
        // Delivered, then stored, then released: a crash in between repeats records and loses none.
        cursor.store(record.lsn.next()).await?;
        undurable = 0;
        hold.advance(cursor.next())?;
        wal.truncate_before(cursor.next()).await?;
    }
    Ok(())
}

/// The first record that an outbox without a cursor delivers.
const FIRST: Lsn = Lsn::FIRST;

/// The cursor is stored when everything is delivered, and at the latest after so many records.
const STORE_EVERY: u32 = 64;

const TIMEOUT: Duration = Duration::from_secs(10);
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(10);
