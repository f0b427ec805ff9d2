//! The process that is killed: the test's own binary, started again with [`ORDERS`] set. It recovers
//! the log and appends to it from many producers until it is killed.
//!
//! It reports each event on its standard output, with one line and one write: the contents of a
//! pipe survive the process. A producer reports the outcome of an append before it starts the next
//! one, so at most one outcome per producer is unknown.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tidewal::{Durability, Error, Lsn, SyncPolicy, Wal, WalOptions};

use super::environment::{block_on, number};
use super::ops::OpId;
use super::random::Random;

/// The orders for a child.
#[derive(Clone, Debug)]
pub struct Orders {
    pub dir: PathBuf,
    pub seed: u64,
    pub life: u32,
    /// How many records it keeps when it truncates, or 0 if it never truncates.
    pub keep: u64,
}

/// The directory. The numbers are in other variables.
pub const ORDERS: &str = "TIDEWAL_CHILD_DIR";
pub const SEED: &str = "TIDEWAL_CHILD_SEED";
pub const LIFE: &str = "TIDEWAL_CHILD_LIFE";
pub const KEEP: &str = "TIDEWAL_CHILD_KEEP";

/// The prefix of the child's lines.
pub const MARK: &str = "> ";

/// Executes the orders of this process, if it has any.
pub fn obey() {
    let Some(dir) = std::env::var_os(ORDERS) else {
        return;
    };
    let orders = Orders {
        dir: dir.into(),
        seed: number(SEED).unwrap(),
        life: u32::try_from(number(LIFE).unwrap()).unwrap(),
        keep: number(KEEP).unwrap(),
    };
    // The test harness may have begun a line.
    println!();
    if let Err(error) = block_on(live(Arc::new(orders))) {
        say(&format!("broken {error:?}"));
    }
}

async fn live(orders: Arc<Orders>) -> tidewal::Result<()> {
    say("reading");
    let mut recovery = options(&orders).recover(&orders.dir).await?;
    while recovery.try_next().await?.is_some() {}
    say("recovered");
    let wal = recovery.into_wal().await?;
    say("open");
    let producers = (0..PRODUCERS).map(|number| Producer::new(number, &orders, &wal));
    join_all(producers.map(|producer| tokio::spawn(producer.work()))).await;
    Ok(())
}

/// Options may differ in each life.
fn options(orders: &Orders) -> WalOptions {
    let mut random = Random::new(orders.seed ^ u64::from(orders.life));
    let interval = SyncPolicy::Interval(Duration::from_micros(300));
    Wal::options()
        .sync_policy(random.pick(&[SyncPolicy::Always, SyncPolicy::Always, interval]))
        .segment_size(random.pick(&[128, 256, 1024]) * 1024)
        .max_batch_bytes(random.pick(&[16, 64, 4096]) * 1024)
        .spare_segments(random.pick(&[0, 1, 1, 2]))
}

struct Producer {
    next: OpId,
    orders: Arc<Orders>,
    wal: Wal,
}

impl Producer {
    fn new(producer: u32, orders: &Arc<Orders>, wal: &Wal) -> Self {
        let next = OpId {
            producer,
            life: orders.life,
            number: 0,
        };
        let (orders, wal) = (Arc::clone(orders), wal.clone());
        Self { next, orders, wal }
    }

    /// Appends until the log is broken.
    async fn work(mut self) {
        loop {
            let OpId {
                producer, number, ..
            } = self.next;
            match self.append().await {
                Ok((what, lsn)) => {
                    say(&format!("{what} {producer} {number} {lsn}"));
                    self.truncate_sometimes(lsn).await;
                }
                Err(Error::StorageFull(_)) => say(&format!("full {producer} {number}")),
                Err(error) => {
                    let what = if error.is_outcome_unknown() {
                        "unknown"
                    } else {
                        "refused"
                    };
                    return say(&format!("{what} {producer} {number} {error:?}"));
                }
            }
            self.next.number += 1;
        }
    }

    /// Returns the promise, and the LSN of the first record.
    async fn append(&self) -> tidewal::Result<(&'static str, Lsn)> {
        let op = self.next.plan(self.orders.seed);
        let mut payloads = self.next.payloads(self.orders.seed);
        if op.records > 1 {
            let lsns = self.wal.append_batch(payloads).await?;
            return Ok(("durable", *lsns.start()));
        }
        let lsn = self.wal.append_with(payloads.remove(0), op.durability);
        match op.durability {
            Durability::Written => Ok(("written", lsn.await?)),
            _ => Ok(("durable", lsn.await?)),
        }
    }

    /// One producer moves the low-water mark.
    async fn truncate_sometimes(&self, lsn: Lsn) {
        let is_due = self.next.producer == 0 && self.next.number % 8 == 7;
        if self.orders.keep == 0 || !is_due {
            return;
        }
        let mark = Lsn::new(lsn.get().saturating_sub(self.orders.keep));
        say(&format!("truncating {mark}"));
        match self.wal.truncate_before(mark).await {
            Ok(()) => say(&format!("truncated {mark}")),
            Err(error) => say(&format!("broken {error:?}")),
        }
    }
}

/// Prints one line with one write. If that fails, the parent has ended, and the child ends too.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let said = out.write_all(format!("{MARK}{line}\n").as_bytes());
    if said.and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

const PRODUCERS: u32 = 32;
