//! A warm standby: a second machine copies the log of the first one into its own log, record by record at the
//! same LSNs, and can take over.
//!
//! The primary accepts connections ([`serve`]). The standby says which record it has last ([`follow`]), checks
//! that the primary's log continues its own, and appends the records that it receives. It reports the durable LSN
//! of its own log, and the primary holds this record and all later ones.
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
//! # Where the logs join
//!
//! Both sides send the history of their log first: which primary appended which records. Each promotion begins an
//! *epoch* with a higher *term* and a random id. The standby follows only if the primary has the epoch of the
//! standby's last record, and has not left it before that record. Otherwise the logs have diverged, even if they
//! have the same length. A history does not show that a machine lost records, for example because its log was
//! restored from an older backup. So the primary also sends the standby's last record again, and the standby
//! compares it with its own. (Each side reads that record from its log, which may finish a segment.)
//!
//! # Truncation
//!
//! With [`Truncation::WithPrimary`], the standby truncates its log as the primary does. This is right if the
//! service needs no record that the primary has truncated. A service that truncates after a snapshot needs the
//! snapshot too, and this example does not send snapshots. The default therefore is [`Truncation::Never`]: the
//! standby keeps everything, or its own service takes snapshots and truncates.
//!
//! # Fencing
//!
//! If standbys followed two primaries, the logs would diverge. Each promotion therefore raises the term, which is
//! stored durably before the new primary serves:
//!
//! - A standby does not follow a primary with a lower term than its own.
//! - A primary that receives a higher term than its own has been deposed. It closes its log, so it acknowledges
//!   no further append, and stops serving ([`serve`] returns [`Deposed`]).
//!
//! A deposed primary learns of a higher term only when a node connects to it. Before you promote a standby,
//! therefore make sure that the old primary is down or that no client can reach it (power it off, or take its
//! address away). The term is a second line of defense. The old primary may have records that were never sent. Its
//! log has then diverged from the new one and cannot continue it: start the machine again as a standby in an empty
//! directory.

mod history;
mod primary;
mod wire;

use std::io;
use std::path::Path;
use std::time::Duration;

use tidewal::{Lsn, OrderedAppender, Wal};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::history::History;
use crate::wire::{Hello, within};

pub use crate::primary::{Deposed, serve};

/// The error that ends [`serve`], or [`follow`] permanently.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

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

/// When the log of a standby is truncated.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Truncation {
    /// Never by this package.
    #[default]
    Never,
    /// When the primary has truncated its log.
    WithPrimary,
}

/// The interval of heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Makes this log that of a primary: its term is now higher than that of any primary that it followed. Returns the
/// new term. Serve only after this has returned.
///
/// # Errors
///
/// If the history cannot be stored, and the errors of the log.
pub async fn promote(wal: &Wal, dir: &Path) -> Result<u64, Error> {
    let mut history = History::load(dir)?;
    let term = history.term() + 1;
    history.begin(term, wal.sync().await?.next());
    history.store(dir)?;
    Ok(term)
}

/// Follows a primary and appends its records to `wal`, until the connection or the log ends.
///
/// The log in `dir` must have no other records than those that it received from a primary.
///
/// # Errors
///
/// [`FollowError::Connection`] if the connection has ended. [`FollowError::Final`] in these cases:
///
/// - An error of the log or of the file with the history.
/// - The primary's term is lower than that of `dir`.
/// - The primary cannot serve the next record, because it was truncated or because the logs have diverged.
pub async fn follow(
    wal: &Wal,
    dir: &Path,
    stream: TcpStream,
    truncation: Truncation,
) -> Result<(), FollowError> {
    let history = History::load(dir).map_err(|error| of_history(&error))?;
    let (mut input, mut output) = stream.into_split();
    // Records from the previous connection may still be on their way to the disk and must not be requested again.
    let end = wal.sync().await?;
    let first = end.max(Lsn::FIRST);
    let own = Hello {
        history,
        end,
        first,
    };
    wire::write_hello(&mut output, &own).await?;
    let hello = within(wire::read_hello(&mut input)).await?;
    check(&hello, &own)?;
    // Stored before the first record of this term is acknowledged, so no older primary is followed from then on.
    let stored = hello.history.store(dir);
    stored.map_err(|error| of_history(&error))?;
    let received = async {
        if hello.first == end {
            check_last(wal, &mut input, end).await?;
        }
        receive(wal, input, end.next(), truncation).await
    };
    tokio::select! {
        received = received => received,
        reported = report(wal, output) => reported,
    }
}

/// Checks that the primary that has answered `got` can be followed by `own`.
fn check(got: &Hello, own: &Hello) -> Result<(), FollowError> {
    let (term, known) = (got.history.term(), own.history.term());
    let next = own.end.next();
    let problem = if term < known {
        format!("the primary was deposed: its term is {term}, lower than {known}")
    } else if got.end < own.end {
        diverged(&format!(
            "the primary's log ends with record {}, and this one with {}",
            got.end, own.end
        ))
    } else if !own.history.is_followed_by(own.end, &got.history) {
        diverged(&format!(
            "record {} is from another primary, or is not in the primary's log",
            own.end
        ))
    } else if got.first > next {
        format!(
            "the primary's log begins with record {}, and record {next} is needed. Start in an empty directory",
            got.first
        )
    } else {
        return Ok(());
    };
    Err(FollowError::Final(problem.into()))
}

fn diverged(reason: &str) -> String {
    format!("the logs have diverged: {reason}")
}

fn of_history(error: &io::Error) -> FollowError {
    FollowError::Final(format!("the file of the history: {error}").into())
}

/// Compares the last record of this log with that of the primary, which it sends first.
async fn check_last(wal: &Wal, input: &mut OwnedReadHalf, end: Lsn) -> Result<(), FollowError> {
    let own = match wal.follow(end).try_next().await {
        Ok(own) => own,
        // It was truncated, so it cannot be compared.
        Err(tidewal::Error::Truncated { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let sent = loop {
        let sent = wire::read_record(input).await?;
        if sent.oldest().is_none() {
            break sent;
        }
    };
    if sent.lsn == end && own.is_none_or(|own| own.payload == sent.payload) {
        return Ok(());
    }
    let problem = diverged(&format!("record {end} has other bytes on the primary"));
    Err(FollowError::Final(problem.into()))
}

async fn receive(
    wal: &Wal,
    mut input: OwnedReadHalf,
    mut next: Lsn,
    truncation: Truncation,
) -> Result<(), FollowError> {
    // If one append is refused, no later record may be appended: it would get the LSN of the refused one.
    let appender: OrderedAppender = wal.ordered();
    loop {
        let sent = wire::read_record(&mut input).await?;
        if let Some(refusal) = appender.refusal() {
            return Err(refusal.clone().into());
        }
        if let Some(oldest) = sent.oldest() {
            truncate(wal, oldest, truncation).await?;
            continue;
        }
        if sent.lsn != next {
            let problem = format!("got record {} in place of {next}", sent.lsn);
            return Err(FollowError::Final(problem.into()));
        }
        drop(appender.submit(sent.payload).await?);
        next = next.next();
    }
}

/// Truncates this log as the primary has truncated its own. The last record stays, because the next connection
/// compares it.
async fn truncate(wal: &Wal, oldest: Lsn, truncation: Truncation) -> Result<(), FollowError> {
    if truncation == Truncation::WithPrimary {
        let before = oldest.min(wal.durable_lsn());
        wal.truncate_before(before).await?;
    }
    Ok(())
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
