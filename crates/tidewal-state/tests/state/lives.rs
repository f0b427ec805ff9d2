//! Random commands, batches, requests, snapshots, queries, and futures that are dropped or kept, with full disks,
//! failing calls, power cuts and kills: five lives each, checked against a model.
//!
//! `TIDEWAL_STATE_CUTS=n` runs seeds until n cuts, `TIDEWAL_STATE_SEED=n` repeats one.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::future::{join, join_all};
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::snapshot::{SnapshotError, SnapshotFile, SnapshotState};
use tidewal_state::{Error, Limits, Options, RequestId, SessionId, SnapshotPolicy};
use tidewal_testing::support::{self, run};

use crate::ledger::{DIR, Ledger, Machine, Transfer, options};
use crate::oracle::Oracle;

#[test]
fn five_lives_through_power_cuts() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    if let Some(seed) = number("TIDEWAL_STATE_SEED") {
        live(seed);
        return;
    }
    let cuts = number("TIDEWAL_STATE_CUTS").unwrap_or(500);
    let (mut seeds, mut deaths) = (0, Deaths::default());
    // Without any cut it ends as well.
    while deaths.cuts < cuts && seeds <= cuts {
        let seed = seeds;
        seeds += 1;
        let lived = std::panic::catch_unwind(|| live(seed));
        let lived = lived.unwrap_or_else(|_| panic!("TIDEWAL_STATE_SEED={seed} fails"));
        deaths.cuts += lived.cuts;
        deaths.kills += lived.kills;
        deaths.snapshots += lived.snapshots;
        deaths.answers += lived.answers;
        deaths.retries += lived.retries;
        deaths.full += lived.full;
        deaths.kept += lived.kept;
    }
    println!("{seeds} seeds: {deaths:?}");
    assert!(
        deaths.cuts > seeds && deaths.kills > seeds / 3,
        "{deaths:?}"
    );
    assert!(deaths.snapshots > seeds && deaths.full > 0, "{deaths:?}");
    assert!(deaths.retries > seeds / 10, "{deaths:?}");
    assert!(deaths.kept > seeds, "{deaths:?}");
}

#[derive(Debug, Default)]
pub struct Deaths {
    cuts: u64,
    kills: u64,
    snapshots: u64,
    answers: u64,
    /// Requests of an earlier life that were sent again.
    retries: u64,
    /// Commands that a full disk has refused.
    full: u64,
    /// Futures that were kept without being polled.
    kept: u64,
}

/// The state that is kept between lives.
struct World {
    disk: SimDisk,
    random: Random,
    oracle: Oracle,
    clients: Vec<Client>,
    deaths: Deaths,
}

/// A client with a session, and a request whose outcome it does not know.
#[derive(Default)]
struct Client {
    session: Option<SessionId>,
    sequence: u64,
    in_doubt: Option<(RequestId, Transfer)>,
}

pub fn live(seed: u64) -> Deaths {
    let disk = SimDisk::new(seed);
    let mut world = World {
        disk,
        random: Random(seed),
        oracle: Oracle::default(),
        clients: (0..4).map(|_| Client::default()).collect(),
        deaths: Deaths::default(),
    };
    for _ in 0..5 {
        run(world.life());
        world.die();
    }
    run(async {
        world.disk.set_quota(None);
        let machine = options().open_on(&world.disk, DIR).await.unwrap();
        let ledger = machine.query(Ledger::clone).unwrap();
        world.oracle.start(&ledger);
    });
    world.deaths
}

impl World {
    async fn life(&mut self) {
        let options = self.random.options();
        self.plan();
        let machine = match options.open_on(&self.disk, DIR).await {
            Ok(machine) => machine,
            Err(Error::Snapshot(error @ SnapshotError::Diverged { .. })) => panic!("{error}"),
            // Only planned faults prevent it from opening.
            Err(Error::Log(_) | Error::Snapshot(_)) => return,
            Err(Error::NoSnapshot { skipped, .. }) if is_unreadable(&skipped) => return,
            Err(error) => panic!("{error:?}"),
        };
        let ledger = machine.query(Ledger::clone).unwrap();
        self.oracle.start(&ledger);
        let seeds: Vec<_> = self.clients.iter().map(|_| self.random.next()).collect();
        let reader = Random(self.random.next());
        let (oracle, disk) = (RefCell::new(&mut self.oracle), &self.disk);
        let deaths = RefCell::new(&mut self.deaths);
        let kept = RefCell::new(Vec::new());
        let clients = self.clients.iter_mut().zip(seeds).map(|(client, seed)| {
            let mut worker = Worker {
                machine: &machine,
                disk,
                oracle: &oracle,
                deaths: &deaths,
                kept: &kept,
                random: Random(seed),
            };
            async move { worker.work(client).await }
        });
        join(join_all(clients), read(&machine, &oracle, reader)).await;
        self.deaths.snapshots += machine.stats().snapshots;
        match self.random.below(3) {
            0 => drop(machine.close().await),
            // The futures that are kept are handles too.
            1 => drop((machine, kept)),
            // The state machine is still open when the process ends.
            _ => std::mem::forget((machine, kept)),
        }
    }

