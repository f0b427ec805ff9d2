//! A server that speaks S3: moto's, a Python package (`pip install 'moto[server]'`). Where it is missing, who
//! needs it is skipped, and says so.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const BUCKET: &str = "logs";

/// A server that ends with this.
pub struct Server {
    process: Child,
    pub address: String,
}

impl Server {
    /// `None` if there is none to be had.
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

    /// Waits until it serves, and makes the bucket.
    pub async fn make_bucket(&self) {
        let client = reqwest::Client::new();
        let bucket = format!("{}/{BUCKET}", self.address);
        for _ in 0..600 {
            if client
                .put(&bucket)
                .send()
                .await
                .is_ok_and(|made| made.status().is_success())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the server does not serve");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
