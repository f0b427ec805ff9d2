//! A primary that appends the lines of its input, and a standby that follows it:
//!
//! ```text
//! seq 1000000 | cargo run -p standby -- primary data-1 127.0.0.1:7000
//! cargo run -p standby -- standby data-2 127.0.0.1:7000
//! cargo run -p standby -- promote data-2
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use standby::{Error, follow, promote, serve};
use tidewal::Wal;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["primary", dir, address] => run_primary(dir.as_ref(), address).await,
        ["standby", dir, address] => run_standby(dir.as_ref(), address).await,
        ["promote", dir] => {
            println!("term {}", promote(dir.as_ref())?);
            Ok(())
        }
        _ => {
            Err("usage: standby (primary | standby) DIRECTORY ADDRESS, or promote DIRECTORY".into())
        }
    }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("wal")
}

async fn run_primary(dir: &Path, address: &str) -> Result<(), Error> {
    let wal = Wal::open(log(dir)).await?;
    let listener = TcpListener::bind(address).await?;
    let log = wal.clone();
    tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lines() {
            let appended =
                line.map(|line| tokio::runtime::Handle::current().block_on(log.append(line)));
            match appended {
                Ok(Ok(lsn)) => println!("{lsn}"),
                other => return eprintln!("{other:?}"),
            }
        }
    });
    // This returns when another machine was promoted. The process then ends and acknowledges nothing more.
    serve(&wal, dir, listener).await
}

async fn run_standby(dir: &Path, address: &str) -> Result<(), Error> {
    let wal = Wal::open(log(dir)).await?;
    loop {
        if let Ok(stream) = TcpStream::connect(address).await {
            follow(&wal, dir, stream).await?;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
