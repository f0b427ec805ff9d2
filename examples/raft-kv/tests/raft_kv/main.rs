//! `raft-kv` as a cluster of processes that are killed, over real HTTP: acknowledged writes survive,
//! reads are linearizable, and a new node joins by a snapshot.

mod clients;
mod cluster;

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use tokio::time::timeout;

use crate::clients::Load;
use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_are_killed_and_nothing_is_lost() {
    timeout(PATIENCE, async {
        let mut cluster = Cluster::start(&[1, 2, 3]).await;
        let load = Load::start(&cluster, CLIENTS);
        load.acknowledged(200).await;
        for _ in 0..3 {
            let leader = cluster.leader().await;
            println!("node {leader} leads, and is killed");
            cluster.kill(leader).await;
            load.acknowledged(150).await;
            cluster.restart(leader).await;
            load.acknowledged(50).await;
        }

        // Entries that the leader has purged reach the new node only by a snapshot.
        let purged = cluster.purged(cluster.leader().await).await;
        assert!(purged > 100, "the leader has purged up to {purged} only");
        println!("node 4 joins");
        cluster.spawn_new(4).await;
        cluster.add(4).await;
        load.acknowledged(50).await;
        // Three of four nodes are a majority, so the new node is needed now.
        let leader = cluster.leader_but(4).await;
        println!("node {leader} is killed");
        cluster.kill(leader).await;
        load.acknowledged(150).await;

        println!("all are killed");
        for id in cluster.running() {
            cluster.kill(id).await;
        }
        for id in 1..=4 {
            cluster.restart(id).await;
        }
        load.acknowledged(50).await;
        let history = load.finish().await;
        println!("{} operations: {}", history.len(), history.summary());
        history.check().unwrap();
    })
    .await
    .expect("the cluster works in time");
}

/// The check of the test above fails if it should.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_lost_its_logs_is_noticed() {
    timeout(PATIENCE, async {
        let mut cluster = Cluster::start(&[1, 2, 3]).await;
        let load = Load::start(&cluster, 2);
        load.acknowledged(30).await;
        load.pause().await;
        for id in 1..=3 {
            cluster.kill(id).await;
            cluster.forget(id);
        }
        for id in 1..=3 {
            cluster.spawn_new(id).await;
        }
        cluster.init(&[1, 2, 3]).await;
        let history = load.finish().await;
        assert!(history.check().is_err());
    })
    .await
    .expect("the cluster works in time");
}

/// A leader that is stopped and continued believes that it still leads. It must not answer from its
/// own state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_answers_nothing_stale() {
    timeout(PATIENCE, async {
        let cluster = Cluster::start(&[1, 2, 3]).await;
        let load = Load::start(&cluster, CLIENTS);
        load.acknowledged(50).await;
        for _ in 0..4 {
            let leader = cluster.leader().await;
            println!("node {leader} leads, and is stopped");
            cluster.pause(leader);
            load.acknowledged(50).await;
            cluster.resume(leader);
            load.acknowledged(30).await;
        }
        let history = load.finish().await;
        println!("{} operations: {}", history.len(), history.summary());
        history.check().unwrap();
    })
    .await
    .expect("the cluster works in time");
}

/// A node whose disk is full prints the reason and exits. The others keep working, and the node catches
/// up once there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_is_full_says_why_and_ends() {
    timeout(PATIENCE, async {
        let mut cluster = Cluster::new();
        if !cluster.mount(3, 300 * 1024) {
            return println!("skipped: no file system can be mounted here");
        }
        let mut cluster = cluster.begin(&[1, 2, 3]).await;
        let load = Load::start(&cluster, CLIENTS);
        let fill = async {
            for number in 0.. {
                let leader = cluster.leader().await;
                let key = format!("large-{number}");
                cluster.put(leader, &key, "x".repeat(4000)).await;
                if cluster.is_gone(3).await {
                    return;
                }
            }
        };
        timeout(PATIENCE, fill)
            .await
            .expect("the disk is full in time");
        let said = cluster.ended(3).await;
        assert!(said.contains("this node has ended"), "{said}");
        load.acknowledged(50).await;
        cluster.resize(3, 64 * 1024 * 1024);
        cluster.restart(3).await;
        let leader = cluster.leader_but(3).await;
        cluster.kill(leader).await;
        load.acknowledged(50).await;
        load.finish().await.check().unwrap();
    })
    .await
    .expect("the cluster works in time");
}

/// A node whose volume is not mounted must not begin anew: it may vote twice in one term.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_log_does_not_start() {
    timeout(PATIENCE, async {
        let mut cluster = Cluster::start(&[1, 2, 3]).await;
        let load = Load::start(&cluster, CLIENTS);
        load.acknowledged(20).await;
        cluster.kill(3).await;
        let said = cluster.refusal(3, true).await;
        assert!(said.contains("there is a log in"), "{said}");
        cluster.restart(3).await;
        cluster.kill(3).await;
        cluster.forget(3);
        let said = cluster.refusal(3, false).await;
        assert!(said.contains("there is no log in"), "{said}");
        assert!(!cluster.has_files(3));
        load.acknowledged(20).await;
        load.finish().await.check().unwrap();
    })
    .await
    .expect("the cluster works in time");
}

/// A node that joins is killed again and again in the middle of writing the snapshot that it gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_killed_while_it_installs_a_snapshot() {
    timeout(PATIENCE, async {
        let mut cluster = Cluster::start(&[1, 2, 3]).await;
        let load = Load::start(&cluster, CLIENTS);
        let leader = cluster.leader().await;
        let keys: Vec<_> = (0..100).map(|number| format!("large-{number}")).collect();
        let put = |key| cluster.put(leader, key, "x".repeat(4000));
        join_all(keys.iter().map(|key| put(key))).await;
        // Entries that the leader has purged reach the new node only by a snapshot.
        while cluster.purged(cluster.leader().await).await < 200 {
            load.acknowledged(50).await;
        }
        cluster.spawn_new(4).await;
        for _ in 0..4 {
            cluster.kill_installing(4).await;
            cluster.restart(4).await;
        }
        cluster.add(4).await;
        load.acknowledged(100).await;
        let leader = cluster.leader_but(4).await;
        cluster.kill(leader).await;
        load.acknowledged(50).await;
        load.finish().await.check().unwrap();
    })
    .await
    .expect("the cluster works in time");
}

/// It stopped a node for good. When the client sent it again, it stopped the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regression_a_value_that_is_too_large_is_refused() {
    timeout(PATIENCE, async {
        let cluster = Cluster::start(&[1, 2, 3]).await;
        let leader = cluster.leader().await;
        let value = |len: usize| "x".repeat(len);
        let put = async |key: String, len| cluster.put(leader, &key, value(len)).await;
        let too_large = Some(StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(put("a".into(), 4097).await, too_large);
        let much_too_large = put("a".into(), 17 << 20).await;
        assert!(much_too_large.is_none() || much_too_large == too_large);
        let too_long = put(value(1025), 1).await;
        assert_eq!(too_long, Some(StatusCode::URI_TOO_LONG));
        assert_eq!(put(value(1024), 4096).await, Some(StatusCode::OK));
    })
    .await
    .expect("the cluster works in time");
}

const CLIENTS: u64 = 6;

/// The time limit of a whole test.
const PATIENCE: Duration = Duration::from_secs(240);
