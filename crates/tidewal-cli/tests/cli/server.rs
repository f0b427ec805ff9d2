//! An S3 server: that of moto, a Python package (`pip install 'moto[server]'`). If it is missing,
//! the tests that need it are skipped and say so.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const BUCKET: &str = "logs";

/// A server that ends when this is dropped.
pub struct Server {
    process: Child,
    pub address: String,
}

impl Server {
    /// `None` if no server is available.
    pub fn start() -> Option<Self> {
        let has_moto = Command::new("python3")
            .args(["-c", "import moto.server, flask"])
            .stderr(Stdio::null())
            .status();
        if !has_moto.is_ok_and(|status| status.success()) {
            println!("skipped: there is no S3 server here; pip install 'moto[server]'");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = Command::new("python3")
            .args([
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("http://127.0.0.1:{port}");
        Some(Self { process, address })
    }

    /// Waits until it serves, and creates the bucket.
    pub async fn make_bucket(&self) {
        for _ in 0..600 {
            if self
                .put_bucket()
                .is_ok_and(|answer| answer.contains(" 200 "))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the server does not serve");
    }

    /// Sends the one request for which a client library would be too much. Returns the first line
    /// of the answer.
    fn put_bucket(&self) -> std::io::Result<String> {
        let host = self.address.trim_start_matches("http://");
        let mut connection = TcpStream::connect(host)?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            connection,
            "PUT /{BUCKET} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
