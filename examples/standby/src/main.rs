//! A primary that appends the lines of its input, and a standby that follows it:
//!
//! ```text
//! seq 1000000 | cargo run -p standby -- primary data-1 127.0.0.1:7000
//! cargo run -p standby -- standby data-2 127.0.0.1:7000
//! cargo run -p standby -- promote data-2
//! ```
//!
//! With a last argument `truncate`, the standby truncates its log when the primary does.
//!
//! The primary prints the LSN of each record that it acknowledges. The standby prints how far its log is
//! durable.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use standby::{Error, FollowError, Truncation, follow, promote, serve};
use tidewal::Wal;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("standby: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<(), Error> {
    match *arguments {
        ["primary", dir, address] => run_primary(dir.as_ref(), address).await,
        ["standby", dir, address] => run_standby(dir.as_ref(), address, Truncation::Never).await,
        ["standby", dir, address, "truncate"] => {
            run_standby(dir.as_ref(), address, Truncation::WithPrimary).await
        }
        ["promote", dir] => run_promote(dir.as_ref()).await,
        _ => Err(
            "usage: primary DIRECTORY ADDRESS, standby DIRECTORY ADDRESS [truncate], or \
                  promote DIRECTORY"
                .into(),
        ),
    }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("wal")
}

async fn run_primary(dir: &Path, address: &str) -> Result<(), Error> {
    let wal = Wal::open(log(dir)).await?;
    let listener = TcpListener::bind(address).await?;
    let (log, runtime) = (wal.clone(), Handle::current());
    // A thread, not a blocking task: the process must be able to end while this waits for input.
    std::thread::spawn(move || append_input(&log, &runtime));
    serve(&wal, dir, listener).await
}

fn append_input(wal: &Wal, runtime: &Handle) {
    for line in std::io::stdin().lines() {
        let appended = line
            .map_err(Error::from)
            .and_then(|line| Ok(runtime.block_on(wal.append(line))?));
        match appended {
            Ok(lsn) => println!("{lsn}"),
            Err(error) => return eprintln!("not appended: {error}"),
        }
    }
}

async fn run_promote(dir: &Path) -> Result<(), Error> {
    let wal = Wal::open(log(dir)).await?;
    println!("term {}", promote(&wal, dir).await?);
    wal.close().await?;
    Ok(())
}

async fn run_standby(dir: &Path, address: &str, truncation: Truncation) -> Result<(), Error> {
    let wal = Wal::open(log(dir)).await?;
    tokio::spawn(print_durable(wal.clone()));
    let mut last = String::new();
    loop {
        let problem = match connect_and_follow(&wal, dir, address, truncation).await {
            Err(FollowError::Final(error)) => return Err(error),
            Err(error) => error.to_string(),
            Ok(()) => continue,
        };
        if problem != last {
            eprintln!("{problem}");
            last = problem;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connect_and_follow(
    wal: &Wal,
    dir: &Path,
    address: &str,
    truncation: Truncation,
) -> Result<(), FollowError> {
    let stream = TcpStream::connect(address).await?;
    follow(wal, dir, stream, truncation).await
}

async fn print_durable(wal: Wal) {
    let mut durable = wal.subscribe_durable();
    while let Some(lsn) = durable.next().await {
        println!("{lsn}");
    }
}

/// The pause before the standby connects again.
const PAUSE: Duration = Duration::from_millis(200);
