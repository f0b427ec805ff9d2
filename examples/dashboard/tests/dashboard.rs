//! The program as a process, over HTTP: the page, the metrics, and a check that the page and the Grafana dashboard use
//! only metrics that exist.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// The running example. It is killed when this is dropped.
struct Dashboard {
    _child: Child,
    client: Client,
    metrics: String,
    service: String,
}

impl Dashboard {
    async fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dashboard"))
            .args([
                "--metrics",
                "127.0.0.1:0",
                "--listen",
                "127.0.0.1:0",
                "--dir",
            ])
            .arg(dir)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let metrics = line_after("metrics on ", &mut lines).await;
        line_after("replayed ", &mut lines).await;
        let service = line_after("listening on ", &mut lines).await;
        let client = Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self {
            _child: child,
            client,
            metrics,
            service,
        }
    }

    async fn get(&self, path: &str) -> String {
        let answer = self.client.get(format!("{}{path}", self.metrics)).send();
        let answer = answer.await.unwrap().error_for_status().unwrap();
        answer.text().await.unwrap()
    }

    async fn put(&self, key: &str, value: &'static str) {
        let request = self
            .client
            .put(format!("{}/{key}", self.service))
            .body(value);
        request.send().await.unwrap().error_for_status().unwrap();
    }
}

#[tokio::test]
async fn the_metrics_of_the_service_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let dashboard = Dashboard::start(dir.path()).await;
    let before = dashboard.get("/metrics").await;
    assert_eq!(
        sample(&before, "tidewal_durable_lsn{log=\"kv\"}"),
        Some("0")
    );
    for key in ["a", "b", "c"] {
        dashboard.put(key, "value").await;
    }
    let after = dashboard.get("/metrics").await;
    for (name, value) in [
        ("tidewal_appends_total{log=\"kv\"}", "3"),
        ("tidewal_durable_lsn{log=\"kv\"}", "3"),
        ("tidewal_segments{log=\"kv\"}", "1"),
        ("tidewal_poisoned{log=\"kv\"}", "0"),
        (
            "tidewal_batches_total{log=\"kv\",cause=\"writer_idle\"}",
            "3",
        ),
        ("tidewal_sync_seconds_count{log=\"kv\"}", "3"),
        ("tidewal_append_seconds_count{log=\"kv\"}", "3"),
        ("tidewal_append_seconds_bucket{log=\"kv\",le=\"+Inf\"}", "3"),
        ("tidewal_batch_records_bucket{log=\"kv\",le=\"1\"}", "3"),
    ] {
        assert_eq!(sample(&after, name), Some(value), "{name}\n{after}");
    }
    assert!(after.contains("# TYPE tidewal_sync_seconds histogram"));
    assert!(after.contains("# HELP tidewal_durable_lsn "));
}

#[tokio::test]
async fn the_page_and_the_grafana_dashboard_ask_for_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let dashboard = Dashboard::start(dir.path()).await;
    let page = dashboard.get("/").await;
    assert!(page.starts_with("<!doctype html>"));
    assert!(
        !page.contains("//cdn") && !page.contains("http"),
        "the page must not load anything from other servers"
    );
    // A histogram is rendered once it has a value.
    dashboard.put("key", "value").await;
    sleep(Duration::from_millis(10)).await;
    let served = names(&dashboard.get("/metrics").await);
    let grafana = include_str!("../grafana.json");
    let json: serde_json::Value = serde_json::from_str(grafana).unwrap();
    assert!(json["panels"].as_array().unwrap().len() > 8);
    for (text, what) in [(page.as_str(), "the page"), (grafana, "grafana.json")] {
        let asked = names(text);
        assert!(asked.len() > 8, "{what} asks for {asked:?}");
        for name in asked {
            let is_served = served
                .iter()
                .any(|there| *there == name || there.starts_with(&format!("{name}_")));
            assert!(is_served, "{what} asks for {name}");
        }
    }
}

/// The value of a sample in the Prometheus text format.
fn sample<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .find(|(there, _)| *there == name)
        .map(|(_, value)| value)
}

/// The names of all metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_inside = |c: char| c.is_ascii_lowercase() || c == '_';
    text.match_indices("tidewal_")
        .map(|(at, _)| {
            text[at..]
                .split(|c| !is_inside(c))
                .next()
                .unwrap()
                .to_owned()
        })
        .filter(|name| name != "tidewal_")
        .collect()
}

async fn line_after(start: &str, lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(PATIENCE, lines.next_line())
        .await
        .expect("the program is ready in time");
    let line = line.unwrap().expect("if it fails, stderr says why");
    let rest = line.strip_prefix(start);
    rest.unwrap_or_else(|| panic!("unexpected line: {line}"))
        .to_owned()
}

/// The timeout of everything that should take only a moment.
const PATIENCE: Duration = Duration::from_secs(20);
