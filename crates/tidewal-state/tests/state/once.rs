//! Requests that are sent again.

use futures::future::join_all;
use tidewal::sim::{SimDisk, Survival};
use tidewal_state::{Error, Limits, RequestId, SessionId};
use tidewal_testing::support::{self, run};

use crate::ledger::{DIR, Machine, ids, open, options, transfer};

fn request(session: SessionId, sequence: u64) -> RequestId {
    RequestId { session, sequence }
}

#[test]
fn a_retry_gets_the_first_output() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        let session = machine.open_session().await.unwrap();
        let first = machine.execute_once(request(session, 1), transfer(1)).await;
        machine.execute(transfer(2)).await.unwrap();
        let again = machine.execute_once(request(session, 1), transfer(1)).await;
        assert_eq!(again.unwrap(), first.unwrap());
        assert_eq!(ids(&machine), [1, 2]);
        // A retry of a known request needs no record.
        assert_eq!(machine.stats().applied.get(), 3);
    });
}

/// Two concurrent attempts: both are in the log, and one is applied.
#[test]
fn a_retry_while_the_first_is_on_its_way() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        let session = machine.open_session().await.unwrap();
        let sends = (0..5).map(|_| machine.execute_once(request(session, 7), transfer(1)));
        let receipts: Vec<_> = join_all(sends)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
        assert_eq!(ids(&machine), [1]);
        assert_eq!(machine.stats().applied.get(), 6);
        drop(machine);
        let machine = open(&disk).await;
        assert_eq!(ids(&machine), [1]);
    });
}

/// The table is in the log and in the snapshot.
#[test]
fn a_retry_after_a_crash() {
    run(async {
        for with_snapshot in [false, true] {
            let disk = SimDisk::new(1);
            let machine = options().open_on(&disk, DIR).await.unwrap();
            let session = machine.open_session().await.unwrap();
            let first = machine.execute_once(request(session, 1), transfer(1)).await;
            if with_snapshot {
                machine.snapshot().await.unwrap();
            }
            disk.restart(Survival::Nothing);
            let machine = open(&disk).await;
            let again = machine.execute_once(request(session, 1), transfer(1)).await;
            assert_eq!(again.unwrap(), first.unwrap());
            assert_eq!(ids(&machine), [1]);
        }
    });
}

#[test]
fn what_cannot_be_told_is_not_executed() {
    run(async {
        let disk = SimDisk::new(1);
        let limits = Limits::default().sessions(2).window(2);
        let machine = options()
            .exactly_once(limits)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        let unknown = machine.execute_once(request(SessionId::new(99), 1), transfer(1));
        let unknown = unknown.await;
        assert!(matches!(
            unknown,
            Err(Error::SessionExpired { session: 99, .. })
        ));
        let first = machine.open_session().await.unwrap();
        for sequence in 1..=3 {
            let id = request(first, sequence);
            machine.execute_once(id, transfer(sequence)).await.unwrap();
        }
        let old = machine.execute_once(request(first, 1), transfer(1)).await;
        assert!(
            matches!(old, Err(Error::RequestForgotten { sequence: 1, .. })),
            "{old:?}"
        );
        for _ in 0..2 {
            machine.open_session().await.unwrap();
        }
        let expired = machine.execute_once(request(first, 3), transfer(3)).await;
        assert!(
            matches!(expired, Err(Error::SessionExpired { .. })),
            "{expired:?}"
        );
        assert_eq!(ids(&machine), [1, 2, 3]);
    });
}

/// Other limits in a later life do not change earlier decisions.
#[test]
fn a_start_decides_as_it_was_decided() {
    run(async {
        let disk = SimDisk::new(1);
        let few = Limits::default().sessions(1);
        let machine = options()
            .exactly_once(few)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        let first = machine.open_session().await.unwrap();
        machine
            .execute_once(request(first, 1), transfer(1))
            .await
            .unwrap();
        // Both are in flight before the first session expires.
        let (second, late) = tokio::join!(
            machine.open_session(),
            machine.execute_once(request(first, 2), transfer(2))
        );
        assert!(
            matches!(late, Err(Error::SessionExpired { .. })),
            "{late:?}"
        );
        second.unwrap();
        drop(machine);
        let many = Limits::default().sessions(100);
        let machine = options()
            .exactly_once(many)
            .open_on(&disk, DIR)
            .await
            .unwrap();
        assert_eq!(ids(&machine), [1]);
        let again = machine.execute_once(request(first, 2), transfer(2)).await;
        assert!(
            matches!(again, Err(Error::SessionExpired { .. })),
            "{again:?}"
        );
    });
}

