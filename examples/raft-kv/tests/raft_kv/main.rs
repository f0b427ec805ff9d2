//! `raft-kv` as a cluster of processes that are killed, over real HTTP: what was acknowledged
//! is there, what is read is linearizable, and a new node joins by a snapshot.

mod checker;
mod clients;
mod cluster;

use std::time::Duration;

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

        // Entries that the leader has purged can reach the new node by a snapshot only.
        let purged = cluster.purged(cluster.leader().await).await;
        assert!(purged > 100, "the leader has purged up to {purged} only");
        println!("node 4 joins");
        cluster.add(4).await;
        load.acknowledged(50).await;
        // Of four nodes three are a majority, and so the new one is needed now.
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

/// The check of the test above can fail.
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
            cluster.restart(id).await;
        }
        cluster.init(&[1, 2, 3]).await;
        let history = load.finish().await;
        assert!(history.check().is_err());
    })
    .await
    .expect("the cluster works in time");
}

const CLIENTS: u64 = 6;

/// For a whole test.
const PATIENCE: Duration = Duration::from_secs(240);
