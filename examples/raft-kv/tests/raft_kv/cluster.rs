//! Nodes, each as a separate process.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use futures::future::{Either, select};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Nodes, running or dead. Dropping this kills those that run.
pub struct Cluster {
    // Dropped before the directory that they are in.
    mounts: Vec<Mount>,
    dir: TempDir,
    client: Client,
    nodes: BTreeMap<u64, Node>,
}

struct Node {
    addr: String,
    /// `None` while it is dead.
    child: Option<Child>,
}

/// A file system in memory.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, because a process that is being killed may still have open files in it.
        let unmount = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
        assert!(unmount.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn mount(dir: &Path, options: &str) -> bool {
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir);
    mount.stderr(Stdio::null());
    mount.status().is_ok_and(|status| status.success())
}

impl Cluster {
    /// No nodes yet.
    pub fn new() -> Self {
        Self {
            mounts: Vec::new(),
            dir: tempfile::tempdir().unwrap(),
            client: client(Duration::from_secs(5)),
            nodes: BTreeMap::new(),
        }
    }

    /// Starts a cluster of new nodes.
    pub async fn start(ids: &[u64]) -> Self {
        Self::new().begin(ids).await
    }

    /// Starts new nodes, and initializes a cluster of them.
    pub async fn begin(self, ids: &[u64]) -> Self {
        let mut cluster = self;
        for id in ids {
            cluster.spawn_new(*id).await;
        }
        cluster.init(ids).await;
        cluster
    }

