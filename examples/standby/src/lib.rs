//! A warm standby: a second machine copies the log of the first one into its own log, record by record at the
//! same LSNs, and can take over.
//!
//! The primary accepts connections ([`serve`]). The standby says which record it needs next ([`follow`]) and
//! appends the records that it receives. It reports the durable LSN of its own log, and the primary holds all
//! later records.
//!
//! Each side sends something at least every two seconds, and ends a connection on which nothing arrived for ten
//! seconds: a peer without power or network sends no packet that says so. The standby then connects again.
//!
//! # What it does not do
//!
//! It replicates asynchronously: records that the primary acknowledged a moment before it died may be missing on
//! the standby. And an operator decides which machine is the primary ([`promote`]). If the machines must decide
//! this themselves, and no acknowledged record may be lost, use a consensus protocol: `tidewal-openraft`.
//!
//! # Fencing
//!
//! If standbys followed two primaries, the logs would diverge. Each promotion therefore raises the *term*, a number
//! that is stored durably before the new primary serves. Both sides send their term first:
//!
//! - A standby does not follow a primary with a lower term than its own.
//! - A primary that receives a higher term than its own has been deposed. It closes its log, so it acknowledges
//!   no further append, and stops serving ([`serve`] returns [`Deposed`]).
//!
//! A deposed primary learns of a higher term only when a node connects to it. Before you promote a standby,
//! therefore make sure that the old primary is down or that no client can reach it (power it off, or take its
//! address away). The term is a second line of defense. The old primary may have records that were never sent. Its
//! log has diverged from the new one and cannot continue it: start the machine again as a standby in an empty
//! directory.

mod term;
mod wire;

use std::cmp::Ordering;
use std::io;
use std::path::Path;
use std::time::Duration;

use tidewal::{Hold, HoldOptions, HoldOverflow, Lsn, OrderedAppender, Wal};
use tokio::io::BufWriter;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::wire::{Hello, within};

/// The error that ends [`serve`], or [`follow`] permanently.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A standby has a higher term.
#[derive(Debug, thiserror::Error)]
#[error("another machine was promoted. This log is closed, and nothing more is acknowledged")]
pub struct Deposed;

/// Why [`follow`] has ended.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The connection has ended. Connect again.
    #[error("the connection to the primary has ended: {0}")]
    Connection(#[from] io::Error),
    /// Another connection would not help.
    #[error("{0}")]
    Final(Error),
}

impl From<tidewal::Error> for FollowError {
    fn from(error: tidewal::Error) -> Self {
        Self::Final(error.into())
    }
}

/// The interval of heartbeats while there is nothing else to send.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Makes the log in `dir` that of a primary: its term is now higher than that of any primary that it followed.
/// Returns the new term. Serve only after this has returned.
///
/// # Errors
///
/// If the term cannot be stored.
pub fn promote(dir: &Path) -> io::Result<u64> {
    let term = term::load(dir)? + 1;
    term::store(dir, term)?;
    Ok(term)
}

