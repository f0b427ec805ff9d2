//! The example as a separate process, and requests to it.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// The value of a key: its bytes, or `None` if the key does not exist.
pub type Value = Option<Vec<u8>>;

/// A running service. Dropping this kills it.
pub struct Service {
    child: Mutex<Child>,
    output: Lines<BufReader<ChildStdout>>,
    killed: watch::Sender<bool>,
    client: Client,
    url: String,
    /// How many records it replayed at its start, according to its output.
    pub replayed: u64,
}

impl Service {
    /// Starts the service on a free port and waits until it is ready.
    pub async fn start(dir: &Path, snapshot_every: u64) -> Self {
        let mut child = command(dir, snapshot_every)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let replayed = next_line(&mut output).await;
        let listening = next_line(&mut output).await;
        Self {
            child: Mutex::new(child),
            output,
            killed: watch::Sender::new(false),
            client: client(),
            url: between(&listening, "listening on ", "").into(),
            replayed: between(&replayed, "replayed ", " records").parse().unwrap(),
        }
    }

    /// `kill -9`, from any task. Requests may fail from now on.
    pub fn kill(&self) {
        self.killed.send_replace(true);
        self.child.lock().unwrap().start_kill().unwrap();
    }

    /// Whether the service was killed. Only then may a request fail.
    pub fn was_killed(&self) -> bool {
        *self.killed.borrow()
    }

    /// Waits until the service was killed, and until every answer that it sent has had time to arrive.
    ///
    /// Not every request detects the kill. About once in some thousand kills, the HTTP client keeps waiting although
    /// the socket is closed: the connection closes at an unlucky moment.
    pub async fn is_gone(&self) {
        let mut killed = self.killed.subscribe();
        if killed.wait_for(|killed| *killed).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    }

    #[cfg(unix)]
    pub fn interrupt(&self) {
        let id = self.child.lock().unwrap().id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-INT", &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end of the process, which must have printed nothing more.
    pub async fn ended(self) -> ExitStatus {
        let Self { child, output, .. } = self;
        let (mut child, mut output) = (child.into_inner().unwrap(), output);
        let status = timeout(PATIENCE, child.wait()).await.expect("it ends");
        assert_eq!(output.next_line().await.unwrap(), None);
        status.unwrap()
    }

    /// PUTs a value, or DELETEs the key. Returns once the status has arrived: that is the acknowledgment.
    pub async fn change(&self, key: &str, value: &Value) -> reqwest::Result<StatusCode> {
        let request = match value {
            Some(bytes) => self.request(Method::PUT, key).body(bytes.clone()),
            None => self.request(Method::DELETE, key),
        };
        status_of(request).await
    }

    /// The value of a key, by GET.
    pub async fn read(&self, key: &str) -> reqwest::Result<Value> {
        let response = self.request(Method::GET, key).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        assert_eq!(response.status(), StatusCode::OK);
        Ok(Some(response.bytes().await?.into()))
    }

    pub async fn snapshot(&self) -> reqwest::Result<StatusCode> {
        status_of(self.request(Method::POST, "snapshot")).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/{path}", self.url))
    }
}

/// Starts a service that is expected to fail at its start. Returns its exit status and what it printed.
pub async fn start_in_vain(dir: &Path) -> (ExitStatus, String) {
    let output = timeout(PATIENCE, command(dir, 1000).output()).await;
    let output = output.expect("it ends").unwrap();
    (
        output.status,
        String::from_utf8_lossy(&output.stderr).into(),
    )
}

fn command(dir: &Path, snapshot_every: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-service"));
    command
        .args(["--listen", "127.0.0.1:0", "--segment-size", SEGMENT_SIZE])
        .args(["--snapshot-every", &snapshot_every.to_string()])
        .arg("--dir")
        .arg(dir)
        .kill_on_drop(true);
    command
}

fn client() -> Client {
    let client = Client::builder().no_proxy().timeout(PATIENCE);
    client.build().unwrap()
}

async fn status_of(request: RequestBuilder) -> reqwest::Result<StatusCode> {
    let response = request.send().await?;
    let status = response.status();
    // The connection can be reused once the body is read. It does not matter if that fails.
    let _ = response.bytes().await;
    Ok(status)
}

async fn next_line(output: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(PATIENCE, output.next_line()).await;
    let line = line.expect("the service gets ready in time").unwrap();
    line.expect("the service says why on stderr")
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> &'a str {
    line.strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after))
        .unwrap_or_else(|| panic!("unexpected line: {line}"))
}

/// The smallest size, so a few dozen records fill a segment.
const SEGMENT_SIZE: &str = "16384";

/// The timeout of everything that should take only a moment.
const PATIENCE: Duration = Duration::from_secs(20);
