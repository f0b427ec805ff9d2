//! Feature `metrics`: the figures of `Wal::stats` reach a recorder, under the names and units of
//! `docs/observability.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tidewal::sim::{Operation, SimDisk};
use tidewal::{FlushCause, Lsn, SyncPolicy, Wal};
use tokio::time::sleep;

use tidewal_testing::support::{DIR, options, run};

/// Runs a test with its own recorder.
fn run_published<F: Future<Output = ()>>(test: impl FnOnce(Snapshotter) -> F) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || run(test(snapshotter)));
}

/// The values of one log in a recorder, by name and cause.
struct Published(BTreeMap<String, DebugValue>);

impl Published {
    /// Takes the values out of the recorder, which resets them.
    fn of(log: &str, snapshotter: &Snapshotter) -> Self {
        let of_log = |key: &Key| key.labels().any(|l| (l.key(), l.value()) == ("log", log));
        let all = snapshotter.snapshot().into_vec().into_iter();
        Self(
            all.filter(|(key, ..)| of_log(key.key()))
                .map(|(key, _, _, value)| (full_name(key.key()), value))
                .collect(),
        )
    }

    #[track_caller]
    fn counter(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(DebugValue::Counter(value)) => *value,
            other => panic!("{name} is {other:?}"),
        }
    }

    #[track_caller]
    fn gauge(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(DebugValue::Gauge(value)) => value.into_inner(),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// The number of values and their sum.
    #[track_caller]
    fn histogram(&self, name: &str) -> (u64, f64) {
        match self.0.get(name) {
            Some(DebugValue::Histogram(values)) => (
                values.len() as u64,
                values.iter().map(|value| value.into_inner()).sum(),
            ),
            other => panic!("{name} is {other:?}"),
        }
    }
}

fn float(count: u64) -> f64 {
    u32::try_from(count).unwrap().into()
}

fn full_name(key: &Key) -> String {
    let cause = key.labels().find(|label| label.key() == "cause");
    cause.map_or_else(
        || key.name().to_owned(),
        |cause| format!("{} {}", key.name(), cause.value()),
    )
}

/// Does some of everything: batches, rotations, a truncation, a refused append.
async fn work(disk: &SimDisk, wal: &Wal) {
    disk.set_sync_time(Duration::from_millis(2));
    for _ in 0..3 {
        try_join_all((0..100).map(|_| wal.append("x")))
            .await
            .unwrap();
        wal.append(vec![0; 9000]).await.unwrap();
    }
    wal.truncate_before(Lsn::new(250)).await.unwrap();
    wal.append_batch(["1", "2", "3"]).await.unwrap();
    disk.fail_on(Operation::Create, ".spare", 0, std::io::ErrorKind::Other);
    wal.append(vec![0; 12_000]).await.unwrap_err();
    disk.set_quota(Some(1));
    wal.append(vec![0; 12_000]).await.unwrap_err();
    sleep(Duration::from_secs(2)).await;
}

#[test]
fn what_stats_say_is_published() {
    run_published(|snapshotter| async move {
        let disk = SimDisk::new(1);
        let wal = options()
            .spare_segments(0)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        work(&disk, &wal).await;
        let (published, stats) = (Published::of(DIR, &snapshotter), wal.stats());
        for (name, value) in [
            ("tidewal_appends_total", stats.appends),
            ("tidewal_records_total", stats.records),
            ("tidewal_payload_bytes_total", stats.payload_bytes),
            ("tidewal_written_bytes_total", stats.written_bytes),
            ("tidewal_storage_full_total", stats.storage_full),
            (
                "tidewal_segment_unavailable_total",
                stats.segment_unavailable,
            ),
            ("tidewal_syncs_total", stats.syncs),
            ("tidewal_segments_opened_total", stats.segments),
            ("tidewal_segments_truncated_total", stats.segments_truncated),
            ("tidewal_truncations_total", stats.truncations),
        ] {
            assert_eq!(published.counter(name), value, "{name}");
            assert!(value > 0, "{name} is not tried");
        }
        for (cause, count) in stats.flushes.iter() {
            let name = format!("tidewal_batches_total {}", cause.label());
            assert_eq!(published.counter(&name), count, "{name}");
        }
        assert!(stats.flushes.of(FlushCause::WriterIdle) > 0);
        assert_eq!(stats.poisoned, published.gauge("tidewal_poisoned") > 0.0);
        let gauge = |name| format!("{}", published.gauge(name));
        assert_eq!(gauge("tidewal_segments"), stats.segments_kept.to_string());
        assert_eq!(
            gauge("tidewal_held_segments"),
            stats.held_segments.to_string()
        );
        assert_eq!(gauge("tidewal_held_bytes"), stats.held_bytes.to_string());
        assert_eq!(gauge("tidewal_durable_lsn"), stats.durable_lsn.to_string());
        assert_eq!(gauge("tidewal_queue_records"), "0");
        assert_eq!(gauge("tidewal_queue_bytes"), "0");
        assert_eq!(gauge("tidewal_sync_running_seconds"), "0");
        let sync_time = Duration::from_nanos(stats.sync_nanos.sum()).as_secs_f64();
        for (name, histogram, expected) in [
            ("tidewal_sync_seconds", stats.sync_nanos, sync_time),
            (
                "tidewal_batch_records",
                stats.batch_records,
                float(stats.records),
            ),
            (
                "tidewal_batch_bytes",
                stats.batch_bytes,
                float(stats.written_bytes),
            ),
        ] {
            let (count, sum) = published.histogram(name);
            assert_eq!(count, histogram.count(), "{name}");
            assert!((sum - expected).abs() < 1e-6 * expected, "{name}: {sum}");
        }
        // Only in the first large batch, all appends are timed, each for itself only.
        let (timed, _) = published.histogram("tidewal_append_seconds");
        assert!((100..150).contains(&timed), "{timed}");
        assert!(stats.append_nanos.count() > 250);
    });
}

