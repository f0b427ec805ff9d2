//! The key-value service of `examples/kv-service`, with the figures of its log on a web page and for Prometheus.
//!
//! ```text
//! cargo run --release -p dashboard -- \
//!     --metrics 127.0.0.1:9000 --dir data --listen 127.0.0.1:8080
//! ```
//!
//! Then open <http://127.0.0.1:9000/>, and write to the service. Prometheus finds the metrics at `/metrics`.
//! `grafana.json`, beside this package's manifest, is the same page for Grafana. `docs/observability.md` says what
//! the metrics mean, and what to alert on.

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use kv_service::{Config, Result, with_causes};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tidewal::Histogram;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dashboard: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let (metrics_address, others) = split(std::env::args().skip(1).collect())?;
    // The recorder comes first, because a log gets its handles when it is opened.
    let recorder = install_recorder()?;
    let mut config = Config::parse(others.into_iter())?;
    config.log = config.log.metrics_label("kv");

    let listener = TcpListener::bind(&metrics_address).await?;
    println!("metrics on http://{}", listener.local_addr()?);
    tokio::spawn(keep_up(recorder.clone()));
    tokio::spawn(axum::serve(listener, routes(recorder)).into_future());
    kv_service::run(config).await
}

/// Removes `--metrics ADDR` from the arguments. The remaining ones are for the service.
fn split(mut arguments: Vec<String>) -> Result<(String, Vec<String>)> {
    let at = arguments.iter().position(|name| name == "--metrics");
    match at {
        Some(at) if at + 1 < arguments.len() => {
            let address = arguments.drain(at..at + 2).nth(1);
            Ok((address.unwrap_or_default(), arguments))
        }
        _ => Err("usage: dashboard --metrics ADDR, and the arguments of kv-service".into()),
    }
}

/// Installs the Prometheus exporter with the buckets of `Wal::stats`. Without buckets the exporter makes summaries,
/// which cannot be aggregated over several logs.
fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Suffix("_seconds".into()),
            &scaled(Histogram::TIME_BOUNDS, 1e-9),
        )?
        .set_buckets_for_metric(
            Matcher::Prefix("tidewal_batch_".into()),
            &scaled(Histogram::SIZE_BOUNDS, 1.0),
        )?
        .install_recorder()
}

#[expect(clippy::cast_precision_loss, reason = "they are far below 2^53")]
fn scaled(bounds: &[u64], unit: f64) -> Vec<f64> {
    bounds.iter().map(|&bound| bound as f64 * unit).collect()
}

/// Lets the exporter aggregate regularly. Otherwise it keeps each value of a histogram until it is scraped.
async fn keep_up(recorder: PrometheusHandle) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        recorder.run_upkeep();
    }
}

fn routes(recorder: PrometheusHandle) -> Router {
    let metrics = async move || {
        let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
        (kind, recorder.render()).into_response()
    };
    Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .route("/metrics", get(metrics))
}
