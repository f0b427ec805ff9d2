//! A bank: transfers between accounts, requests that are sent again and executed once, and a state whose type
//! has changed.
//!
//!     cargo run -p tidewal-state --example bank

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tidewal::Lsn;
use tidewal::typed::{BoxError, Json, Logged};
use tidewal_state::{Limits, RequestId, Result, SnapshotFormat, State, StateMachine};

/// The state. In its first version, an account was only a balance.
#[derive(Clone, Default, Deserialize, Serialize)]
struct Bank {
    accounts: BTreeMap<String, Account>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Account {
    balance: i64,
    /// How far the balance may be below 0. An account of the first version has 0, so every command that is in the
    /// log has the effect that it had then.
    credit: i64,
}

/// The commands. Those of every version stay in the log until snapshots cover them. `Credit` is new in version 2.
#[derive(Clone, Deserialize, Serialize)]
enum Command {
    Deposit {
        to: String,
        amount: u32,
    },
    Transfer {
        from: String,
        to: String,
        amount: u32,
    },
    Credit {
        account: String,
        limit: u32,
    },
}

impl Logged for Command {
    type Codec = Json;
}

/// The output of a command. It is kept for retries, so it has a codec. `Logged` can only be implemented for a type
/// of your own, so it is an enum instead of a `Result`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum Outcome {
    /// The balance of the account that was changed, or that the money came from.
    Done {
        balance: i64,
    },
    NoAccount,
    NotEnough {
        balance: i64,
    },
}

impl Logged for Outcome {
    type Codec = Json;
}

impl State for Bank {
    type Command = Command;
    type Output = Outcome;
    type Snapshot = Format;

    const VERSION: u32 = 2;

    fn apply(&mut self, _: Lsn, command: Command) -> Outcome {
        match command {
            Command::Deposit { to, amount } => self.deposit(to, amount.into()),
            Command::Transfer { from, to, amount } => self.transfer(&from, to, amount.into()),
            Command::Credit { account, limit } => self.set_credit(&account, limit.into()),
        }
    }
}

impl Bank {
    fn deposit(&mut self, to: String, amount: i64) -> Outcome {
        let account = self.accounts.entry(to).or_default();
        account.balance += amount;
        account.done()
    }

    /// A refusal is an output too: it is decided here, in the order of the log, and never before the command is in
    /// the log.
    fn transfer(&mut self, from: &str, to: String, amount: i64) -> Outcome {
        let Some(payer) = self.accounts.get_mut(from) else {
            return Outcome::NoAccount;
        };
        if payer.balance + payer.credit < amount {
            let balance = payer.balance;
            return Outcome::NotEnough { balance };
        }
        payer.balance -= amount;
        let done = payer.done();
        self.deposit(to, amount);
        done
    }

    fn set_credit(&mut self, account: &str, limit: i64) -> Outcome {
        let Some(account) = self.accounts.get_mut(account) else {
            return Outcome::NoAccount;
        };
        account.credit = limit;
        account.done()
    }
}

impl Account {
    fn done(&self) -> Outcome {
        Outcome::Done {
            balance: self.balance,
        }
    }
}

/// Snapshots, with a migration. The first version had `type Snapshot = Json`, whose contents are the state as JSON.
struct Format;

impl SnapshotFormat<Bank> for Format {
    type Frozen = Bank;

    fn freeze(bank: &Bank) -> Bank {
        bank.clone()
    }

    fn write(bank: Bank, output: &mut dyn Write) -> Result<(), BoxError> {
        <Json as SnapshotFormat<Bank>>::write(bank, output)
    }

    fn read(version: u32, input: &mut dyn Read) -> Result<Bank, BoxError> {
        match version {
            1 => <Json as SnapshotFormat<FirstBank>>::read(version, input).map(Bank::from),
            _ => <Json as SnapshotFormat<Bank>>::read(version, input),
        }
    }
}

/// The state of version 1, to be read from old snapshots.
#[derive(Clone, Default, Deserialize, Serialize)]
struct FirstBank {
    accounts: BTreeMap<String, i64>,
}

impl From<FirstBank> for Bank {
    fn from(first: FirstBank) -> Self {
        let migrated = |(name, balance)| (name, Account { balance, credit: 0 });
        Self {
            accounts: first.accounts.into_iter().map(migrated).collect(),
        }
    }
}

