//! A key-value service over HTTP whose answers survive `kill -9` and power cuts.
//!
//! ```text
//! cargo run -p kv-service -- --dir data --listen 127.0.0.1:8080
//! curl -X PUT    http://127.0.0.1:8080/answer --data-binary 42   # its LSN, once it is on disk
//! curl           http://127.0.0.1:8080/answer                    # 42
//! curl -X DELETE http://127.0.0.1:8080/answer
//! curl -X POST   http://127.0.0.1:8080/snapshot                  # also made every 1000 appends
//! ```
//!
//! What it shows, in the order of the file: how a service starts (snapshot, then the rest of the log),
//! how it applies what it appends in the order of the log, how it makes snapshots and gives the log's
//! space back, and what each error of the log means to a client.
//!
//! `examples/dashboard` is this service with metrics.
//!
//! A key is one path segment; `snapshot` is taken by the last of the requests above.

#![allow(
    clippy::missing_errors_doc,
    reason = "it is a library for `dashboard` only"
)]

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prost::Message;
use tidewal::{Lsn, PendingAppend, Wal, WalOptions};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, RwLock, mpsc, oneshot};
use tokio::task::JoinHandle;

pub type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

// ---------------------------------------------------------------------------------------------------
// Start and end

pub async fn run(config: Config) -> Result<()> {
    let mut table = load_snapshot(&config.dir)?;
    let snapshot = table.applied();
    let wal = replay(config.log, &config.dir, &mut table).await?;
    println!("replayed {} records", table.applied - snapshot.get());

    let listener = TcpListener::bind(&config.listen).await?;
    let schedule = Schedule::after(snapshot, config.snapshot_every);
    let (service, tasks) = Service::start(wal.clone(), table, config.dir, schedule);
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes(service))
        .with_graceful_shutdown(interrupt())
        .await?;

    // The service went with its last request, and its tasks end when they have done what was left.
    for task in tasks {
        task.await?;
    }
    Ok(wal.close().await?)
}

/// Brings `table` from its snapshot to the end of the log.
///
/// `start_at` is set in any case, also to 1 if there is no snapshot. Without it the log would begin
/// with whatever it has kept, and a snapshot that was lost, or replaced by an older one, would go
/// unnoticed. As it is, a log that has been truncated beyond the snapshot is an error
/// (`tidewal::Error::Truncated`), and so is one that ends before it (`BeyondEnd`).
async fn replay(log: WalOptions, dir: &Path, table: &mut Table) -> Result<Wal> {
    let start = table.applied().next();
    let mut recovery = log.start_at(start).recover(dir.join("log")).await?;
    while let Some(record) = recovery.try_next().await? {
        let command = Command::decode(record.payload)?;
        let action = command
            .action
            .ok_or_else(|| format!("record {} is a command of a later version", record.lsn))?;
        table.apply(record.lsn, action);
    }
    Ok(recovery.into_wal().await?)
}

async fn interrupt() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("kv-service: no ctrl-c: {error}");
        std::future::pending::<()>().await;
    }
}

/// What the command line says.
pub struct Config {
    dir: PathBuf,
    listen: String,
    snapshot_every: NonZeroU64,
    pub log: WalOptions,
}

impl Config {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut dir, mut listen) = (None, None);
        let mut snapshot_every = SNAPSHOT_EVERY;
        let mut log = Wal::options();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            match name.as_str() {
                "--dir" => dir = Some(value),
                "--listen" => listen = Some(value),
                "--snapshot-every" => snapshot_every = value.parse()?,
                "--segment-size" => log = log.segment_size(value.parse()?),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(Self {
            dir: dir.ok_or(USAGE)?.into(),
            listen: listen.ok_or(USAGE)?,
            snapshot_every,
            log,
        })
    }
}

const USAGE: &str =
    "usage: kv-service --dir DIR --listen ADDR [--snapshot-every N] [--segment-size BYTES]";

const SNAPSHOT_EVERY: NonZeroU64 = NonZeroU64::new(1000).expect("it is not zero");

