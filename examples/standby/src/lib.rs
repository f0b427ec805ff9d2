//! A warm standby: a second machine copies the log of the first one into its own log, record by record at the
//! same LSNs, and can take over.
//!
//! The primary accepts connections ([`serve`]). The standby says which record it needs next ([`follow`]) and
//! appends the records that it receives. It reports the durable LSN of its own log, and the primary holds all
//! later records.
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
//! - A primary that receives a higher term than its own has been deposed. It stops serving ([`serve`] returns
//!   [`Deposed`]), and it must stop acknowledging appends to its clients.
//!
//! A deposed primary learns of a higher term only when a node connects to it. Before you promote a standby,
//! therefore make sure that the old primary is down or that no client can reach it (power it off, or take its
//! address away). The term is a second line of defense. The old primary may have records that were never sent. Its
//! log has diverged from the new one and cannot continue it: start the machine again as a standby in an empty
//! directory.

mod term;
mod wire;

use std::fmt;
use std::io;
use std::path::Path;

use tidewal::{HoldOptions, Lsn, OrderedAppender, Wal};
use tokio::io::BufWriter;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::wire::Hello;

/// The error that ends [`serve`] or [`follow`].
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A standby has a higher term: another machine was promoted. Stop acknowledging appends.
#[derive(Debug)]
pub struct Deposed;

impl fmt::Display for Deposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another machine was promoted")
    }
}

impl std::error::Error for Deposed {}

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

/// Serves a log to standbys, one after the other, until a standby sends a higher term.
///
/// # Errors
///
/// [`Deposed`], and the errors of the listener and of the file with the term. An error with one standby ends only
/// that standby's connection.
pub async fn serve(wal: &Wal, dir: &Path, listener: TcpListener) -> Result<(), Error> {
    let term = term::load(dir)?;
    loop {
        let (stream, peer) = listener.accept().await?;
        match serve_one(wal, term, stream).await {
            Err(error) if error.is::<Deposed>() => return Err(error),
            Err(error) => eprintln!("standby {peer}: {error}"),
            Ok(()) => return Ok(()),
        }
    }
}

/// Sends records until the log is closed.
async fn serve_one(wal: &Wal, term: u64, stream: TcpStream) -> Result<(), Error> {
    let (mut input, output) = stream.into_split();
    let hello = wire::read_hello(&mut input).await?;
    if hello.term > term {
        return Err(Deposed.into());
    }
    // Without the hold, a standby that was disconnected for a long time would find its records truncated. With
    // `Release`, such a standby does not stop the primary. It has to start again in an empty directory.
    let options = HoldOptions::new().name("standby");
    let hold = wal.hold_with(hello.next, options.overflow(tidewal::HoldOverflow::Release))?;
    tokio::select! {
        sent = send(wal, term, hello.next, output) => sent,
        ended = hear(input, &hold) => ended,
    }
}

async fn send(wal: &Wal, term: u64, from: Lsn, output: OwnedWriteHalf) -> Result<(), Error> {
    let mut output = BufWriter::new(output);
    wire::write_hello(&mut output, Hello { term, next: from }).await?;
    let mut follower = wal.follow(from);
    while let Some(record) = follower.try_next().await? {
        wire::write_record(&mut output, &record).await?;
        if record.lsn >= wal.durable_lsn() {
            wire::flush(&mut output).await?;
        }
    }
    wire::flush(&mut output).await?;
    Ok(())
}

/// Receives the durable LSNs of the standby, and moves the hold to them.
async fn hear(mut input: OwnedReadHalf, hold: &tidewal::Hold) -> Result<(), Error> {
    loop {
        let durable = wire::read_lsn(&mut input).await?;
        hold.advance(durable.next())?;
    }
}

/// Follows a primary and appends its records to `wal`, until the connection ends. Connect again then.
///
/// The log in `dir` must have no other records than those that it received from a primary.
///
/// # Errors
///
/// - The errors of the connection and of the log.
/// - The primary's term is lower than that of `dir`.
/// - The primary cannot serve the next record, because it was truncated or because the logs have diverged.
pub async fn follow(wal: &Wal, dir: &Path, stream: TcpStream) -> Result<(), Error> {
    let known = term::load(dir)?;
    let (mut input, mut output) = stream.into_split();
    // Records from the previous connection may still be on their way to the disk and must not be requested again.
    let next = wal.sync().await?.next();
    wire::write_hello(&mut output, Hello { term: known, next }).await?;
    let hello = wire::read_hello(&mut input).await?;
    if hello.term < known {
        return Err("the primary was deposed".into());
    }
    // Stored before the first record of this term is acknowledged, so no older primary is followed from then on.
    term::store(dir, hello.term)?;
    tokio::select! {
        received = receive(wal, input, next) => received,
        reported = report(wal, output) => reported,
    }
}

async fn receive(wal: &Wal, mut input: OwnedReadHalf, mut next: Lsn) -> Result<(), Error> {
    // If one append is refused, no later record may be appended: it would get the LSN of the refused one.
    let appender: OrderedAppender = wal.ordered();
    while let Some(record) = wire::read_record(&mut input).await? {
        if record.lsn != next {
            return Err(format!("got record {} in place of {next}", record.lsn).into());
        }
        drop(appender.submit(record.payload).await?);
        next = next.next();
    }
    Ok(())
}

/// Sends the durable LSN of this log to the primary whenever it has moved.
async fn report(wal: &Wal, mut output: OwnedWriteHalf) -> Result<(), Error> {
    let mut durable = wal.subscribe_durable();
    while let Some(lsn) = durable.next().await {
        wire::write_lsn(&mut output, lsn).await?;
    }
    Ok(())
}
