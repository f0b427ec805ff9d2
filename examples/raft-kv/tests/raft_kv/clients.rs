//! Clients that write and read, and record every call.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use reqwest::{Client, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cluster::{Cluster, PAUSE, client};
use tidewal_testing::harness::linearizable::{self, Kind, Op, UNSET};

/// Running clients.
pub struct Load {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

/// The state that the clients share.
struct Shared {
    http: Client,
    /// The nodes that the clients know. They learn of a node that joins later when it leads.
    addrs: Vec<String>,
    /// Ticks whenever an operation starts or ends.
    clock: AtomicU64,
    last_value: AtomicU64,
    acknowledged: watch::Sender<u64>,
    is_over: watch::Sender<bool>,
    history: Mutex<History>,
}

/// The calls for each key.
#[derive(Default)]
pub struct History(BTreeMap<String, Vec<Op>>);

impl Load {
    pub fn start(cluster: &Cluster, clients: u64) -> Self {
        let shared = Arc::new(Shared {
            // A request to a node that is stopped waits this long.
            http: client(Duration::from_secs(1)),
            addrs: cluster.addrs(),
            clock: AtomicU64::new(1),
            last_value: AtomicU64::new(UNSET),
            acknowledged: watch::Sender::new(0),
            is_over: watch::Sender::new(false),
            history: Mutex::default(),
        });
        let workers = (0..clients).map(|number| {
            let worker = Worker::new(shared.clone(), number);
            tokio::spawn(worker.work())
        });
        Self {
            workers: Mutex::new(workers.collect()),
            shared,
        }
    }

    /// Waits until this many more writes are acknowledged.
    pub async fn acknowledged(&self, more: u64) {
        let mut acknowledged = self.shared.acknowledged.subscribe();
        let goal = *acknowledged.borrow() + more;
        acknowledged.wait_for(|now| *now >= goal).await.unwrap();
    }

    /// Stops the clients.
    pub async fn pause(&self) {
        self.shared.is_over.send_replace(true);
        let workers = std::mem::take(&mut *self.workers.lock().unwrap());
        for worker in join_all(workers).await {
            worker.unwrap();
        }
    }