#[test]
fn each_append_of_a_small_batch_is_timed() {
    run_published(|snapshotter| async move {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        disk.set_sync_time(Duration::from_millis(2));
        for _ in 0..4 {
            wal.append("x").await.unwrap();
        }
        let (timed, sum) = Published::of(DIR, &snapshotter).histogram("tidewal_append_seconds");
        assert_eq!(timed, 4);
        assert!(
            (sum - 0.008).abs() < 0.004,
            "with the first segment's rotation: {sum}"
        );
    });
}

#[test]
fn the_label_tells_two_logs_apart() {
    run_published(|snapshotter| async move {
        let disk = SimDisk::new(1);
        let orders = options().metrics_label("orders");
        let orders = orders.open_on(&disk, "data/a").await.unwrap();
        let other = options().open_on(&disk, "data/b").await.unwrap();
        orders.append("1").await.unwrap();
        other.append_batch(["1", "2"]).await.unwrap();
        // A snapshot resets all counters, so each is checked after a separate step.
        let published = Published::of("orders", &snapshotter);
        assert_eq!(published.counter("tidewal_records_total"), 1);
        assert!(Published::of("data/a", &snapshotter).0.is_empty());
        other.append("3").await.unwrap();
        let published = Published::of("data/b", &snapshotter);
        assert_eq!(published.counter("tidewal_records_total"), 1);
    });
}

#[test]
fn a_sync_that_hangs_and_what_waits_behind_it_are_seen_while_it_hangs() {
    run_published(|snapshotter| async move {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append("first").await.unwrap();
        disk.stall(0, Duration::MAX);
        let hanging = wal.submit("second").await.unwrap();
        sleep(Duration::from_millis(10)).await;
        let queued = wal.submit("third").await.unwrap();
        sleep(Duration::from_secs(60)).await;
        let published = Published::of(DIR, &snapshotter);
        let age = published.gauge("tidewal_sync_running_seconds");
        assert!((59.0..=60.0).contains(&age), "{age}");
        assert_eq!(published.gauge("tidewal_queue_records").to_string(), "1");
        assert_eq!(published.gauge("tidewal_queue_bytes").to_string(), "25");
        drop((hanging, queued));
    });
}

#[test]
fn a_poisoned_log_says_so() {
    run_published(|snapshotter| async move {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append("x").await.unwrap();
        disk.fail_on(Operation::Sync, ".wal", 0, std::io::ErrorKind::Other);
        wal.append("y").await.unwrap_err();
        let published = Published::of(DIR, &snapshotter);
        assert_eq!(published.gauge("tidewal_poisoned").to_string(), "1");
    });
}

/// The names, kinds and units described to the recorder are those of the document.
#[test]
fn the_document_has_every_metric_and_no_other() {
    run_published(|snapshotter| async move {
        let wal = options().open_on(&SimDisk::new(1), DIR).await.unwrap();
        let described: BTreeSet<_> = snapshotter
            .snapshot()
            .into_vec()
            .into_iter()
            .map(|(key, unit, text, _)| {
                assert!(text.is_some(), "{key:?} is not described");
                let kind = format!("{:?}", key.kind()).to_lowercase();
                let unit = unit.map_or("none", |unit| unit.as_str());
                format!("{} {kind} {unit}", key.key().name())
            })
            .collect();
        let document = include_str!("../../../docs/observability.md");
        let documented: BTreeSet<_> = document
            .lines()
            .filter(|line| line.starts_with("| `tidewal_"))
            .map(|line| {
                let cells: Vec<_> = line.split('|').map(str::trim).collect();
                format!("{} {} {}", cells[1].trim_matches('`'), cells[2], cells[3])
            })
            .collect();
        assert_eq!(described, documented);
        drop(wal);
    });
}

/// A recorder that counts how often a gauge is set.
#[derive(Clone, Debug, Default)]
struct Sets(Arc<AtomicU64>);

impl Sets {
    fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl GaugeFn for Sets {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Recorder for Sets {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(self.clone()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn nobody_looks_on_while_the_log_is_idle() {
    let sets = Sets::default();
    metrics::with_local_recorder(&sets, || {
        run(async {
            let wal = options().open_on(&SimDisk::new(1), DIR).await.unwrap();
            for _ in 0..3 {
                wal.append("x").await.unwrap();
                sleep(Duration::from_secs(10)).await;
                let before = sets.count();
                sleep(Duration::from_secs(24 * 3600)).await;
                assert_eq!(sets.count(), before);
            }
        });
    });
}

#[test]
fn a_busy_log_is_looked_at_once_a_second() {
    let sets = Sets::default();
    metrics::with_local_recorder(&sets, || {
        run(async {
            let interval = SyncPolicy::Interval(Duration::from_millis(5));
            let disk = SimDisk::new(1);
            let wal = options().sync_policy(interval).segment_size(1 << 20);
            let wal = wal.open_on(&disk, DIR).await.unwrap();
            let before = sets.count();
            for _ in 0..4000 {
                wal.append("x").await.unwrap();
            }
            let syncs = wal.stats().syncs;
            let looks = (sets.count() - before - syncs) / 3;
            assert!((18..=24).contains(&looks), "{looks} looks in 20 seconds");
        });
    });
}
