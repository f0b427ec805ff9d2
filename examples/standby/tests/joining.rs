//! Where the logs join: a standby follows only a log that continues its own. And truncation.

mod machine;

use std::time::Duration;

use machine::Machine;
use standby::{FollowError, Truncation, follow, promote};
use tidewal::{FinishedSegment, Lsn};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A test that is still waiting has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// Why a standby does not follow the primary at this address.
async fn refused(standby: &Machine, address: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let following = follow(&standby.wal, standby.path(), stream, Truncation::Never);
    match timeout(LIMIT, following).await.expect("it is refused") {
        Err(FollowError::Final(reason)) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Both have the same records, from two primaries.
#[tokio::test]
async fn regression_another_log_of_the_same_length_is_not_followed() {
    let (one, two) = (Machine::new().await, Machine::new().await);
    one.append(1, 10).await;
    two.append(1, 10).await;
    let (standby, (first, _one)) = (Machine::new().await, one.serve().await);
    standby.follow(&first, 10).await;
    let (second, _two) = two.serve().await;
    let reason = refused(&standby, &second).await;
    assert!(reason.contains("diverged: record 10"), "{reason}");
    two.append(11, 20).await;
    let reason = refused(&standby, &second).await;
    assert!(reason.contains("diverged: record 10"), "{reason}");
    standby.follow(&first, 10).await;
}

/// Only the lengths were compared. The records 6 to 10 of the old primary then stayed in its log, with those of
/// the new one after them.
#[tokio::test]
async fn regression_an_old_primary_with_records_of_its_own_does_not_follow() {
    let (old, new) = (Machine::new().await, Machine::new().await);
    old.append(1, 5).await;
    let (address, serving) = old.serve().await;
    new.follow(&address, 5).await;
    serving.abort();
    old.append(6, 10).await;
    promote(&new.wal, new.path()).await.unwrap();
    new.append(6, 20).await;
    let (address, _serving) = new.serve().await;
    let reason = refused(&old, &address).await;
    assert!(reason.contains("diverged: record 10"), "{reason}");
    assert_eq!(old.wal.durable_lsn(), Lsn::new(10));

    // Without records of its own, it can follow.
    let standby = Machine::new().await;
    standby.follow(&address, 20).await;
}

/// The history does not show that the primary's log was replaced.
#[tokio::test]
async fn a_primary_whose_last_common_record_is_another_one_is_not_followed() {
    let (one, two) = (Machine::new().await, Machine::new().await);
    one.append(1, 10).await;
    let standby = Machine::new().await;
    let (address, _one) = one.serve().await;
    standby.follow(&address, 10).await;
    std::fs::copy(one.path().join("history"), two.path().join("history")).unwrap();
    for number in 1..=10 {
        two.wal.append(format!("other {number}")).await.unwrap();
    }
    let (address, _two) = two.serve().await;
    let reason = refused(&standby, &address).await;
    assert!(reason.contains("record 10 has other bytes"), "{reason}");
}

/// Appends records that fill a segment each.
async fn fill(primary: &Machine, count: u64) -> u64 {
    for _ in 0..count {
        primary.wal.append(vec![0; 40 * 1024]).await.unwrap();
    }
    primary.wal.durable_lsn().get()
}

/// The first record that a machine has.
fn oldest(machine: &Machine) -> u64 {
    let list = machine.wal.segments().list();
    let finished = list.finished.first().map(FinishedSegment::first);
    let open = list.open.map(|header| header.base);
    finished.or(open).map_or(0, Lsn::get)
}

/// Follows until the log begins after record `lsn`.
async fn follow_until_truncated(standby: &Machine, address: &str, lsn: u64) {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut segments = standby.wal.segments();
    let truncated = async {
        while oldest(standby) <= lsn {
            assert!(segments.changed().await);
        }
    };
    let truncation = Truncation::WithPrimary;
    tokio::select! {
        () = sleep(LIMIT) => panic!("the log is not truncated"),
        ended = follow(&standby.wal, standby.path(), stream, truncation) => panic!("{ended:?}"),
        () = truncated => {}
    }
}

/// The log of the standby grew forever.
#[tokio::test]
async fn regression_a_standby_truncates_with_its_primary() {
    let (primary, standby, archive) = (
        Machine::new().await,
        Machine::new().await,
        Machine::new().await,
    );
    let last = fill(&primary, 10).await;
    let (address, _serving) = primary.serve().await;
    standby.follow(&address, last).await;
    archive.follow(&address, last).await;
    primary.wal.truncate_before(Lsn::new(6)).await.unwrap();
    follow_until_truncated(&standby, &address, 4).await;

    // Everything but the last record was truncated. The logs still join.
    let last = fill(&primary, 10).await;
    standby.follow(&address, last).await;
    primary.wal.truncate_before(Lsn::new(last)).await.unwrap();
    follow_until_truncated(&standby, &address, last - 2).await;
    let next = fill(&primary, 1).await;
    standby.follow(&address, next).await;

    // By default it keeps everything.
    assert_eq!(oldest(&archive), 1);
    assert_eq!(archive.wal.durable_lsn(), Lsn::new(10));
}
