//! `tidewal append`

use std::io::BufReader;
use std::process::ExitCode;
use std::thread;

use tidewal::{PendingAppend, SyncPolicy, Wal, WalOptions};
use tokio::sync::mpsc;

use crate::cli::Append;
use crate::failure::Failure;
use crate::input::{self, Framing};
use crate::output::Out;
use crate::wait::wait_for;

pub fn run(args: &Append) -> Result<ExitCode, Failure> {
    wait_for(append_all(args))?;
    Ok(ExitCode::SUCCESS)
}

/// Another thread reads and submits records as fast as the log accepts them. This thread waits for
/// the answers, in order.
///
/// The log bounds the records that are submitted and not written. The channel bounds those that are
/// written and not printed. Even after an error, submitted records are made durable and the log is
/// closed.
async fn append_all(args: &Append) -> Result<(), Failure> {
    let wal = options(args).open(&args.dir).await?;
    let (sender, answers) = mpsc::channel(ANSWERS_MAX);
    let framing = if args.prefixed {
        Framing::Prefixed
    } else {
        Framing::Lines
    };
    let max = payload_max(args);
    let reader = thread::spawn({
        let wal = wal.clone();
        move || wait_for(submit_all(&wal, framing, max, &sender))
    });
    let printed = print_all(answers, args.quiet).await;
    // The reader of the output may have closed the pipe before the end of the input. The other
    // thread may then wait for input forever, and ends with the process.
    let submitted = match &printed {
        Ok(()) => reader.join().expect("the reading thread does not panic"),
        Err(_) => Ok(()),
    };
    let closed = wal.close().await.map_err(Failure::Log);
    printed.and(submitted).and(closed)
}

fn options(args: &Append) -> WalOptions {
    let policy = args
        .interval
        .map_or(SyncPolicy::Always, SyncPolicy::Interval);
    Wal::options()
        .sync_policy(policy)
        .segment_size(args.segment_size)
        .max_record_size(payload_max(args))
}

/// The largest record that a segment holds.
fn payload_max(args: &Append) -> usize {
    let room = args.segment_size.saturating_sub(SEGMENT_OVERHEAD);
    usize::try_from(room).unwrap_or(usize::MAX)
}

async fn submit_all(
    wal: &Wal,
    framing: Framing,
    max: usize,
    answers: &mpsc::Sender<PendingAppend>,
) -> Result<(), Failure> {
    let mut input = BufReader::with_capacity(BUFFER_LEN, std::io::stdin().lock());
    let mut number = 0;
    while let Some(record) = input::next(&mut input, framing, max, number + 1)? {
        number += 1;
        let pending = wal.submit(record).await?;
        if answers.send(pending).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn print_all(
    mut answers: mpsc::Receiver<PendingAppend>,
    is_quiet: bool,
) -> Result<(), Failure> {
    let mut out = Out::new();
    let (mut last, mut refused) = (None, None);
    while let Some(pending) = answers.recv().await {
        let lsn = match pending.await {
            Ok(lsn) => lsn,
            Err(error) => {
                refused = Some(error);
                break;
            }
        };
        last = Some(lsn);
        if !is_quiet {
            out.line(&lsn.to_string()).map_err(say_what_happened)?;
            if answers.is_empty() {
                out.flush().map_err(say_what_happened)?;
            }
        }
    }
    if let (true, Some(lsn)) = (is_quiet, last) {
        out.line(&lsn.to_string()).map_err(say_what_happened)?;
    }
    out.flush().map_err(say_what_happened)?;
    // The last LSN is printed before the error that ended the input.
    refused.map_or(Ok(()), |error| Err(error.into()))
}

/// For other commands a closed pipe is not an error. Here, a part of the input may not be appended,
/// which must not look like success.
fn say_what_happened(failure: Failure) -> Failure {
    match failure {
        Failure::Output(error) => Failure::Other(
            format!("cannot write LSNs to standard output: {error}"),
            "records in flight are durable, the rest of the input is not appended. See the last record with \
             `tidewal inspect`, or use --quiet"
                .into(),
        ),
        failure => failure,
    }
}

/// A segment's header block, and a record's header.
const SEGMENT_OVERHEAD: u64 = 4096 + 20;

/// Answers that wait to be printed.
const ANSWERS_MAX: usize = 16 * 1024;
const BUFFER_LEN: usize = 256 * 1024;
