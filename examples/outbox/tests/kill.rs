//! The outbox is killed repeatedly, and its endpoint sometimes fails. Each acknowledged record arrives at least
//! once, and the first arrivals are in order.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

/// The requests in the order of their arrival: LSN and body.
type Arrived = Arc<Mutex<Vec<(u64, String)>>>;

const ROUNDS: u64 = 6;
const LINES: u64 = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_arrives_at_least_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let arrived = Arrived::default();
    let url = serve(arrived.clone()).await;
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut child = start(dir.path(), &url);
        let lines = if round + 1 < ROUNDS { LINES } else { 0 };
        let appending = tokio::task::spawn_blocking(move || {
            let last = append(&mut child, round * LINES, lines);
            (child, last)
        });
        let (mut child, last) = appending.await.unwrap();
        acknowledged = acknowledged.max(last);
        if lines == 0 {
            wait_for(&arrived, acknowledged).await;
        } else {
            tokio::time::sleep(Duration::from_millis(round * 20)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    check(&arrived.lock().unwrap(), acknowledged);
}

async fn serve(arrived: Arrived) -> String {
    let app = axum::Router::new()
        .route("/events", post(accept))
        .with_state(arrived);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

/// Accepts a record. Sometimes fails, before or after it has recorded the arrival.
async fn accept(State(arrived): State<Arrived>, headers: HeaderMap, body: String) -> StatusCode {
    let lsn: u64 = headers["Outbox-Lsn"].to_str().unwrap().parse().unwrap();
    let mut arrived = arrived.lock().unwrap();
    let requests = arrived.len();
    if requests % 31 == 30 && arrived.last().is_none_or(|(last, _)| *last != lsn) {
        arrived.push((lsn, body));
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    arrived.push((lsn, body));
    StatusCode::OK
}

fn start(dir: &std::path::Path, url: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_outbox"))
        .args([dir.as_os_str(), url.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends lines to the outbox, and returns the last LSN that it has acknowledged.
fn append(child: &mut Child, from: u64, count: u64) -> u64 {
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    for number in from..from + count {
        writeln!(input, "line {number}").unwrap();
    }
    input.flush().unwrap();
    let lines = output.lines().take(usize::try_from(count).unwrap());
    let last = lines
        .last()
        .map_or(0, |line| line.unwrap().parse().unwrap());
    child.stdin = Some(input);
    last
}

async fn wait_for(arrived: &Arrived, lsn: u64) {
    let all = async {
        loop {
            if arrived
                .lock()
                .unwrap()
                .iter()
                .any(|(other, _)| *other == lsn)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("not all was delivered");
}

fn check(arrived: &[(u64, String)], acknowledged: u64) {
    let mut last = 0;
    for (lsn, body) in arrived {
        assert_eq!(*body, format!("line {}", lsn - 1), "record {lsn}");
        assert!(*lsn <= last + 1, "{lsn} came before {}", last + 1);
        last = last.max(*lsn);
    }
    assert_eq!(last, acknowledged);
    assert_eq!(acknowledged, (ROUNDS - 1) * LINES);
}