    /// Stops the clients, reads every key once more, and returns all calls.
    pub async fn finish(self) -> History {
        self.pause().await;
        self.shared.is_over.send_replace(false);
        let keys: Vec<_> = self
            .shared
            .history
            .lock()
            .unwrap()
            .0
            .keys()
            .cloned()
            .collect();
        // Most of the time a reader waits for its next try at the leader.
        let readers = keys
            .chunks(keys.len().div_ceil(READERS))
            .zip(FIRST_READER..);
        let read = readers.map(|(keys, number)| {
            let mut reader = Worker::new(self.shared.clone(), number);
            async move {
                for key in keys {
                    reader.read(key).await;
                }
            }
        });
        join_all(read).await;
        std::mem::take(&mut *self.shared.history.lock().unwrap())
    }
}

impl History {
    pub fn check(&self) -> Result<(), String> {
        for (key, ops) in &self.0 {
            linearizable::check(ops).map_err(|error| format!("{key}: {error}"))?;
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    pub fn summary(&self) -> String {
        let count = |wanted: Kind, known: bool| {
            let ops = self.0.values().flatten();
            ops.filter(|op| op.kind == wanted && op.end.is_some() == known)
                .count()
        };
        format!(
            "{} writes acknowledged, {} unknown, {} reads, {} keys",
            count(Kind::Write, true),
            count(Kind::Write, false),
            count(Kind::Read, true),
            self.0.len()
        )
    }

    fn note(&mut self, key: &str, op: Op) {
        self.0.entry(key.to_owned()).or_default().push(op);
    }
}

struct Worker {
    shared: Arc<Shared>,
    number: u64,
    random: Random,
    /// The node that is asked.
    addr: String,
}

/// The outcome of a request.
enum Outcome {
    Done(Option<String>),
    /// It certainly did nothing.
    Refused,
    Unknown,
}

impl Worker {
    fn new(shared: Arc<Shared>, number: u64) -> Self {
        Self {
            addr: shared.addrs[0].clone(),
            shared,
            number,
            random: Random(number.wrapping_add(1)),
        }
    }

    async fn work(mut self) {
        let mut own = 0;
        while !*self.shared.is_over.borrow() {
            let shared_key = format!("shared-{}", self.random.below(4));
            match self.random.below(4) {
                0 => {
                    own += 1;
                    let key = format!("own-{}-{own}", self.number);
                    self.write(&key).await;
                }
                1 => self.read(&shared_key).await,
                _ => self.write(&shared_key).await,
            }
        }
    }

    async fn write(&mut self, key: &str) {
        let value = self.shared.last_value.fetch_add(1, Ordering::SeqCst) + 1;
        while !*self.shared.is_over.borrow() {
            let start = self.tick();
            let outcome = self.send(key, Some(value)).await;
            let end = match outcome {
                Outcome::Done(_) => Some(self.tick()),
                Outcome::Unknown => None,
                Outcome::Refused => {
                    self.look_elsewhere().await;
                    continue;
                }
            };
            self.note(key, Kind::Write, value, start, end);
            if end.is_some() {
                self.shared.acknowledged.send_modify(|count| *count += 1);
            } else {
                self.look_elsewhere().await;
            }
            return;
        }
    }

    /// Asks any node first: a node that does not lead must not answer from its own state.
    async fn read(&mut self, key: &str) {
        self.ask_by_chance();
        while !*self.shared.is_over.borrow() {
            let start = self.tick();
            if let Outcome::Done(value) = self.send(key, None).await {
                let end = Some(self.tick());
                let value = value.map_or(UNSET, |value| value.parse().unwrap());
                return self.note(key, Kind::Read, value, start, end);
            }
            self.look_elsewhere().await;
        }
    }

    /// Writes a value, or reads.
    async fn send(&mut self, key: &str, value: Option<u64>) -> Outcome {
        let url = format!("http://{}/kv/{key}", self.addr);
        let request = match value {
            Some(value) => self.shared.http.put(url).body(value.to_string()),
            None => self.shared.http.get(url),
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Outcome::Refused,
            Err(_) => return Outcome::Unknown,
        };
        let status = response.status();
        let Ok(body) = response.text().await else {
            return Outcome::Unknown;
        };
        match status {
            StatusCode::OK => Outcome::Done(Some(body)),
            StatusCode::NOT_FOUND => Outcome::Done(None),
            StatusCode::MISDIRECTED_REQUEST => {
                if !body.is_empty() {
                    self.addr = body;
                }
                Outcome::Refused
            }
            StatusCode::SERVICE_UNAVAILABLE => Outcome::Unknown,
            other => panic!("{other}: {body}"),
        }
    }

    /// Tries again after a moment, sometimes at a random node, because the named leader may be dead.
    async fn look_elsewhere(&mut self) {
        sleep(PAUSE).await;
        if self.random.below(3) == 0 {
            self.ask_by_chance();
        }
    }

    fn ask_by_chance(&mut self) {
        let count = self.shared.addrs.len() as u64;
        let index = usize::try_from(self.random.below(count)).unwrap();
        self.addr = self.shared.addrs[index].clone();
    }

    fn tick(&self) -> u64 {
        self.shared.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, key: &str, kind: Kind, value: u64, start: u64, end: Option<u64>) {
        let op = Op {
            kind,
            value,
            start,
            end,
        };
        self.shared.history.lock().unwrap().note(key, op);
    }
}

/// How many clients read at the end, and the number of the first one.
const READERS: usize = 16;
const FIRST_READER: u64 = 1000;

/// Xorshift64 (Marsaglia 2003). Its state must not be 0.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
