//! A warm standby: a second machine follows the log of the first one into a log of its own, record by
//! record at the same LSNs, and can take over.
//!
//! The primary accepts connections ([`serve`]). The standby says which record it needs next ([`follow`]) and
//! appends what comes. It reports how far its own log is durable; until then the primary holds the records.
//!
//! # What it is not
//!
//! It is asynchronous: what the primary acknowledged a moment before it died may be missing on the standby.
//! And a person decides who is the primary ([`promote`]). Where a machine has to decide that by itself, and
//! nothing acknowledged may be lost, use a consensus protocol: `tidewal-openraft`.
//!
//! # Fencing
//!
//! Two primaries must never both be followed, or the logs part. Each promotion raises the *term*, a number
//! that is stored durably before the new primary serves. Both sides send it first:
//!
//! - A standby does not follow a primary of an older term than its own.
//! - A primary that hears a newer term than its own has been deposed. It stops serving, and must stop
//!   acknowledging appends to its clients ([`serve`] returns [`Deposed`]).
//!
//! A deposed primary hears of a newer term only when a node connects to it. So before promoting a standby, make sure that
//! the old primary is down or cannot be reached by clients (power it off, take its address away): a term is
//! a second line of defense. The old primary may have records that were never sent. Its log has parted from
//! the new one and cannot be followed into: start it again as a standby in an empty directory.

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

/// What can end serving and following.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A standby knows a newer term: another machine was promoted. Acknowledge nothing any more.
#[derive(Debug)]
pub struct Deposed;

impl fmt::Display for Deposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another machine was promoted")
    }
}

impl std::error::Error for Deposed {}

/// Makes the log in `dir` the primary's: from now on its term is higher than that of any primary that it
/// followed. Serve only after this has returned.
///
/// # Errors
///
/// If the term cannot be stored.
pub fn promote(dir: &Path) -> io::Result<u64> {
    let term = term::load(dir)? + 1;
    term::store(dir, term)?;
    Ok(term)
}

/// Serves a log to standbys, one after the other, until a standby knows a newer term.
///
/// # Errors
///
/// [`Deposed`]; those of the listener and of the term's file. What goes wrong with one standby ends its
/// connection only.
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

/// Sends records for as long as the log is open.
async fn serve_one(wal: &Wal, term: u64, stream: TcpStream) -> Result<(), Error> {
    let (mut input, output) = stream.into_split();
    let hello = wire::read_hello(&mut input).await?;
    if hello.term > term {
        return Err(Deposed.into());
    }
    // Without the hold a standby that is away for long would find its records truncated. With `Release`
    // it does not stop the primary either: it has to begin anew then.
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

/// What is durable on the standby need not be kept for it.
async fn hear(mut input: OwnedReadHalf, hold: &tidewal::Hold) -> Result<(), Error> {
    loop {
        let durable = wire::read_lsn(&mut input).await?;
        hold.advance(durable.next())?;
    }
}

/// Follows a primary into a log of its own, until the connection ends. Connect again then.
///
/// The log in `dir` must have no records but those that it got this way.
///
/// # Errors
///
/// Those of the connection and of the log; if the primary's term is older than that of `dir`; if the
/// primary cannot serve what comes next, because it was truncated or because the logs have parted.
pub async fn follow(wal: &Wal, dir: &Path, stream: TcpStream) -> Result<(), Error> {
    let known = term::load(dir)?;
    let (mut input, mut output) = stream.into_split();
    // Records from the connection before may still be on their way to the disk and must not be requested
    // twice.
    let next = wal.sync().await?.next();
    wire::write_hello(&mut output, Hello { term: known, next }).await?;
    let hello = wire::read_hello(&mut input).await?;
    if hello.term < known {
        return Err("the primary was deposed".into());
    }
    // Before the first record of this term is acknowledged, no older primary is followed again.
    term::store(dir, hello.term)?;
    tokio::select! {
        received = receive(wal, input, next) => received,
        reported = report(wal, output) => reported,
    }
}

async fn receive(wal: &Wal, mut input: OwnedReadHalf, mut next: Lsn) -> Result<(), Error> {
    // If one append is refused, nothing behind it may be appended: it would get its LSN.
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

/// Tells the primary how far this log is durable, whenever that has moved.
async fn report(wal: &Wal, mut output: OwnedWriteHalf) -> Result<(), Error> {
    let mut durable = wal.subscribe_durable();
    while let Some(lsn) = durable.next().await {
        wire::write_lsn(&mut output, lsn).await?;
    }
    Ok(())
}
