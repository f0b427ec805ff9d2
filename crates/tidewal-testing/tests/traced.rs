//! Feature `tracing`: what a subscriber receives, on the paused clock of a simulated disk.

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::{Error, Lsn, Wal, WalOptions};
use tokio::time::{Instant, sleep};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use tidewal_testing::support::{DIR, options, run};

/// An event, or the beginning of a span.
#[derive(Clone, Debug)]
struct Told {
    at: Instant,
    level: Level,
    /// The message of an event, or the name of a span.
    what: String,
    fields: Vec<(&'static str, String)>,
    /// The names of the spans around it, innermost first.
    within: Vec<&'static str>,
    is_span: bool,
}

impl Told {
    fn field(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(field, _)| *field == name);
        &field.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }
}

/// Collects events and spans.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Told>>>);

impl Collector {
    fn events(&self, level: Level) -> Vec<Told> {
        let all = self.0.lock().unwrap();
        let wanted = |told: &&Told| !told.is_span && told.level == level;
        all.iter().filter(wanted).cloned().collect()
    }

    fn spans(&self, name: &str) -> Vec<Told> {
        let all = self.0.lock().unwrap();
        let wanted = |told: &&Told| told.is_span && told.what == name;
        all.iter().filter(wanted).cloned().collect()
    }

    /// The warnings: when each came, in milliseconds since `since`, and the value of a field.
    fn warnings(&self, since: Instant, field: &str) -> Vec<(u128, String)> {
        let warnings = self.events(Level::WARN).into_iter();
        warnings
            .map(|told| ((told.at - since).as_millis(), told.field(field).to_owned()))
            .collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).unwrap();
        self.0.lock().unwrap().push(Told {
            at: Instant::now(),
            level: *attributes.metadata().level(),
            what: attributes.metadata().name().into(),
            fields: fields.0,
            within: span.scope().skip(1).map(|span| span.name()).collect(),
            is_span: true,
        });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        assert_eq!(event.metadata().target(), "tidewal");
        let message = fields.0.iter().position(|(name, _)| *name == "message");
        let (_, what) = fields.0.remove(message.unwrap());
        let scope = context.event_scope(event).into_iter().flatten();
        self.0.lock().unwrap().push(Told {
            at: Instant::now(),
            level: *event.metadata().level(),
            what,
            fields: fields.0,
            within: scope.map(|span| span.name()).collect(),
            is_span: false,
        });
    }
}

#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let causes = std::iter::successors(Some(value), |&error| error.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        self.0.push((field.name(), causes.join(": ")));
    }
}

/// Runs a test and collects its events and spans.
fn run_traced<F: Future<Output = ()>>(test: impl FnOnce(Collector) -> F) {
    let collector = Collector::default();
    let subscriber = tracing_subscriber::registry().with(collector.clone());
    tracing::subscriber::with_default(subscriber, || run(test(collector)));
}

/// An idle log with one record, with an empty collector.
async fn quiet_log(options: WalOptions, collector: &Collector) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = options.open_on(&disk, DIR).await.unwrap();
    wal.append("first").await.unwrap();
    sleep(ms(10_250)).await;
    collector.0.lock().unwrap().clear();
    (disk, wal)
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn a_slow_sync_is_warned_of_while_it_runs() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options(), &collector).await;
        disk.stall(0, ms(5000));
        let start = Instant::now();
        let pending = wal.submit("x").await.unwrap();
        sleep(ms(999)).await;
        assert!(collector.events(Level::WARN).is_empty());
        sleep(ms(2)).await;
        assert_eq!(
            collector.warnings(start, "running_ms"),
            [(1000, "1000".into())]
        );
        pending.await.unwrap();
        let all = collector.events(Level::WARN);
        let times: Vec<_> = all
            .iter()
            .map(|told| (told.at - start).as_millis())
            .collect();
        assert_eq!(times, [1000, 2000, 4000, 5000]);
        assert_eq!(all[2].field("running_ms"), "4000");
        assert_eq!(all[3].field("took_ms"), "5000");
        assert!(all.iter().all(|told| told.field("dir") == DIR));
    });
}

#[test]
fn a_sync_that_never_ends_is_warned_of_less_and_less() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options(), &collector).await;
        disk.stall(0, Duration::MAX);
        let pending = wal.submit("x").await.unwrap();
        sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(
            collector.events(Level::WARN).len(),
            17,
            "powers of two, in seconds"
        );
        drop(pending);
    });
}

#[test]
fn the_warning_comes_when_it_is_due_whenever_the_sync_began() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options().slow_sync_after(ms(300)), &collector).await;
        for offset in [0, 1, 150, 299, 300, 301, 700, 1100, 5000] {
            sleep(ms(offset)).await;
            wal.append("fast").await.unwrap();
            sleep(ms(offset / 2)).await;
            collector.0.lock().unwrap().clear();
            let start = Instant::now();
            disk.stall(0, ms(400));
            wal.append("slow").await.unwrap();
            let warnings = collector.events(Level::WARN);
            let times: Vec<_> = warnings
                .iter()
                .map(|told| (told.at - start).as_millis())
                .collect();
            assert_eq!(times, [300, 400], "offset {offset}");
        }
    });
}

#[test]
fn a_rotation_that_hangs_is_warned_of() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options(), &collector).await;
        wal.append(vec![0; 9000]).await.unwrap();
        disk.stall(0, ms(1500));
        let start = Instant::now();
        wal.append(vec![0; 9000]).await.unwrap();
        assert_eq!(collector.events(Level::WARN)[0].at - start, ms(1000));
    });
}