async fn open(dir: &Path) -> Result<StateMachine<Bank>> {
    let options = StateMachine::options().exactly_once(Limits::default());
    options.open(dir).await
}

/// Sends a request until its outcome is known.
///
/// A client that may crash itself stores the id and the command first. After an unknown outcome the log has failed,
/// so the state machine is opened again.
async fn request(dir: &Path, id: RequestId, command: Command) -> Result<Outcome> {
    let mut attempts = 0;
    loop {
        let bank = open(dir).await?;
        match bank.execute_once(id, command.clone()).await {
            Err(error) if error.is_outcome_unknown() && attempts < 3 => attempts += 1,
            outcome => return bank.close().await.and(outcome),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let dir = Path::new("data/bank");
    let bank = open(dir).await?;
    let deposit = Command::Deposit {
        to: "alice".into(),
        amount: 100,
    };
    println!("alice: {:?}", bank.execute(deposit).await?);
    // A client has one session, and counts its requests.
    let session = bank.open_session().await?;
    let id = RequestId {
        session,
        sequence: 1,
    };
    bank.close().await?;

    let transfer = Command::Transfer {
        from: "alice".into(),
        to: "bob".into(),
        amount: 30,
    };
    let first = request(dir, id, transfer.clone()).await?;
    // The client got no answer, or has forgotten it. The money is transferred once.
    let again = request(dir, id, transfer).await?;
    println!("transfer: {first:?}, again: {again:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidewal_state::Error;

    use super::*;

    /// The service before the change.
    impl State for FirstBank {
        type Command = Command;
        type Output = Outcome;
        type Snapshot = Json;

        fn apply(&mut self, _: Lsn, command: Command) -> Outcome {
            let Command::Deposit { to, amount } = command else {
                return Outcome::NoAccount;
            };
            let balance = self.accounts.entry(to).or_default();
            *balance += i64::from(amount);
            Outcome::Done { balance: *balance }
        }
    }

    fn deposit(amount: u32) -> Command {
        let to = "alice".into();
        Command::Deposit { to, amount }
    }

    fn transfer(amount: u32) -> Command {
        let (from, to) = ("alice".into(), "bob".into());
        Command::Transfer { from, to, amount }
    }

    /// One deposit is in the snapshot of the first version, one only in the log.
    #[tokio::test]
    async fn the_bank_goes_on_after_the_change_of_its_state() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateMachine::<FirstBank>::open(dir.path()).await.unwrap();
        first.execute(deposit(70)).await.unwrap();
        first.snapshot().await.unwrap();
        first.execute(deposit(30)).await.unwrap();
        first.close().await.unwrap();

        let bank = open(dir.path()).await.unwrap();
        let balance = |bank: &Bank| bank.accounts["alice"].balance;
        assert_eq!(bank.query(balance).unwrap(), 100);
        let refused = bank.execute(transfer(120)).await.unwrap();
        assert_eq!(refused, Outcome::NotEnough { balance: 100 });
        let account = "alice".into();
        let credit = Command::Credit { account, limit: 50 };
        bank.execute(credit).await.unwrap();
        let done = bank.execute(transfer(120)).await.unwrap();
        assert_eq!(done, Outcome::Done { balance: -20 });
        bank.snapshot().await.unwrap();
        bank.close().await.unwrap();

        let bank = open(dir.path()).await.unwrap();
        assert_eq!(bank.query(balance).unwrap(), -20);
        bank.close().await.unwrap();
        // The old code does not start from the new state.
        let old = StateMachine::<FirstBank>::open(dir.path()).await;
        let error = old.unwrap_err();
        assert!(matches!(error, Error::StateVersion { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_request_that_is_sent_again_is_executed_once() {
        let dir = tempfile::tempdir().unwrap();
        let bank = open(dir.path()).await.unwrap();
        bank.execute(deposit(100)).await.unwrap();
        let session = bank.open_session().await.unwrap();
        bank.close().await.unwrap();
        let sequence = 1;
        let id = RequestId { session, sequence };
        for _ in 0..3 {
            let outcome = request(dir.path(), id, transfer(30)).await.unwrap();
            assert_eq!(outcome, Outcome::Done { balance: 70 });
        }
    }
}
