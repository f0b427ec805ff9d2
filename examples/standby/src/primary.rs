//! The primary: it serves its log to standbys.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tidewal::{FinishedSegment, Hold, HoldOptions, HoldOverflow, Lsn, Wal};
use tokio::io::BufWriter;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::history::History;
use crate::wire::{self, Hello, within};
use crate::{Error, HEARTBEAT};

/// A standby has a higher term.
#[derive(Debug, thiserror::Error)]
#[error("another machine was promoted. This log is closed, and nothing more is acknowledged")]
pub struct Deposed;

/// Serves a log to standbys until the log is closed, or until a standby sends a higher term. In the second case
/// this function closes the log.
///
/// # Errors
///
/// [`Deposed`], and the errors of the file with the history. An error with one standby ends only that standby's
/// connection. If a connection cannot be accepted, for example because no file descriptor is free, this function
/// tries again.
pub async fn serve(wal: &Wal, dir: &Path, listener: TcpListener) -> Result<(), Error> {
    let history = own_history(dir)?;
    // Concurrently: a slow or silent standby must not delay the hello with a higher term.
    let mut standbys = JoinSet::new();
    let mut log_ended = false;
    loop {
        tokio::select! {
            (stream, peer) = accept(&listener), if !log_ended => {
                let (wal, history) = (wal.clone(), history.clone());
                standbys.spawn(async move { (peer, serve_one(&wal, history, stream).await) });
            }
            Some(served) = standbys.join_next() => match served? {
                (_, Ok(())) => log_ended = true,
                (_, Err(error)) if error.is::<Deposed>() => return Err(error),
                (peer, Err(error)) => eprintln!("standby {peer}: {error}"),
            },
            else => return Ok(()),
        }
    }
}

/// A log that was never promoted and never followed is the first primary.
fn own_history(dir: &Path) -> Result<History, Error> {
    let mut history = History::load(dir)?;
    if history.epochs.is_empty() {
        history.begin(0, Lsn::FIRST);
        history.store(dir)?;
    }
    Ok(history)
}

/// The next connection. No error of `accept` is permanent: a connection was reset, or there is no descriptor or
/// no memory at the moment.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => eprintln!("a connection was not accepted: {error}"),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Sends records until the log is closed.
async fn serve_one(wal: &Wal, history: History, stream: TcpStream) -> Result<(), Error> {
    let (mut input, mut output) = stream.into_split();
    let hello = within(wire::read_hello(&mut input)).await?;
    let mut answer = Hello {
        history,
        end: wal.durable_lsn(),
        first: hello.first,
    };
    if hello.history.term() > answer.history.term() {
        // The log is closed even after an error. The answer tells the standby that this term is lower.
        wal.clone().close().await.ok();
        wire::write_hello(&mut output, &answer).await.ok();
        return Err(Deposed.into());
    }
    let hold = hold(wal, hello.first)?;
    answer.first = hold.lsn().unwrap_or(hello.first);
    wire::write_hello(&mut output, &answer).await?;
    // If the standby has more records than this log, it ends the connection.
    let first = answer.first.min(answer.end.next());
    tokio::select! {
        sent = send(wal, first, output) => sent,
        ended = hear(input, &hold) => ended,
    }
}

/// Holds `first` and everything after it, or everything that the log still has.
///
/// Without the hold, a standby that was disconnected for a long time would find its records truncated. With
/// `Release`, such a standby does not stop the primary. It has to start again in an empty directory.
fn hold(wal: &Wal, first: Lsn) -> tidewal::Result<Hold> {
    let options = HoldOptions::new()
        .name("standby")
        .overflow(HoldOverflow::Release);
    match wal.hold_with(first, options.clone()) {
        Err(tidewal::Error::Truncated { .. }) => wal.hold_with(Lsn::ZERO, options),
        held => held,
    }
}

async fn send(wal: &Wal, from: Lsn, output: OwnedWriteHalf) -> Result<(), Error> {
    let mut output = BufWriter::new(output);
    let mut follower = wal.follow(from);
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            record = follower.try_next() => {
                let Some(record) = record? else {
                    return Ok(wire::flush(&mut output).await?);
                };
                wire::write_record(&mut output, &record).await?;
                if record.lsn >= wal.durable_lsn() {
                    wire::flush(&mut output).await?;
                }
            }
            _ = heartbeat.tick() => wire::write_heartbeat(&mut output, oldest(wal)).await?,
        }
    }
}

/// The first record that the log has.
fn oldest(wal: &Wal) -> Lsn {
    let list = wal.segments().list();
    let finished = list.finished.first().map(FinishedSegment::first);
    let open = list.open.map(|header| header.base);
    finished.or(open).unwrap_or(Lsn::ZERO)
}

/// Receives the durable LSNs of the standby, and moves the hold to them.
async fn hear(mut input: OwnedReadHalf, hold: &Hold) -> Result<(), Error> {
    loop {
        let durable = within(wire::read_lsn(&mut input)).await?;
        hold.advance(durable)?;
    }
}

/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