#[test]
fn nothing_is_said_of_syncs_that_are_fast_enough() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options().segment_size(1 << 20), &collector).await;
        disk.set_sync_time(ms(999));
        for _ in 0..50 {
            wal.append("x").await.unwrap();
        }
        disk.set_sync_time(Duration::ZERO);
        sleep(Duration::from_secs(3600)).await;
        wal.close().await.unwrap();
        assert!(collector.events(Level::WARN).is_empty());
    });
}

#[test]
fn the_age_from_which_a_sync_is_slow_has_bounds() {
    for age in [Duration::ZERO, ms(25 * 3600 * 1000)] {
        run(async {
            let disk = SimDisk::new(1);
            let opened = options().slow_sync_after(age).open_on(&disk, DIR);
            let error = opened.await.unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::InvalidOptions {
                        field: "slow_sync_after",
                        ..
                    }
                ),
                "{error}"
            );
        });
    }
}

#[test]
fn the_life_of_a_log_has_its_spans() {
    run_traced(|collector| async move {
        let disk = SimDisk::new(1);
        let caller = tracing::info_span!(target: "service", "start");
        let opening = options().open_on(&disk, DIR);
        let wal = tracing::Instrument::instrument(opening, caller)
            .await
            .unwrap();
        for _ in 0..3 {
            wal.append(vec![0; 9000]).await.unwrap();
        }
        wal.truncate_before(Lsn::new(2)).await.unwrap();
        wal.close().await.unwrap();
        for (name, count) in [
            ("recovery", 1),
            ("open", 1),
            ("rotation", 3),
            ("truncation", 1),
            ("close", 1),
        ] {
            let spans = collector.spans(name);
            assert_eq!(spans.len(), count, "{name}");
            assert!(spans.iter().all(|span| span.field("dir") == DIR));
        }
        assert_eq!(collector.spans("recovery")[0].within, ["start"]);
        let bases: Vec<_> = collector
            .spans("rotation")
            .iter()
            .map(|span| span.field("base").to_owned())
            .collect();
        assert_eq!(bases, ["1", "2", "3"]);
        assert_eq!(collector.spans("truncation")[0].field("before"), "2");
        let infos = collector.events(Level::INFO);
        let told: Vec<_> = infos
            .iter()
            .map(|told| (told.what.as_str(), told.within.first().copied()))
            .collect();
        assert_eq!(
            told,
            [
                ("read the log to its end", Some("recovery")),
                ("the log is open", Some("open")),
                ("the log is closed", None),
            ]
        );
    });
}

#[test]
fn a_torn_tail_is_told_as_news_and_not_as_trouble() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options(), &collector).await;
        drop(wal.submit("torn").await.unwrap());
        disk.cut_power();
        disk.restart(Survival::Nothing);
        drop(wal);
        sleep(ms(1)).await;
        collector.0.lock().unwrap().clear();
        let wal = options().open_on(&disk, DIR).await.unwrap();
        let infos = collector.events(Level::INFO);
        assert_eq!(
            infos[0].what,
            "the log was not closed and ends before this record"
        );
        assert_eq!(infos[0].field("lsn"), "2");
        assert_eq!(infos[0].field("reason"), "no further record");
        assert_eq!(infos[0].within, ["recovery"]);
        assert!(collector.events(Level::WARN).is_empty());
        assert!(collector.events(Level::ERROR).is_empty());
        drop(wal);
    });
}

#[test]
fn damage_is_an_error() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options(), &collector).await;
        wal.append("second").await.unwrap();
        wal.close().await.unwrap();
        let segment = format!("{DIR}/00000000000000000001.wal");
        let zeroed = |bytes: &mut Vec<u8>| bytes[4096..4196].fill(0);
        assert!(disk.corrupt(&segment, zeroed));
        let error = options().open_on(&disk, DIR).await.unwrap_err();
        let Error::Corrupt(corruption) = error else {
            panic!("{error}")
        };
        let told = &collector.events(Level::ERROR)[0];
        assert_eq!(told.field("segment"), segment);
        assert_eq!(told.field("offset"), corruption.offset.to_string());
        assert_eq!((told.field("first"), told.field("last")), ("1", "2"));
        assert_eq!(told.field("kind"), format!("{:?}", corruption.kind.label()));
    });
}

#[test]
fn a_failed_sync_is_an_error() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options(), &collector).await;
        disk.fail(Operation::Sync, 0, io::ErrorKind::Other);
        wal.append("x").await.unwrap_err();
        wal.append("y").await.unwrap_err();
        let errors = collector.events(Level::ERROR);
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].field("error").starts_with("cannot sync"),
            "{errors:?}"
        );
        assert_eq!(errors[0].field("dir"), DIR);
    });
}

#[test]
fn a_full_disk_is_warned_of_once_until_there_is_room() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options().spare_segments(0), &collector).await;
        for round in 1..=2 {
            disk.set_quota(Some(1));
            while wal.append(vec![0; 9000]).await.is_ok() {}
            wal.append(vec![0; 9000]).await.unwrap_err();
            assert_eq!(collector.events(Level::WARN).len(), round);
            disk.set_quota(None);
            wal.append(vec![0; 9000]).await.unwrap();
        }
        let warnings = collector.events(Level::WARN);
        assert!(
            warnings[0].what.starts_with("there is no room"),
            "{warnings:?}"
        );
    });
}

#[test]
fn a_segment_that_cannot_be_opened_is_warned_of_by_its_cause() {
    run_traced(|collector| async move {
        let (disk, wal) = quiet_log(options().spare_segments(0), &collector).await;
        wal.append(vec![0; 9000]).await.unwrap();
        disk.fail_on(Operation::Create, ".spare", 0, io::ErrorKind::Other);
        wal.append(vec![0; 9000]).await.unwrap_err();
        let warnings = collector.events(Level::WARN);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].what.starts_with("another segment cannot"),
            "{warnings:?}"
        );
    });
}