/// Serves a log to standbys until the log is closed, or until a standby sends a higher term. In the second case
/// this function closes the log.
///
/// # Errors
///
/// [`Deposed`], and the errors of the listener and of the file with the term. An error with one standby ends only
/// that standby's connection.
pub async fn serve(wal: &Wal, dir: &Path, listener: TcpListener) -> Result<(), Error> {
    let term = term::load(dir)?;
    // Concurrently: a slow or silent standby must not delay the hello with a higher term.
    let mut standbys = JoinSet::new();
    let mut log_ended = false;
    loop {
        tokio::select! {
            accepted = listener.accept(), if !log_ended => {
                let (stream, peer) = accepted?;
                let wal = wal.clone();
                standbys.spawn(async move { (peer, serve_one(&wal, term, stream).await) });
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

/// Sends records until the log is closed.
async fn serve_one(wal: &Wal, term: u64, stream: TcpStream) -> Result<(), Error> {
    let (mut input, mut output) = stream.into_split();
    let hello = within(wire::read_hello(&mut input)).await?;
    let next = hello.next;
    if hello.term > term {
        // The log is closed even after an error. The answer tells the standby that this term is lower.
        wal.clone().close().await.ok();
        wire::write_hello(&mut output, Hello { term, next })
            .await
            .ok();
        return Err(Deposed.into());
    }
    let hold = hold(wal, next);
    let next = match &hold {
        Ok(_) => next.min(wal.durable_lsn().next()),
        Err(tidewal::Error::Truncated { oldest, .. }) => *oldest,
        Err(error) => return Err(error.clone().into()),
    };
    wire::write_hello(&mut output, Hello { term, next }).await?;
    let hold = hold?;
    if next != hello.next {
        return Err(format!(
            "it needs record {}, and this log has {next} next",
            hello.next
        )
        .into());
    }
    tokio::select! {
        sent = send(wal, next, output) => sent,
        ended = hear(input, &hold) => ended,
    }
}

/// Without the hold, a standby that was disconnected for a long time would find its records truncated. With
/// `Release`, such a standby does not stop the primary. It has to start again in an empty directory.
fn hold(wal: &Wal, from: Lsn) -> tidewal::Result<Hold> {
    let options = HoldOptions::new().name("standby");
    wal.hold_with(from, options.overflow(HoldOverflow::Release))
}

async fn send(wal: &Wal, from: Lsn, output: OwnedWriteHalf) -> Result<(), Error> {
    let mut output = BufWriter::new(output);
    let mut follower = wal.follow(from);
    loop {
        match timeout(HEARTBEAT, follower.try_next())
            .await
            .ok()
            .transpose()?
        {
            None => wire::write_heartbeat(&mut output).await?,
            Some(None) => return Ok(wire::flush(&mut output).await?),
            Some(Some(record)) => {
                wire::write_record(&mut output, &record).await?;
                if record.lsn >= wal.durable_lsn() {
                    wire::flush(&mut output).await?;
                }
            }
        }
    }
}

/// Receives the durable LSNs of the standby, and moves the hold to them.
async fn hear(mut input: OwnedReadHalf, hold: &Hold) -> Result<(), Error> {
    loop {
        let durable = within(wire::read_lsn(&mut input)).await?;
        hold.advance(durable.next())?;
    }
}

/// Follows a primary and appends its records to `wal`, until the connection or the log ends.
///
/// The log in `dir` must have no other records than those that it received from a primary.
///
/// # Errors
///
/// [`FollowError::Connection`] if the connection has ended. [`FollowError::Final`] in these cases:
///
/// - An error of the log or of the file with the term.
/// - The primary's term is lower than that of `dir`.
/// - The primary cannot serve the next record, because it was truncated or because the logs have diverged.
pub async fn follow(wal: &Wal, dir: &Path, stream: TcpStream) -> Result<(), FollowError> {
    let known = term::load(dir).map_err(|error| of_term(&error))?;
    let (mut input, mut output) = stream.into_split();
    // Records from the previous connection may still be on their way to the disk and must not be requested again.
    let next = wal.sync().await?.next();
    wire::write_hello(&mut output, Hello { term: known, next }).await?;
    let hello = within(wire::read_hello(&mut input)).await?;
    check(hello, Hello { term: known, next })?;
    // Stored before the first record of this term is acknowledged, so no older primary is followed from then on.
    term::store(dir, hello.term).map_err(|error| of_term(&error))?;
    tokio::select! {
        received = receive(wal, input, next) => received,
        reported = report(wal, output) => reported,
    }
}

/// Checks that a primary that has answered `got` to `sent` can be followed.
fn check(got: Hello, sent: Hello) -> Result<(), FollowError> {
    let problem = match got.next.cmp(&sent.next) {
        _ if got.term < sent.term => format!(
            "the primary was deposed: its term is {}, lower than {}",
            got.term, sent.term
        ),
        Ordering::Less => format!(
            "the logs have diverged: the primary's log ends before record {}, and this one does not",
            got.next
        ),
        Ordering::Greater => format!(
            "the primary's log begins with record {}, and record {} is needed. Start in an empty directory",
            got.next, sent.next
        ),
        Ordering::Equal => return Ok(()),
    };
    Err(FollowError::Final(problem.into()))
}

fn of_term(error: &io::Error) -> FollowError {
    FollowError::Final(format!("the file of the term: {error}").into())
}

async fn receive(wal: &Wal, mut input: OwnedReadHalf, mut next: Lsn) -> Result<(), FollowError> {
    // If one append is refused, no later record may be appended: it would get the LSN of the refused one.
    let appender: OrderedAppender = wal.ordered();
    loop {
        let record = wire::read_record(&mut input).await?;
        if let Some(refusal) = appender.refusal() {
            return Err(refusal.clone().into());
        }
        if record.is_heartbeat() {
            continue;
        }
        if record.lsn != next {
            let problem = format!("got record {} in place of {next}", record.lsn);
            return Err(FollowError::Final(problem.into()));
        }
        drop(appender.submit(record.payload).await?);
        next = next.next();
    }
}

/// Sends the durable LSN of this log to the primary whenever it has moved, and as a heartbeat.
async fn report(wal: &Wal, mut output: OwnedWriteHalf) -> Result<(), FollowError> {
    let mut durable = wal.subscribe_durable();
    loop {
        let lsn = match timeout(HEARTBEAT, durable.next()).await {
            Ok(Some(lsn)) => lsn,
            Ok(None) => return Ok(()),
            Err(_) => wal.durable_lsn(),
        };
        wire::write_lsn(&mut output, lsn).await?;
    }
}