    /// Plans the faults of this life.
    fn plan(&mut self) {
        let random = &mut self.random;
        if random.below(5) > 0 {
            let at = self.disk.operations() + random.below(250);
            self.disk.cut_power_at(at);
        }
        if random.below(3) == 0 {
            let operation = Operation::ALL[random.index(Operation::ALL.len())];
            let kinds = [
                std::io::ErrorKind::Other,
                std::io::ErrorKind::StorageFull,
                std::io::ErrorKind::PermissionDenied,
            ];
            let kind = kinds[random.index(3)];
            self.disk.fail(operation, random.below(60), kind);
        }
        let quota = (random.below(3) == 0).then(|| 50_000 + random.below(100_000));
        self.disk.set_quota(quota);
    }

    fn die(&mut self) {
        if self.random.below(3) == 0 {
            self.disk.kill();
            self.deaths.kills += 1;
            return;
        }
        let survivals = [Survival::Nothing, Survival::Everything, Survival::Random];
        self.disk.restart(survivals[self.random.index(3)]);
        self.deaths.cuts += 1;
    }
}

/// Whether a read has failed, which only a planned fault causes.
fn is_unreadable(skipped: &[SnapshotFile]) -> bool {
    let mut states = skipped.iter().map(|file| file.state);
    states.any(|state| state == SnapshotState::Unreadable)
}

/// Queries now and then, beside the clients.
async fn read(machine: &Machine, oracle: &RefCell<&mut Oracle>, mut random: Random) {
    for _ in 0..random.below(30) {
        tokio::time::sleep(Duration::from_millis(random.below(3))).await;
        query(machine, oracle);
    }
}

fn query(machine: &Machine, oracle: &RefCell<&mut Oracle>) {
    let ledger = machine.query(Ledger::clone).unwrap();
    oracle.borrow_mut().query(&ledger);
}

/// A call whose outcome no one learns.
type Call = Pin<Box<dyn Future<Output = ()>>>;

/// A client in one life.
struct Worker<'a, 'b> {
    machine: &'a Machine,
    disk: &'a SimDisk,
    oracle: &'a RefCell<&'b mut Oracle>,
    deaths: &'a RefCell<&'b mut Deaths>,
    /// Futures that were polled once. No other caller waits for them.
    kept: &'a RefCell<Vec<Call>>,
    random: Random,
}

impl Worker<'_, '_> {
    async fn work(&mut self, client: &mut Client) {
        for _ in 0..self.random.below(40) {
            if self.disk.is_off() {
                return;
            }
            match self.random.below(13) {
                0..4 => self.execute().await,
                4 => self.batch().await,
                5 => self.give_up(client).await,
                12 => self.keep(client).await,
                6..8 => self.request(client).await,
                8 => drop(self.machine.snapshot().await),
                9 => tokio::time::sleep(Duration::from_millis(self.random.below(100))).await,
                _ => self.query(),
            }
        }
    }

    fn query(&mut self) {
        query(self.machine, self.oracle);
    }

    fn transfer(&mut self) -> Transfer {
        let id = self.oracle.borrow().next_id();
        let transfer = Transfer {
            id,
            from: self.random.below(4),
            to: self.random.below(4),
            amount: i64::try_from(self.random.below(60)).unwrap(),
            pad: "p".repeat(self.random.index(900)),
        };
        self.oracle.borrow_mut().send(&transfer);
        transfer
    }

    async fn execute(&mut self) {
        let transfer = self.transfer();
        let id = transfer.id;
        let outcome = self.machine.execute(transfer).await;
        self.oracle.borrow_mut().note(id, &outcome);
        if outcome.is_ok() {
            self.deaths.borrow_mut().answers += 1;
            self.query();
        }
        if let Err(Error::Log(tidewal::Error::StorageFull(_))) = outcome {
            self.deaths.borrow_mut().full += 1;
        }
    }

