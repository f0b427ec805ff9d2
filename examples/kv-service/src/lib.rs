//! A key-value service over HTTP. A change that it has acknowledged survives `kill -9` and power cuts.
//!
//! ```text
//! cargo run -p kv-service -- --dir data --listen 127.0.0.1:8080
//! curl -X PUT    http://127.0.0.1:8080/answer --data-binary 42   # its LSN, once it is on disk
//! curl           http://127.0.0.1:8080/answer                    # 42
//! curl -X DELETE http://127.0.0.1:8080/answer
//! curl -X POST   http://127.0.0.1:8080/snapshot                  # the service also takes them on its own
//! ```
//!
//! The state machine does the difficult part: it replays, applies in the order of the log, takes snapshots
//! and truncates. This file defines the state, its bytes, and what each error means to a client.
//!
//! `examples/dashboard` is this service with metrics.
//!
//! A key is one path segment. `snapshot` cannot be a key, because the last request above uses that path.

#![allow(
    clippy::missing_errors_doc,
    reason = "it is a library for `dashboard` only"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tidewal::typed::{BoxError, Logged, Postcard};
use tidewal::{Lsn, Wal, WalOptions};
use tidewal_state::{SnapshotFormat, SnapshotPolicy, State, StateMachine};
use tokio::net::TcpListener;

pub type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

// ---------------------------------------------------------------------------------------------------
// The state, the commands that change it, and its snapshots

#[derive(Default)]
struct Table(BTreeMap<String, Bytes>);

#[derive(Deserialize, Serialize)]
enum Command {
    Put { key: String, value: Vec<u8> },
    Delete { key: String },
}

impl Logged for Command {
    type Codec = Postcard;
}

impl State for Table {
    type Command = Command;
    type Output = Lsn;
    type Snapshot = Pairs;

    fn apply(&mut self, lsn: Lsn, command: Command) -> Lsn {
        match command {
            Command::Put { key, value } => drop(self.0.insert(key, value.into())),
            Command::Delete { key } => drop(self.0.remove(&key)),
        }
        lsn
    }
}

/// A snapshot: each key and its value, with their lengths. Freezing copies the keys, and no value.
struct Pairs;

impl SnapshotFormat<Table> for Pairs {
    type Frozen = BTreeMap<String, Bytes>;

    fn freeze(table: &Table) -> Self::Frozen {
        table.0.clone()
    }

    fn write(frozen: Self::Frozen, output: &mut dyn Write) -> Result<(), BoxError> {
        output.write_all(&(frozen.len() as u64).to_le_bytes())?;
        for (key, value) in frozen {
            for bytes in [key.as_bytes(), &value[..]] {
                output.write_all(&(bytes.len() as u64).to_le_bytes())?;
                output.write_all(bytes)?;
            }
        }
        Ok(())
    }

    fn read(_: u32, input: &mut dyn Read) -> Result<Table, BoxError> {
        let pairs = (0..read_number(input)?).map(|_| {
            let (key, value) = (read_bytes(input)?, read_bytes(input)?);
            Ok((String::from_utf8(key)?, value.into()))
        });
        pairs.collect::<Result<_>>().map(Table)
    }
}

fn read_number(input: &mut dyn Read) -> Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_bytes(input: &mut dyn Read) -> Result<Vec<u8>> {
    let (len, mut bytes) = (read_number(input)?, Vec::new());
    input.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

// ---------------------------------------------------------------------------------------------------
// Startup and shutdown

pub async fn run(config: Config) -> Result<()> {
    let mut policy = SnapshotPolicy::default();
    if let Some(records) = config.snapshot_every {
        policy = policy.every_records(records).min_pause(Duration::ZERO);
    }
    let table = StateMachine::<Table>::options()
        .log(config.log)
        .snapshots(policy)
        .open(config.dir)
        .await?;
    println!("replayed {} records", table.stats().records_since_snapshot);

    let listener = TcpListener::bind(&config.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes(table.clone()))
        .with_graceful_shutdown(interrupt())
        .await?;
    Ok(table.close().await?)
}

async fn interrupt() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("kv-service: cannot listen for Ctrl-C: {error}");
        std::future::pending::<()>().await;
    }
}

/// The options of the command line.
pub struct Config {
    dir: PathBuf,
    listen: String,
    /// Records between two snapshots, instead of the default, which counts bytes.
    snapshot_every: Option<u64>,
    pub log: WalOptions,
}

impl Config {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut dir, mut listen, mut snapshot_every) = (None, None, None);
        let mut log = Wal::options();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            match name.as_str() {
                "--dir" => dir = Some(value),
                "--listen" => listen = Some(value),
                "--snapshot-every" => snapshot_every = Some(value.parse()?),
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

// ---------------------------------------------------------------------------------------------------
// HTTP

type Shared = extract::State<StateMachine<Table>>;

fn routes(table: StateMachine<Table>) -> Router {
    Router::new()
        .route("/{key}", get(read).put(write).delete(remove))
        .route("/snapshot", post(snapshot))
        .with_state(table)
}

async fn read(table: Shared, key: extract::Path<String>) -> Result<Response, NotDone> {
    let value = table.query(|table| table.0.get(&*key).cloned())?;
    Ok(value.map_or(StatusCode::NOT_FOUND.into_response(), Bytes::into_response))
}

async fn write(
    table: Shared,
    extract::Path(key): extract::Path<String>,
    body: Bytes,
) -> Result<String, NotDone> {
    let value = body.into();
    let lsn = table.execute(Command::Put { key, value }).await?;
    Ok(format!("{lsn}\n"))
}

async fn remove(
    table: Shared,
    extract::Path(key): extract::Path<String>,
) -> Result<String, NotDone> {
    let lsn = table.execute(Command::Delete { key }).await?;
    Ok(format!("{lsn}\n"))
}

async fn snapshot(table: Shared) -> (StatusCode, String) {
    match table.snapshot().await {
        Ok(lsn) => (StatusCode::OK, format!("{lsn}\n")),
        Err(error) => {
            let text = format!("{}\n", with_causes(&error));
            (StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

/// Why a request was not answered with 200.
struct NotDone(tidewal_state::Error);

impl NotDone {
    /// 500 means that the outcome is unknown. After any other error, nothing was changed. A poisoned log takes no
    /// more records, so the service answers changes with 503 until it is started again. It still serves reads. On a
    /// full disk, the state machine frees space by taking a snapshot.
    fn status(&self) -> StatusCode {
        match &self.0 {
            error if error.is_outcome_unknown() => StatusCode::INTERNAL_SERVER_ERROR,
            tidewal_state::Error::Log(tidewal::Error::StorageFull(_)) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            tidewal_state::Error::Log(tidewal::Error::TooLarge { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for NotDone {
    fn into_response(self) -> Response {
        let what = match self.0.is_outcome_unknown() {
            true => "outcome unknown: the change may or may not be present after a restart",
            false => "nothing was changed",
        };
        let text = format!("{what}: {}\n", with_causes(&self.0));
        (self.status(), text).into_response()
    }
}

impl From<tidewal_state::Error> for NotDone {
    fn from(error: tidewal_state::Error) -> Self {
        Self(error)
    }
}

/// An error and its causes, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
