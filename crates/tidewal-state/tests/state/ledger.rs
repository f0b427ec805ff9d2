//! The state that the tests use: transfers between accounts, and a history of applied commands, so
//! the state after a start can be compared with the answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidewal::Lsn;
use tidewal::sim::SimDisk;
use tidewal::typed::{Json, Logged};
use tidewal_state::{Limits, Options, SnapshotPolicy, State, StateMachine};
use tidewal_testing::support;

pub type Machine = StateMachine<Ledger>;

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Ledger {
    pub balances: BTreeMap<u64, i64>,
    /// The record and the id of each transfer.
    pub history: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Transfer {
    pub id: u64,
    pub from: u64,
    pub to: u64,
    pub amount: i64,
    pub pad: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Receipt {
    /// How many transfers were applied before.
    pub position: usize,
    /// An error if the state has refused the transfer, because there was not enough.
    pub balance: Result<i64, String>,
}

impl Logged for Transfer {
    type Codec = Json;
}

impl Logged for Receipt {
    type Codec = Json;
}

impl State for Ledger {
    type Command = Transfer;
    type Output = Receipt;
    type Snapshot = Json;

    fn apply(&mut self, lsn: Lsn, transfer: Transfer) -> Receipt {
        assert!(transfer.amount != PANICS, "planned");
        let position = self.history.len();
        self.history.push((lsn.get(), transfer.id));
        let from = self.balances.entry(transfer.from).or_insert(OPENING);
        if *from < transfer.amount {
            let balance = Err(format!("{from} is not enough"));
            return Receipt { position, balance };
        }
        *from -= transfer.amount;
        let balance = Ok(*from);
        *self.balances.entry(transfer.to).or_insert(OPENING) += transfer.amount;
        Receipt { position, balance }
    }
}

const OPENING: i64 = 100;

/// An amount for which `apply` panics.
pub const PANICS: i64 = i64::MIN;

pub const DIR: &str = "state";

pub fn transfer(id: u64) -> Transfer {
    Transfer {
        id,
        from: id % 3,
        to: (id + 1) % 3,
        amount: i64::try_from(id % 60).unwrap(),
        pad: String::new(),
    }
}

/// A transfer whose record is larger by about `bytes`.
pub fn padded(id: u64, bytes: usize) -> Transfer {
    Transfer {
        pad: "p".repeat(bytes),
        ..transfer(id)
    }
}

/// Small segments, exactly-once requests, and snapshots only on request.
pub fn options() -> Options<Ledger> {
    let policy = SnapshotPolicy::default().only_when_asked();
    StateMachine::options()
        .log(support::options())
        .snapshots(policy)
        .reserve(0)
        .exactly_once(Limits::default())
}

pub async fn open(disk: &SimDisk) -> Machine {
    options().open_on(disk, DIR).await.unwrap()
}

/// The ids of applied transfers, in order.
pub fn ids(machine: &Machine) -> Vec<u64> {
    let history = machine.query(|ledger| ledger.history.clone()).unwrap();
    history.into_iter().map(|(_, id)| id).collect()
}

/// The names of the segments, and of the snapshots.
pub fn files(disk: &SimDisk, suffix: &str) -> Vec<String> {
    let mut files = disk.files(DIR);
    files.retain(|name| name.rsplit('.').next() == Some(suffix));
    files
}