// ---------------------------------------------------------------------------------------------------
// The state, and the commands that change it

/// The state of the service at one place of the log: the effect of all records up to `applied`, and
/// of no other. The two are one value behind one lock, so that nobody ever sees them apart; encoded,
/// it is a snapshot.
#[derive(Clone, PartialEq, Message)]
struct Table {
    #[prost(uint64, tag = "1")]
    applied: u64,
    #[prost(map = "string, bytes", tag = "2")]
    entries: HashMap<String, Vec<u8>>,
}

impl Table {
    fn applied(&self) -> Lsn {
        Lsn::new(self.applied)
    }

    /// The one way in which the state changes, in a replay as in service.
    fn apply(&mut self, lsn: Lsn, action: Action) {
        debug_assert_eq!(lsn, self.applied().next(), "records come in their order");
        match action {
            Action::Put(Put { key, value }) => self.entries.insert(key, value),
            Action::Delete(Delete { key }) => self.entries.remove(&key),
        };
        self.applied = lsn.get();
    }
}

/// What a record holds.
#[derive(Clone, PartialEq, Message)]
struct Command {
    #[prost(oneof = "Action", tags = "1, 2")]
    action: Option<Action>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Action {
    #[prost(message, tag = "1")]
    Put(Put),
    #[prost(message, tag = "2")]
    Delete(Delete),
}

#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Delete {
    #[prost(string, tag = "1")]
    key: String,
}

// ---------------------------------------------------------------------------------------------------
// Appending, and applying in the order of the log

/// What the requests share. Its tasks end after its last reference is dropped.
struct Service {
    wal: Wal,
    table: Arc<RwLock<Table>>,
    submitted: Mutex<mpsc::UnboundedSender<Submitted>>,
    snapshots: mpsc::Sender<SnapshotRequest>,
}

/// A command on its way: into the log, then into the table, then the answer.
struct Submitted {
    action: Action,
    pending: PendingAppend,
    answer: oneshot::Sender<tidewal::Result<Lsn>>,
}

impl Service {
    fn start(
        wal: Wal,
        table: Table,
        dir: PathBuf,
        schedule: Schedule,
    ) -> (Arc<Self>, [JoinHandle<()>; 2]) {
        let table = Arc::new(RwLock::new(table));
        let (submitted, commands) = mpsc::unbounded_channel();
        let (snapshots, requests) = mpsc::channel(1);
        let applier = Applier {
            table: Arc::clone(&table),
            snapshots: snapshots.clone(),
            schedule,
        };
        let snapshotter = Snapshotter {
            wal: wal.clone(),
            table: Arc::clone(&table),
            dir,
        };
        let tasks = [
            tokio::spawn(applier.run(commands)),
            tokio::spawn(snapshotter.run(requests)),
        ];
        let service = Self {
            wal,
            table,
            submitted: Mutex::new(submitted),
            snapshots,
        };
        (Arc::new(service), tasks)
    }

    /// Returns once the command is on disk and applied, so that a read which comes after the answer
    /// sees it, and no read ever sees what a crash could take back.
    ///
    /// Two requests for one key may get LSNs 5 and 6 and be woken in either order. If each applied its
    /// own command the table could end with 5, and a replay with 6. So the requests do not apply
    /// anything: under one lock they submit to the log and then queue the command for the [`Applier`],
    /// which makes the order of that queue the order of the LSNs. The lock is not held while the disk
    /// works, so that all who wait still share their syncs. The alternative, an LSN with each key to
    /// apply only what is newer, needs tombstones for deleted keys, and has to find out for a snapshot
    /// up to where the LSNs are complete.
    ///
    /// A client that goes away drops this future at any await, which changes nothing about that: in
    /// `submit` nothing was appended yet, and from there to the queue there is no await. What is in
    /// the log is applied, whoever still wants to hear of it.
    async fn append(&self, action: Action) -> tidewal::Result<Lsn> {
        let command = Command {
            action: Some(action.clone()),
        };
        let (answer, applied) = oneshot::channel();
        let submitted = self.submitted.lock().await;
        let pending = self.wal.submit(command.encode_to_vec()).await?;
        // If the applier is gone the answer goes with it, which is noticed below.
        let _ = submitted.send(Submitted {
            action,
            pending,
            answer,
        });
        drop(submitted);
        applied.await.unwrap_or(Err(tidewal::Error::Interrupted))
    }
}

