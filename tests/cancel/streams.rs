//! Streams whose futures of the next item are dropped.

use futures::{FutureExt, Stream, StreamExt};
use tidewal::sim::SimDisk;
use tidewal::{Lsn, Record, Result};

use crate::helpers::{SYNC, assert_records, log_of, moment, payload};
use crate::support::{DIR, options, run};

/// `Reader::try_next`: "Cancel safe: if the future is dropped before it completes, no record is lost."
#[test]
fn a_next_of_a_reader_that_is_dropped_loses_no_record() {
    run(async {
        let disk = log_of(10).await;
        let mut reader = options().read_on(&disk, DIR).await.unwrap();
        let (mut records, mut dropped) = (Vec::new(), 0);
        loop {
            match reader.try_next().now_or_never() {
                Some(next) => match next.unwrap() {
                    Some(record) => records.push(record),
                    None => break,
                },
                None => dropped += 1,
            }
            assert!(dropped < TOO_MANY, "it does not come on");
            tokio::task::yield_now().await;
        }
        assert!(dropped > 0, "otherwise this shows nothing");
        assert_records(&records, 1..=10);
    });
}

/// `tidewal`: "Streams lose no item if the future of their next item is dropped."
#[test]
fn streams_lose_no_item_when_a_future_of_their_next_one_is_dropped() {
    run(async {
        let disk = log_of(10).await;
        let recovery = options().recover_on(&disk, DIR).await.unwrap();
        assert_records(&unwrap(impatiently(recovery).await), 1..=10);
        let reader = options().read_on(&disk, DIR).await.unwrap();
        assert_records(&unwrap(impatiently(reader).await), 1..=10);
        assert_eq!(
            impatiently(durable_lsns(&disk).await).await,
            durable(11..=15)
        );
    });
}

/// The durable LSNs of a log with five more records, read fast enough to see each of them.
async fn durable_lsns(disk: &SimDisk) -> impl Stream<Item = Lsn> + Unpin {
    let wal = options().open_on(disk, DIR).await.unwrap();
    disk.set_sync_time(SYNC);
    let mut durable = wal.subscribe_durable();
    assert_eq!(durable.next().await, Some(Lsn::new(10)));
    tokio::spawn(async move {
        for number in 11..=15 {
            wal.append(payload(number)).await.unwrap();
        }
    });
    durable
}

fn durable(lsns: std::ops::RangeInclusive<u64>) -> Vec<Lsn> {
    lsns.map(Lsn::new).collect()
}

/// All items, taken with futures that are dropped if they are not ready at once.
async fn impatiently<S: Stream + Unpin>(mut stream: S) -> Vec<S::Item> {
    let (mut items, mut dropped) = (Vec::new(), 0);
    loop {
        match stream.next().now_or_never() {
            Some(Some(item)) => items.push(item),
            Some(None) => break,
            None => dropped += 1,
        }
        assert!(dropped < TOO_MANY, "it does not come on");
        moment(dropped).await;
    }
    assert!(dropped > 0, "otherwise this shows nothing");
    items
}

const TOO_MANY: usize = 10_000;

fn unwrap(items: Vec<Result<Record>>) -> Vec<Record> {
    items.into_iter().map(Result::unwrap).collect()
}
