//! Power cuts and kills at every operation of a log that is archived: the archive is a prefix of the log, and has
//! every record that was removed from the log's directory.

use tidewal::sim::{SimDisk, Survival};
use tidewal::{Lsn, Wal};
use tidewal_archive::{Error, RestoreTarget};

use crate::helpers::{numbers, open, payload, quick, restored_records, start};
use crate::store::Store;
use crate::support::{DIR, options, run};

/// The acknowledgments of a service.
#[derive(Clone, Default)]
struct Promised {
    /// The last record that was acknowledged, and the last one that was submitted.
    durable: u64,
    asked: u64,
}

/// A service at work until an operation fails.
async fn work(wal: &Wal, promised: &mut Promised, records: u64) -> Result<(), tidewal::Error> {
    for number in promised.durable + 1..=promised.durable + records {
        promised.asked = number;
        let lsn = wal.append(payload(number)).await?;
        assert_eq!(lsn.get(), number);
        promised.durable = number;
        if number % 3 == 0 {
            wal.truncate_before(Lsn::new(number)).await?;
        }
        // The archiver works while the service waits.
        tokio::task::yield_now().await;
        if number % 4 == 0 {
            crate::helpers::settle().await;
        }
    }
    Ok(())
}

/// One life of a service.
async fn live(disk: &SimDisk, store: &Store, promised: &mut Promised, records: u64) {
    let Ok(wal) = options().open_on(disk, DIR).await else {
        return;
    };
    // Records that a recovery delivers may be in the cache only, until the log is opened for appending.
    let adopted = wal.durable_lsn().get();
    assert!((promised.durable..=promised.asked).contains(&adopted));
    promised.durable = adopted;
    let _archiver = start(&wal, store, quick());
    let _ = work(&wal, promised, records).await;
    let _ = wal.close().await;
}

/// After a crash: the archive is a prefix of the log, and has every record that the log no longer has.
async fn check(disk: &SimDisk, store: &Store, promised: &mut Promised, label: &str) {
    let mut recovery = options().recover_on(disk, DIR).await.unwrap();
    let (mut oldest, mut last) = (None, 0);
    while let Some(record) = recovery.try_next().await.unwrap() {
        assert_eq!(record.payload, payload(record.lsn.get()), "{label}");
        oldest = oldest.or(Some(record.lsn.get()));
        last = record.lsn.get();
    }
    // If no record is left, only the recovery knows where the log continues: a file may be below its head.
    let oldest = oldest.unwrap_or_else(|| recovery.report().oldest.get());
    let end = last.max(oldest - 1);
    assert!(
        (promised.durable..=promised.asked).contains(&end),
        "{label}: {end} of {}..={}, files {:?}, {:?}",
        promised.durable,
        promised.asked,
        disk.files(DIR),
        recovery.report()
    );
    promised.asked = end;
    let archived = match store.archive().contents().await {
        Ok(contents) => contents.end.get(),
        Err(Error::Empty { .. }) => 0,
        Err(error) => panic!("{label}: {error}"),
    };
    assert!(
        archived + 1 >= oldest,
        "{label}: {oldest} is the oldest, {archived} archived"
    );
    assert!(archived <= end, "{label}: the archive is ahead of the log");
    if archived > 0 {
        let restored = restored_records(store, RestoreTarget::End).await;
        assert_eq!(restored, numbers(1..=archived), "{label}");
    }
}

/// Continues after a crash, and archives the rest.
async fn live_on(disk: &SimDisk, store: &Store, promised: &mut Promised, label: &str) {
    live(disk, store, promised, 7).await;
    let wal = open(disk).await;
    let archiver = start(&wal, store, quick());
    let caught_up = archiver.wait_caught_up().await;
    caught_up.unwrap_or_else(|error| panic!("{label}: {error}"));
    let restored = restored_records(store, RestoreTarget::End).await;
    assert_eq!(restored, numbers(1..=promised.durable), "{label}");
}

/// How a life ends at an operation.
#[derive(Clone, Copy, Debug)]
enum Death {
    Kill,
    Cut(Survival),
}

const DEATHS: [Death; 5] = [
    Death::Kill,
    Death::Cut(Survival::Nothing),
    Death::Cut(Survival::Everything),
    Death::Cut(Survival::Prefix(1)),
    Death::Cut(Survival::Random),
];

async fn die(disk: &SimDisk, death: Death) {
    match death {
        Death::Kill => disk.kill(),
        Death::Cut(survival) => disk.restart(survival),
    }
    // The tasks that the killed process left on the runtime find that their disk is gone.
    crate::helpers::settle().await;
}

#[test]
fn a_death_at_every_operation() {
    let mut deaths = 0;
    for death in DEATHS {
        for cut in 0.. {
            let is_through = run(async {
                let (disk, store) = (SimDisk::new(cut), Store::new());
                let mut promised = Promised::default();
                disk.cut_power_at(cut);
                live(&disk, &store, &mut promised, 12).await;
                let is_through = !disk.is_off();
                let label = format!("{death:?} at operation {cut}");
                die(&disk, death).await;
                check(&disk, &store, &mut promised, &label).await;
                live_on(&disk, &store, &mut promised, &label).await;
                is_through
            });
            deaths += 1;
            if is_through {
                break;
            }
        }
    }
    println!("{deaths} deaths");
    assert!(deaths > 300);
}

#[test]
fn two_deaths_in_a_row() {
    let mut deaths = 0;
    for seed in 0..400 {
        run(async {
            let (disk, store) = (SimDisk::new(seed), Store::new());
            let mut promised = Promised::default();
            for life in 0..3 {
                let cut = disk.operations() + (seed * 7 + life * 13) % 90;
                disk.cut_power_at(cut);
                live(&disk, &store, &mut promised, 10).await;
                let death = DEATHS[usize::try_from((seed + life) % 5).unwrap()];
                let label = format!("seed {seed}, life {life}, {death:?} at {cut}");
                die(&disk, death).await;
                check(&disk, &store, &mut promised, &label).await;
                deaths += 1;
            }
            live_on(&disk, &store, &mut promised, &format!("seed {seed}")).await;
        });
    }
    println!("{deaths} deaths");
}