    /// The transfers of a batch.
    fn transfers(&mut self) -> Vec<Transfer> {
        let count = 1 + self.random.below(4);
        let transfers: Vec<_> = (0..count).map(|_| self.transfer()).collect();
        let ids: Vec<_> = transfers.iter().map(|transfer| transfer.id).collect();
        self.oracle.borrow_mut().send_batch(&ids);
        transfers
    }

    async fn batch(&mut self) {
        let transfers = self.transfers();
        let ids: Vec<_> = transfers.iter().map(|transfer| transfer.id).collect();
        match self.machine.execute_batch(transfers).await {
            Ok(receipts) => {
                for (id, receipt) in ids.into_iter().zip(receipts) {
                    self.oracle.borrow_mut().note(id, &Ok(receipt));
                }
            }
            Err(error) => {
                let mut oracle = self.oracle.borrow_mut();
                ids.into_iter()
                    .for_each(|id| oracle.note(id, &Err(error.clone())));
            }
        }
    }

    /// Polls a call once and drops it.
    async fn give_up(&mut self, client: &mut Client) {
        let mut call = self.call(client);
        let _ = futures::poll!(call.as_mut());
    }

    /// Polls a call once and keeps it.
    async fn keep(&mut self, client: &mut Client) {
        let mut call = self.call(client);
        if futures::poll!(call.as_mut()).is_pending() {
            self.deaths.borrow_mut().kept += 1;
            self.kept.borrow_mut().push(call);
        }
    }

    /// Any call. It has a handle of its own.
    fn call(&mut self, client: &mut Client) -> Call {
        let machine = self.machine.clone();
        match (self.random.below(5), client.session) {
            (0, _) => {
                let transfers = self.transfers();
                Box::pin(async move { drop(machine.execute_batch(transfers).await) })
            }
            (1, Some(session)) => {
                let in_doubt = client.in_doubt.take();
                let (id, transfer) = in_doubt.unwrap_or_else(|| self.new_request(client, session));
                client.in_doubt = Some((id, transfer.clone()));
                Box::pin(async move { drop(machine.execute_once(id, transfer).await) })
            }
            (2, _) => Box::pin(async move { drop(machine.snapshot().await) }),
            _ => {
                let transfer = self.transfer();
                Box::pin(async move { drop(machine.execute(transfer).await) })
            }
        }
    }

    /// One request at a time, sent again until its outcome is known.
    async fn request(&mut self, client: &mut Client) {
        let Some(session) = client.session else {
            client.session = self.machine.open_session().await.ok();
            client.sequence = 0;
            return;
        };
        let (id, transfer) = match client.in_doubt.take() {
            Some(in_doubt) => {
                self.deaths.borrow_mut().retries += 1;
                in_doubt
            }
            None => self.new_request(client, session),
        };
        let outcome = self.machine.execute_once(id, transfer.clone()).await;
        let mut oracle = self.oracle.borrow_mut();
        oracle.note_request(transfer.id, &outcome);
        match outcome {
            Ok(_) => {}
            Err(Error::SessionExpired { .. }) => client.session = None,
            Err(Error::RequestForgotten { .. }) => panic!("one request at a time is not forgotten"),
            Err(_) => client.in_doubt = Some((id, transfer)),
        }
    }

    fn new_request(&mut self, client: &mut Client, session: SessionId) -> (RequestId, Transfer) {
        client.sequence += 1;
        let id = RequestId {
            session,
            sequence: client.sequence,
        };
        (id, self.transfer())
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    fn options(&mut self) -> Options<Ledger> {
        let policy = SnapshotPolicy::default()
            .every_records(1 + self.below(40))
            .every_bytes(1 + self.below(50_000))
            .min_pause(Duration::from_millis(self.below(50)))
            .keep(1 + self.index(3));
        let limits = Limits::default()
            .sessions(2 + self.below(6))
            .window(1 + self.below(3));
        let log = support::options();
        let log = match self.below(3) {
            0 => log.queue_records(1 + self.index(4)),
            _ => log,
        };
        options()
            .log(log)
            .snapshots(policy)
            .reserve(self.below(3) * 20_000)
            .in_flight_bytes(1 + self.below(5000))
            .exactly_once(limits)
    }
}
