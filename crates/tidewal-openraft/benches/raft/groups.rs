//! Many raft logs in one `Wal`: appends per second with the same number in flight, in one group and
//! in many.

use std::path::Path;
use std::time::Instant;

use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{EntryOf, LogIdOf};
use openraft::{EntryPayload, RaftTypeConfig};
use tidewal_openraft::v0_10::{RaftLog, RaftLogs};

use crate::v0_10::{Command, Types};
use crate::{Args, Figures, Spread, histogram, record};

/// Measures one group and many groups, in turns.
pub async fn run(args: &Args) {
    println!(
        "\n| in flight | groups | appends/s | p50 µs | p99 µs | appends/s relative to one group |"
    );
    println!("|---:|---:|---:|---:|---:|---:|");
    for &clients in &args.clients {
        for &groups in &args.groups {
            let (mut ones, mut manys) = (Vec::new(), Vec::new());
            for round in 0..args.rounds() {
                if round.is_multiple_of(2) {
                    ones.push(measure(1, clients, args).await);
                    manys.push(measure(groups, clients, args).await);
                } else {
                    manys.push(measure(groups, clients, args).await);
                    ones.push(measure(1, clients, args).await);
                }
            }
            report(clients, 1, &ones, &ones);
            report(clients, groups, &manys, &ones);
        }
    }
}

fn report(clients: usize, groups: u64, rounds: &[Figures], ones: &[Figures]) {
    let spread = |figure: fn(&Figures) -> f64| Spread::of(rounds.iter().map(figure));
    let rate = spread(|figures| figures.rate);
    let p50 = spread(|figures| figures.p50);
    let p99 = spread(|figures| figures.p99);
    let by_one = Spread::of(
        rounds
            .iter()
            .zip(ones)
            .map(|(many, one)| many.rate / one.rate),
    );
    println!("| {clients} | {groups} | {rate:.0} | {p50:.0} | {p99:.0} | {by_one:.2} |");
}

async fn measure(groups: u64, clients: usize, args: &Args) -> Figures {
    let dir = args.temporary_dir().expect("the directory can be written");
    let mut groups = open(dir.path(), groups).await;
    let mut latencies = histogram();
    let started = Instant::now();
    let until = started + args.time();
    let mut in_flight = std::collections::VecDeque::new();
    let mut index = 0;
    while Instant::now() < until {
        for group in &mut groups {
            if in_flight.len() == clients {
                let (started, flushed) = in_flight.pop_front().expect("some are in flight");
                done(flushed).await;
                record(&mut latencies, started);
            }
            in_flight.push_back((Instant::now(), append(group, index, args.size).await));
        }
        index += 1;
        if index % PURGE_EVERY == 0 {
            purge(&mut groups, index - 1).await;
        }
    }
    for (started, flushed) in in_flight {
        done(flushed).await;
        record(&mut latencies, started);
    }
    Figures::new(&latencies, started.elapsed())
}

async fn open(dir: &Path, groups: u64) -> Vec<RaftLog<Types>> {
    let logs = RaftLogs::open(dir).await.expect("the log opens");
    let group = |id| logs.open_group(id).expect("it is open once");
    (0..groups).map(group).collect()
}

type Flushed = <<<Types as RaftTypeConfig>::AsyncRuntime as openraft::AsyncRuntime>::Oneshot as openraft::async_runtime::Oneshot>::Receiver<Result<(), std::io::Error>>;

async fn append(log: &mut RaftLog<Types>, index: u64, size: usize) -> Flushed {
    let (sender, flushed) = Types::oneshot();
    let entry = EntryOf::<Types> {
        log_id: log_id(index),
        payload: EntryPayload::Normal(Command(vec![7; size])),
    };
    let appended = log.append([entry], IOFlushed::signal(sender)).await;
    appended.expect("the disk works");
    flushed
}

async fn done(flushed: Flushed) {
    let outcome = flushed.await.expect("it is called");
    outcome.expect("the disk works");
}

/// Purges all groups, so memory stays small.
async fn purge(groups: &mut [RaftLog<Types>], upto: u64) {
    for log in groups {
        log.purge(log_id(upto)).await.expect("the disk works");
    }
}

fn log_id(index: u64) -> LogIdOf<Types> {
    let leader_id = LeaderId {
        term: 1,
        node_id: 1,
    };
    LogIdOf::<Types> { leader_id, index }
}

/// The number of entries of a group between two purges.
const PURGE_EVERY: u64 = 10_000;
