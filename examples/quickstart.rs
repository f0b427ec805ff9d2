//! Many tasks append the lines of a text. Each task waits for its LSN before it appends the next line. Then the
//! log is dropped as a crash would leave it, recovered as a stream, and compared with the text.
//!
//!     cargo run --release --example quickstart [FILE]
//!
//! Without FILE it uses the first chapters of Moby-Dick, which are in the repository.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tidewal::{Lsn, Stats, Wal};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// How many tasks append at the same time.
const TASKS: usize = 64;

/// How many appends with a sync each are timed, for comparison.
const SAMPLE: usize = 200;

#[tokio::main]
async fn main() -> ExitCode {
    let mut report = String::new();
    let outcome = run(&mut report).await;
    // A reader that closes the pipe early, such as `head`, is no reason to fail.
    let _ = std::io::stdout().write_all(report.as_bytes());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(out: &mut String) -> Result<()> {
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(shipped_text, PathBuf::from);
    let lines = read_lines(&path)?;
    let dir = scratch_directory()?;
    writeln!(out, "{}: {} lines", path.display(), lines.len())?;
    writeln!(out, "log in {}", dir.path().display())?;

    let (acknowledged, stats, took) = append_all(dir.path(), &lines).await?;
    writeln!(
        out,
        "\n{TASKS} tasks appended them, each waiting until its line was on disk:"
    )?;
    report_appends(out, &stats, took)?;

    let (single, took_single) = one_sync_per_append(dir.path(), &lines)?;
    writeln!(
        out,
        "One write and one sync per append, timed on the same disk:"
    )?;
    report_comparison(out, &stats, took, single, took_single)?;

    let recovered = recover(dir.path(), &lines, &acknowledged).await?;
    writeln!(
        out,
        "\nThe log was dropped without closing it, and recovered as a stream:"
    )?;
    writeln!(out, "  {recovered}")?;
    writeln!(
        out,
        "Every line that was acknowledged came back, at its LSN, byte for byte."
    )?;
    Ok(())
}

fn read_lines(path: &Path) -> Result<Arc<[Vec<u8>]>> {
    let text =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    if text.is_empty() {
        return Err(format!("{} holds no lines to append", path.display()).into());
    }
    Ok(text
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect())
}

fn shipped_text() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/moby-dick.txt")
}

/// A directory on a real disk if possible. Many systems keep temporary files in memory, where a sync costs
/// nothing.
fn scratch_directory() -> Result<tempfile::TempDir> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("tidewal-quickstart-");
    Ok(if target.is_dir() {
        builder.tempdir_in(target)?
    } else {
        builder.tempdir()?
    })
}

/// Appends every line, and returns the LSN of each.
async fn append_all(dir: &Path, lines: &Arc<[Vec<u8>]>) -> Result<(Vec<Lsn>, Stats, Duration)> {
    let wal = Wal::open(dir).await?;
    let started = Instant::now();
    let tasks = (0..TASKS).map(|task| tokio::spawn(append_some(wal.clone(), lines.clone(), task)));
    let mut lsns = vec![Lsn::ZERO; lines.len()];
    for answers in try_join_all(tasks).await? {
        for (index, lsn) in answers? {
            lsns[index] = lsn;
        }
    }
    // `wal`, the last handle, is dropped here. Nothing waits until the log is closed.
    Ok((lsns, wal.stats(), started.elapsed()))
}

/// One task: every 64th line, one after the other.
async fn append_some(
    wal: Wal,
    lines: Arc<[Vec<u8>]>,
    task: usize,
) -> tidewal::Result<Vec<(usize, Lsn)>> {
    let mut answers = Vec::new();
    for index in (task..lines.len()).step_by(TASKS) {
        let lsn = wal.append(lines[index].clone()).await?;
        answers.push((index, lsn));
    }
    Ok(answers)
}

fn report_appends(out: &mut String, stats: &Stats, took: Duration) -> Result<()> {
    let Stats {
        records,
        syncs,
        written_bytes,
        payload_bytes,
        ..
    } = *stats;
    writeln!(out, "  records   {records:>12}")?;
    writeln!(
        out,
        "  syncs     {syncs:>12}   {:.1} records each",
        ratio(records, syncs)
    )?;
    writeln!(
        out,
        "  bytes     {written_bytes:>12}   {payload_bytes} of them text"
    )?;
    writeln!(
        out,
        "  µs        {:>12}   {:.1} a record",
        took.as_micros(),
        per(took, records)
    )?;
    Ok(())
}

/// Appends some lines to a plain file with a sync after each, as a service without group commit does.
fn one_sync_per_append(dir: &Path, lines: &[Vec<u8>]) -> Result<(usize, Duration)> {
    let mut file = fs::File::create_new(dir.join("one-sync-per-append"))?;
    // Written beforehand, so the comparison is not with a file that has to grow.
    file.write_all(&vec![0; lines.iter().take(SAMPLE).map(Vec::len).sum()])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let started = Instant::now();
    for line in lines.iter().take(SAMPLE) {
        file.write_all(line)?;
        file.sync_data()?;
    }
    Ok((lines.len().min(SAMPLE), started.elapsed()))
}

fn report_comparison(
    out: &mut String,
    stats: &Stats,
    took: Duration,
    single: usize,
    took_single: Duration,
) -> Result<()> {
    let each = per(took_single, single as u64);
    let all = each * to_f64(stats.records);
    let times = all / (took.as_secs_f64() * 1e6);
    writeln!(
        out,
        "  µs        {all:>12.0}   {each:.1} a record (timed with {single})"
    )?;
    writeln!(out, "  that is about {times:.0} times as long")?;
    Ok(())
}

/// Reads the log back and compares it with the acknowledged lines.
async fn recover(dir: &Path, lines: &[Vec<u8>], acknowledged: &[Lsn]) -> Result<String> {
    let started = Instant::now();
    let mut recovery = Wal::recover(dir).await?;
    let mut records = Vec::new();
    while let Some(record) = recovery.try_next().await? {
        records.push(record);
    }
    let took = started.elapsed();
    for (line, lsn) in lines.iter().zip(acknowledged) {
        let index = usize::try_from(lsn.get() - 1)?;
        match records.get(index) {
            Some(record) if record.lsn == *lsn && record.payload == *line => {}
            _ => return Err(format!("the record with LSN {lsn} is not what was appended").into()),
        }
    }
    let report = recovery.report();
    let (count, bytes) = (report.records, report.bytes);
    Ok(format!(
        "{count} records, {bytes} bytes in {} µs",
        took.as_micros()
    ))
}

fn ratio(amount: u64, parts: u64) -> f64 {
    to_f64(amount) / to_f64(parts.max(1))
}

fn per(took: Duration, count: u64) -> f64 {
    took.as_secs_f64() * 1e6 / to_f64(count.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "only for display")]
fn to_f64(number: u64) -> f64 {
    number as f64
}