#[test]
fn a_log_with_requests_needs_the_option() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        let session = machine.open_session().await.unwrap();
        machine
            .execute_once(request(session, 1), transfer(1))
            .await
            .unwrap();
        drop(machine);
        let plain = || tidewal_state::StateMachine::<crate::ledger::Ledger>::options();
        let refused = plain().log(support::options()).open_on(&disk, DIR).await;
        let Err(Error::ExactlyOnceOff { lsn, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(lsn.get(), 2);
        let disk = SimDisk::new(2);
        let machine = plain()
            .log(support::options())
            .open_on(&disk, DIR)
            .await
            .unwrap();
        let refused = machine.open_session().await;
        assert!(matches!(refused, Err(Error::ExactlyOnceOff { .. })));
        let refused = machine.execute_once(request(session, 1), transfer(1)).await;
        assert!(matches!(refused, Err(Error::ExactlyOnceOff { .. })));
    });
}

/// Every request is sent until it is answered, through power cuts at random operations, and each is
/// applied once. `TIDEWAL_STATE_RETRIES=n` sets the number of retries.
#[test]
fn exactly_once_through_power_cuts() {
    let wanted = std::env::var("TIDEWAL_STATE_RETRIES");
    retries_through_power_cuts(wanted.map_or(1500, |text| text.parse().unwrap()));
}

pub fn retries_through_power_cuts(wanted: u64) {
    let (mut retries, mut lives) = (0, 0);
    for seed in 0.. {
        if retries >= wanted {
            break;
        }
        println!("seed {seed}");
        let disk = SimDisk::new(seed);
        let mut clients = Vec::new();
        for life in 0..20 {
            run(async {
                let machine = open(&disk).await;
                if clients.is_empty() {
                    for _ in 0..8 {
                        clients.push((machine.open_session().await.unwrap(), 1));
                    }
                }
                disk.cut_power_at(disk.operations() + (seed * 31 + life * 17) % 40);
                let sends = clients
                    .iter_mut()
                    .map(|client| send_until_the_power_goes(&machine, &disk, client));
                retries += join_all(sends).await.into_iter().sum::<u64>();
            });
            disk.restart(Survival::Random);
            lives += 1;
        }
        run(check_once(&disk, &clients));
    }
    println!("{retries} retries in {lives} lives, each request applied once");
}

/// Sends each request at least twice, and continues with the next one once it was answered. Returns
/// the number of retries.
async fn send_until_the_power_goes(
    machine: &Machine,
    disk: &SimDisk,
    (session, sequence): &mut (SessionId, u64),
) -> u64 {
    let mut retries = 0;
    while !disk.is_off() {
        let id = request(*session, *sequence);
        let sent = transfer(session.get() * 1_000_000 + *sequence);
        let (first, second) = tokio::join!(
            machine.execute_once(id, sent.clone()),
            machine.execute_once(id, sent)
        );
        retries += 1;
        for outcome in [&first, &second] {
            let is_forgotten = matches!(
                outcome,
                Err(Error::SessionExpired { .. } | Error::RequestForgotten { .. })
            );
            assert!(!is_forgotten, "{id:?}: {outcome:?}");
        }
        if let (Ok(first), Ok(second)) = (&first, &second) {
            assert_eq!(first, second, "{id:?}");
        }
        if first.is_ok() || second.is_ok() {
            *sequence += 1;
        }
        if *sequence % 7 == 0 {
            let _ = machine.snapshot().await;
        }
    }
    retries
}

async fn check_once(disk: &SimDisk, clients: &[(SessionId, u64)]) {
    let machine = open(disk).await;
    let applied = ids(&machine);
    for (session, next) in clients {
        let mut of_session = applied
            .iter()
            .filter(|&&id| id / 1_000_000 == session.get());
        for sequence in 1..*next {
            let found = of_session.next().map(|id| id % 1_000_000);
            assert_eq!(found, Some(sequence), "of {session:?}");
        }
        // The last one may have been applied without an answer.
        let last = of_session.next().map(|id| id % 1_000_000);
        assert!(last.is_none_or(|last| last == *next), "of {session:?}");
        assert_eq!(of_session.next(), None, "of {session:?}");
    }
}