    /// Initializes a cluster of nodes that are all new.
    pub async fn init(&self, ids: &[u64]) {
        let addrs: BTreeMap<_, _> = ids.iter().map(|id| (*id, &self.nodes[id].addr)).collect();
        let body = serde_json::to_vec(&addrs).unwrap();
        let url = format!("http://{}/init", self.nodes[&ids[0]].addr);
        let response = self.client.post(url).body(body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }

    /// Makes a node join.
    pub async fn add(&self, id: u64) {
        loop {
            let leader = self.leader().await;
            if self.join(leader, id).await {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Makes a node join that runs and has no snapshot, and kills it in the middle of writing the one
    /// that it gets. What it has written stays.
    pub async fn kill_installing(&mut self, id: u64) {
        let path = self.node_dir(id).join("snapshot.new");
        let _ = fs::remove_file(&path);
        // A pipe in the place of the file holds less than a snapshot, so the node waits in the middle.
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let pipe = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&path);
        let written = self.begun_snapshot(id, pipe.unwrap()).await;
        self.kill(id).await;
        fs::remove_file(&path).unwrap();
        fs::write(&path, written).unwrap();
        assert!(!self.node_dir(id).join("snapshot").exists());
    }

    /// Makes a node join, and returns the beginning of the snapshot that it writes into a pipe.
    async fn begun_snapshot(&self, id: u64, mut pipe: pipe::Receiver) -> Vec<u8> {
        let mut written = vec![0; 1000];
        let begins = timeout(PATIENCE, pipe.read_exact(&mut written));
        // The others may count it as a member before it has the snapshot.
        let begun = match select(pin!(begins), pin!(self.add(id))).await {
            Either::Left((begun, _)) => begun,
            Either::Right(((), begins)) => begins.await,
        };
        begun.expect("it gets a snapshot in time").unwrap();
        written
    }

    /// Asks a leader to add a node. Returns whether it did.
    async fn join(&self, leader: u64, id: u64) -> bool {
        let addr = &self.nodes[&id].addr;
        let body = serde_json::json!({"id": id, "addr": addr}).to_string();
        let url = format!("http://{}/join", self.nodes[&leader].addr);
        let request = self.client.post(url).timeout(Duration::from_secs(30));
        let response = request.body(body).send().await;
        response.is_ok_and(|response| response.status() == StatusCode::OK)
    }

    /// Whether a node does not answer.
    pub async fn is_gone(&self, id: u64) -> bool {
        self.metrics(id).await.is_none()
    }

    /// `kill -9`, and waits until the process is gone.
    pub async fn kill(&mut self, id: u64) {
        let child = self.nodes.get_mut(&id).and_then(|node| node.child.take());
        if let Some(mut child) = child {
            child.kill().await.unwrap();
        }
    }

    /// Stops a node's process with `SIGSTOP`.
    pub fn pause(&self, id: u64) {
        self.signal(id, "STOP");
    }

    pub fn resume(&self, id: u64) {
        self.signal(id, "CONT");
    }

    fn signal(&self, id: u64, signal: &str) {
        let child = self.nodes[&id].child.as_ref().unwrap();
        let pid = child.id().expect("it runs").to_string();
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Gives a node that does not exist yet a separate disk of this many bytes. Returns `false` if that
    /// is not possible here.
    pub fn mount(&mut self, id: u64, bytes: u64) -> bool {
        let dir = self.node_dir(id);
        fs::create_dir(&dir).unwrap();
        let mounted = mount(&dir, &format!("size={bytes}"));
        if mounted {
            self.mounts.push(Mount(dir));
        }
        mounted
    }

    /// Changes the size of a node's disk.
    pub fn resize(&self, id: u64, bytes: u64) {
        let dir = self.node_dir(id);
        assert!(mount(&dir, &format!("remount,size={bytes}")));
    }

    /// Waits until a node's process has ended by itself, and returns what it printed.
    pub async fn ended(&mut self, id: u64) -> String {
        let child = self.nodes.get_mut(&id).and_then(|node| node.child.take());
        let ended = timeout(PATIENCE, child.unwrap().wait_with_output()).await;
        let output = ended.expect("the process ends").unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    /// Sends a write to a node and returns the status. `None` if the node answered and closed the
    /// connection before everything was sent: not every client reads the answer in that case.
    pub async fn put(&self, id: u64, key: &str, value: String) -> Option<StatusCode> {
        let url = format!("http://{}/kv/{key}", self.nodes[&id].addr);
        let response = self.client.put(url).body(value).send().await;
        response.ok().map(|response| response.status())
    }

    /// Starts a node that was killed, at its old address.
    pub async fn restart(&mut self, id: u64) {
        if self.nodes[&id].child.is_none() {
            let addr = self.nodes[&id].addr.clone();
            self.spawn(id, &addr, false).await;
        }
    }

    /// Starts a new node, at its old address if there was one with this id.
    pub async fn spawn_new(&mut self, id: u64) {
        let old = self.nodes.get(&id).map(|node| node.addr.clone());
        let addr = old.unwrap_or_else(|| "127.0.0.1:0".into());
        self.spawn(id, &addr, true).await;
    }

    /// Starts a node that was killed, as a new one or not, and returns what it prints when it ends.
    pub async fn refusal(&self, id: u64, is_new: bool) -> String {
        let ends = self.command(id, "127.0.0.1:0", is_new).output();
        let output = timeout(PATIENCE, ends).await.expect("it ends").unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn has_files(&self, id: u64) -> bool {
        self.node_dir(id).exists()
    }

    /// Removes a dead node's files.
    pub fn forget(&self, id: u64) {
        fs::remove_dir_all(self.node_dir(id)).unwrap();
    }

    fn node_dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub fn running(&self) -> Vec<u64> {
        let running = self.nodes.iter().filter(|(_, node)| node.child.is_some());
        running.map(|(id, _)| *id).collect()
    }

    pub fn addrs(&self) -> Vec<String> {
        self.nodes.values().map(|node| node.addr.clone()).collect()
    }

    /// The leader, once a node reports that it leads.
    pub async fn leader(&self) -> u64 {
        loop {
            let mut leaders = Vec::new();
            for id in self.running() {
                if let Some(metrics) = self.metrics(id).await
                    && metrics["state"] == "Leader"
                {
                    leaders.push((metrics["current_term"].as_u64(), id));
                }
            }
            if let Some((_, id)) = leaders.into_iter().max() {
                return id;
            }
            sleep(PAUSE).await;
        }
    }

    /// The leader, or another node if the leader is `id`.
    pub async fn leader_but(&self, id: u64) -> u64 {
        let leader = self.leader().await;
        let others = self.running().into_iter().filter(|other| *other != id);
        others.max_by_key(|other| *other == leader).unwrap()
    }

    /// The index up to which a node has purged its log, 0 if it has not.
    pub async fn purged(&self, id: u64) -> u64 {
        let metrics = self.metrics(id).await.unwrap();
        metrics["purged"]["index"].as_u64().unwrap_or(0)
    }

    async fn metrics(&self, id: u64) -> Option<Value> {
        let url = format!("http://{}/metrics", self.nodes[&id].addr);
        let response = self.client.get(url).send().await.ok()?;
        serde_json::from_slice(&response.bytes().await.ok()?).ok()
    }

    fn command(&self, id: u64, listen: &str, is_new: bool) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_raft-kv"));
        command
            .args(["--id", &id.to_string(), "--listen", listen])
            .args(["--snapshot-every", "100", "--segment-size", "16384"])
            .args(["--max-value", "4096"])
            .args(is_new.then_some("--new"))
            .arg("--dir")
            .arg(self.node_dir(id))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn spawn(&mut self, id: u64, listen: &str, is_new: bool) {
        let mut child = self.command(id, listen, is_new).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, output.next_line()).await;
        let line = line.expect("the node gets ready in time").unwrap();
        let line = line.expect("the node says why on stderr");
        let node = Node {
            addr: line.strip_prefix("listening on ").unwrap().to_owned(),
            child: Some(child),
        };
        self.nodes.insert(id, node);
    }
}

pub fn client(limit: Duration) -> Client {
    let client = Client::builder().no_proxy().timeout(limit);
    client.build().unwrap()
}

/// The pause between two requests.
pub const PAUSE: Duration = Duration::from_millis(20);

const PATIENCE: Duration = Duration::from_secs(30);