/// The task that applies the commands, one after the other, as they become durable.
struct Applier {
    table: Arc<RwLock<Table>>,
    snapshots: mpsc::Sender<SnapshotRequest>,
    schedule: Schedule,
}

impl Applier {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Submitted>) {
        while let Some(command) = commands.recv().await {
            let outcome = command.pending.await;
            // What certainly is not in the log has no LSN and leaves no gap. After an unknown outcome
            // the log takes nothing more, so that there is nothing to apply out of order either.
            if let Ok(lsn) = outcome {
                self.apply(lsn, command.action).await;
            }
            // The client may have gone.
            let _ = command.answer.send(outcome);
        }
    }

    async fn apply(&mut self, lsn: Lsn, action: Action) {
        self.table.write().await.apply(lsn, action);
        if self.schedule.is_due(lsn) {
            // If there is no room, a snapshot that was not begun yet will do for this one, too.
            let _ = self.snapshots.try_send(oneshot::channel().0);
        }
    }
}

/// When to make a snapshot: every so many records.
struct Schedule {
    every: u64,
    next: u64,
}

impl Schedule {
    fn after(snapshot: Lsn, every: NonZeroU64) -> Self {
        let (every, last) = (every.get(), snapshot.get());
        Self {
            every,
            next: last.saturating_add(every),
        }
    }

    fn is_due(&mut self, lsn: Lsn) -> bool {
        let due = lsn.get() >= self.next;
        if due {
            self.next = lsn.get().saturating_add(self.every);
        }
        due
    }
}

// ---------------------------------------------------------------------------------------------------
// Snapshots

/// Asks for a snapshot, and is told its LSN.
type SnapshotRequest = oneshot::Sender<Result<Lsn>>;

/// The task that makes the snapshots: one at a time, and to its end even if whoever asked for it goes
/// away, because two at once would write to the same temporary file.
struct Snapshotter {
    wal: Wal,
    table: Arc<RwLock<Table>>,
    dir: PathBuf,
}

impl Snapshotter {
    async fn run(self, mut requests: mpsc::Receiver<SnapshotRequest>) {
        while let Some(answer) = requests.recv().await {
            let outcome = self.snapshot().await;
            if let Err(error) = &outcome {
                eprintln!("kv-service: snapshot: {}", with_causes(&**error));
            }
            let _ = answer.send(outcome);
        }
    }

    /// Makes a snapshot, and then gives back the space of the records that are in it.
    ///
    /// The order is what makes it safe to be killed, or to lose power, at any point:
    ///
    /// - Before the rename there is a temporary file that nobody reads; the next snapshot overwrites
    ///   it. The old snapshot and its part of the log are there.
    /// - Between the rename and the sync of the directory a power cut may bring back either snapshot,
    ///   each of them whole: the file was synced before it got its name. Nothing was truncated, so that
    ///   the log goes on from the one as well as from the other.
    /// - After that sync the new snapshot stays. A truncation that has not happened, or in part, leaves
    ///   records that the start skips with `start_at`, and that the next truncation removes.
    ///
    /// So the log never begins after the record that follows the snapshot. If truncation came first, a
    /// crash could leave the old snapshot with a log that begins too late for it.
    async fn snapshot(&self) -> Result<Lsn> {
        let (table, dir) = (Arc::clone(&self.table), self.dir.clone());
        let write = move || {
            let (lsn, bytes) = encode_snapshot(&table.blocking_read());
            write_snapshot(&dir, &bytes).map(|()| lsn)
        };
        let lsn = tokio::task::spawn_blocking(write).await??;
        self.wal.truncate_before(lsn.next()).await?;
        Ok(lsn)
    }
}

