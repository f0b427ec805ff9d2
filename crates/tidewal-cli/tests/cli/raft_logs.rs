//! Damaged logs of raft nodes: a repair would roll back votes that the node has given. `tidewal-openraft` writes the
//! logs.

use std::fs;

use openraft::entry::EntryPayload;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{EntryOf, LogIdOf, VoteOf};
use tidewal::WalOptions;
use tidewal_openraft::RaftLogOptions;
use tidewal_openraft::v0_10::{RaftLog, RaftLogs};

use crate::helpers::{Log, tidewal, wait_for};

openraft::declare_raft_types!(
    pub Types: D = String, R = ()
);

/// Writes records of every kind that a node writes: votes, entries with these payloads, committed log ids, a
/// truncation and a purge.
async fn work(log: &mut RaftLog<Types>, payloads: &[String]) {
    log.save_vote(&VoteOf::<Types>::new(1, 1)).await.unwrap();
    let mut index = 0;
    for payload in payloads {
        append(log, index, payload.clone()).await;
        index += 1;
    }
    log.save_committed(Some(log_id(index - 2))).await.unwrap();
    log.truncate_after(Some(log_id(index - 2))).await.unwrap();
    append(log, index - 1, "another".into()).await;
    log.purge(log_id(0)).await.unwrap();
    log.save_vote(&VoteOf::<Types>::new(2, 1)).await.unwrap();
}

async fn append(log: &mut RaftLog<Types>, index: u64, payload: String) {
    let entry = EntryOf::<Types> {
        log_id: log_id(index),
        payload: EntryPayload::Normal(payload),
    };
    let (sender, flushed) = Types::oneshot();
    let callback = IOFlushed::signal(sender);
    log.append([entry], callback).await.unwrap();
    flushed.await.unwrap().unwrap();
}

fn log_id(index: u64) -> LogIdOf<Types> {
    let leader_id = LeaderId {
        term: 1,
        node_id: 1,
    };
    LogIdOf::<Types> { leader_id, index }
}

/// Makes the log of one node, or of two groups of which one is removed.
async fn make(log: &Log, options: WalOptions, has_groups: bool, payloads: &[String]) {
    let recovery = options.recover(&log.dir).await.unwrap();
    let raft = RaftLogOptions::new();
    if has_groups {
        let logs = RaftLogs::recover(recovery, &raft).await.unwrap();
        for group in [0, 7_000_000_000] {
            work(&mut logs.open_group(group).unwrap(), payloads).await;
        }
        while logs.remove_group(0).await.is_err() {
            // The log of the group is closed in the background.
            tokio::task::yield_now().await;
        }
    } else {
        let mut log = RaftLog::recover(recovery, &raft).await.unwrap();
        work(&mut log, payloads).await;
    }
}

/// Flips a bit of a record in the second segment, and checks what the commands say.
fn check(log: &Log) {
    // The log is closed in the background.
    wait_for(async {
        let wal = Log::options().open(&log.dir).await.unwrap();
        wal.close().await.unwrap();
    });
    tidewal(&["verify", log.path()]).assert_ok();
    let segments = log.segments();
    assert!(segments.len() > 2, "{segments:?}");
    log.damage(1, 4096 + 25);
    let before = fs::read(&segments[1]).unwrap();
    let verified = tidewal(&["verify", log.path()]);
    assert_eq!(verified.code, 1);
    let text = verified.text();
    assert!(
        text.contains("next: it looks like the log of a raft node")
            && text.contains("add a new one")
            && !text.contains("tidewal repair"),
        "{text}"
    );
    for flags in [&[][..], &["--yes"]] {
        let repaired = tidewal(&[&["repair", log.path()], flags].concat());
        repaired.assert_failed(1, "this log must not be repaired");
        let hint = "next: it looks like the log of a raft node";
        assert!(repaired.stderr.contains(hint), "{}", repaired.stderr);
    }
    assert_eq!(fs::read(&segments[1]).unwrap(), before);
    tidewal(&["repair", "--yes", "--not-raft", log.path()]).assert_ok();
}

#[test]
fn regression_the_log_of_a_raft_node_is_not_repaired() {
    for has_groups in [false, true] {
        let log = Log::empty();
        let payloads: Vec<_> = (0..300).map(|n| format!("command {n}")).collect();
        wait_for(make(&log, Log::options(), has_groups, &payloads));
        check(&log);
    }
}

/// Payloads of more than 64 KiB were not looked at, and `verify` recommended a repair. Those above 1 MiB are still not
/// looked at, but a node also writes votes.
#[test]
fn regression_the_log_of_a_raft_node_with_large_entries_is_recognized() {
    for (len, segment_size) in [(70_000, 1 << 20), (1_500_000, 4 << 20)] {
        for has_groups in [false, true] {
            let log = Log::empty();
            let payloads = vec!["x".repeat(len); 40];
            let options = Log::options().segment_size(segment_size);
            wait_for(make(&log, options, has_groups, &payloads));
            check(&log);
        }
    }
}

/// Every record is too large to be looked at.
#[test]
fn a_log_of_which_no_record_tells_is_repaired_only_on_request() {
    let log = Log::empty();
    wait_for(async {
        let options = Log::options().segment_size(4 << 20);
        let wal = options.open(&log.dir).await.unwrap();
        for _ in 0..5 {
            wal.append(vec![1; (1 << 20) + 1]).await.unwrap();
        }
        wal.close().await.unwrap();
    });
    log.damage(0, 4096 + 25);
    let unknown = "No record that can be read tells whether this is the log of a raft node";
    let verified = tidewal(&["verify", log.path()]);
    assert_eq!(verified.code, 1);
    assert!(verified.text().contains(unknown), "{}", verified.text());
    tidewal(&["repair", "--yes", log.path()]).assert_failed(1, unknown);
    tidewal(&["repair", "--yes", "--not-raft", log.path()]).assert_ok();
}
