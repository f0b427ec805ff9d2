//! Appends each line of its input to a log, prints its LSN once it is durable, and delivers it to an endpoint:
//!
//! ```text
//! cargo run -p outbox -- data http://127.0.0.1:8080/events
//! ```

use std::path::PathBuf;

use outbox::{Cursor, Endpoint, Error};
use tidewal::Wal;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(url)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("usage: outbox DIRECTORY URL".into());
    };
    let wal = Wal::open(dir.join("wal")).await?;
    let cursor = Cursor::load(dir.join("outbox.cursor"))?;
    let endpoint = Endpoint::new(url);
    tokio::select! {
        ended = outbox::run(&wal, cursor, &endpoint) => ended?,
        appended = append_lines(&wal) => appended?,
    }
    wal.close().await?;
    Ok(())
}

/// The service itself: it appends every message that it wants to deliver.
async fn append_lines(wal: &Wal) -> Result<(), Error> {
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let lsn = wal.append(line).await?;
        println!("{lsn}");
    }
    // The input has ended. The remaining records are still to be delivered.
    std::future::pending().await
}