/// A checksum, then the table. Appends wait for this moment, but not for the disk.
fn encode_snapshot(table: &Table) -> (Lsn, Vec<u8>) {
    let body = table.encode_to_vec();
    let checksum = crc32fast::hash(&body).to_le_bytes();
    (table.applied(), [&checksum[..], &body].concat())
}

fn decode_snapshot(bytes: &[u8]) -> Result<Table> {
    match bytes.split_first_chunk() {
        Some((checksum, body)) if crc32fast::hash(body) == u32::from_le_bytes(*checksum) => {
            Ok(Table::decode(body)?)
        }
        _ => Err("the snapshot is damaged".into()),
    }
}

fn write_snapshot(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join("snapshot.tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, dir.join("snapshot"))?;
    sync_directory(dir)
}

/// Reads the snapshot. Where there is none, the service begins before the first record.
///
/// This comes before the directory of the log is locked, so that a service which is still running may
/// write a newer snapshot meanwhile. Then either the log is still locked, or it has been truncated
/// beyond this snapshot, or it has all that follows it: two errors, and a good start.
fn load_snapshot(dir: &Path) -> Result<Table> {
    match fs::read(dir.join("snapshot")) {
        Ok(bytes) => decode_snapshot(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Table::default()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(unix)]
fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere directories cannot be synced.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

// ---------------------------------------------------------------------------------------------------
// HTTP

type Shared = extract::State<Arc<Service>>;

fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/{key}", get(read).put(write).delete(remove))
        .route("/snapshot", post(snapshot))
        .with_state(service)
}

async fn read(service: Shared, key: extract::Path<String>) -> Result<Vec<u8>, StatusCode> {
    let table = service.table.read().await;
    let value = table.entries.get(&*key).cloned();
    value.ok_or(StatusCode::NOT_FOUND)
}

async fn write(
    service: Shared,
    extract::Path(key): extract::Path<String>,
    body: Bytes,
) -> Result<String, NotDone> {
    let value = body.into();
    let lsn = service.append(Action::Put(Put { key, value })).await?;
    Ok(format!("{lsn}\n"))
}

async fn remove(
    service: Shared,
    extract::Path(key): extract::Path<String>,
) -> Result<String, NotDone> {
    let lsn = service.append(Action::Delete(Delete { key })).await?;
    Ok(format!("{lsn}\n"))
}

async fn snapshot(service: Shared) -> (StatusCode, String) {
    let (answer, outcome) = oneshot::channel();
    // If the task is gone the answer goes with it.
    let _ = service.snapshots.send(answer).await;
    let failed = |text| (StatusCode::INTERNAL_SERVER_ERROR, text);
    match outcome.await {
        Ok(Ok(lsn)) => (StatusCode::OK, format!("{lsn}\n")),
        Ok(Err(error)) => failed(format!("{}\n", with_causes(&*error))),
        Err(_) => failed("there are no snapshots any more\n".into()),
    }
}

/// Why a PUT or DELETE was not answered with 200.
struct NotDone(tidewal::Error);

impl NotDone {
    /// 500 is kept for outcomes that are unknown: after any other answer nothing was changed. A log
    /// that has failed takes nothing more, so that 503 stays until the service is started again;
    /// until then it goes on serving reads.
    fn status(&self) -> StatusCode {
        match &self.0 {
            error if error.is_outcome_unknown() => StatusCode::INTERNAL_SERVER_ERROR,
            tidewal::Error::StorageFull(_) => StatusCode::INSUFFICIENT_STORAGE,
            tidewal::Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for NotDone {
    fn into_response(self) -> Response {
        let what = match self.0.is_outcome_unknown() {
            true => "outcome unknown, the change may or may not be there after a restart",
            false => "nothing was changed",
        };
        let text = format!("{what}: {}\n", with_causes(&self.0));
        (self.status(), text).into_response()
    }
}

impl From<tidewal::Error> for NotDone {
    fn from(error: tidewal::Error) -> Self {
        Self(error)
    }
}

/// An error and what is behind it, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
