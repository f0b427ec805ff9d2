//! Changes of the types of a state and its commands.

use std::io::{Read, Write};

use bytes::Bytes;
use tidewal::Lsn;
use tidewal::sim::SimDisk;
use tidewal::typed::{BoxError, Codec, Logged};
use tidewal_state::{Error, Options, SnapshotFormat, State, StateMachine};
use tidewal_testing::support::{self, run};

use crate::ledger::DIR;

/// A sum, whose second version also has a counter and one more command.
#[derive(Default)]
struct Sum<const VERSION: u32> {
    sum: u64,
    count: u64,
}

enum Command<const VERSION: u32> {
    Add(u8),
    Clear,
}

struct ByHand;

impl<const VERSION: u32> Logged for Command<VERSION> {
    type Codec = ByHand;
}

impl<const VERSION: u32> Codec<Command<VERSION>> for ByHand {
    fn encode(value: &Command<VERSION>, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        assert!(buffer.is_empty(), "as the contract of a codec says");
        match value {
            Command::Add(number) => buffer.extend([0, *number]),
            Command::Clear => buffer.push(1),
        }
        Ok(())
    }

    fn decode(record: Bytes) -> Result<Command<VERSION>, BoxError> {
        match &record[..] {
            [0, number] => Ok(Command::Add(*number)),
            [1] if VERSION > 1 => Ok(Command::Clear),
            _ => Err("not known".into()),
        }
    }
}

impl<const V: u32> State for Sum<V> {
    type Command = Command<V>;
    type Output = u64;
    type Snapshot = ByHand;
    const VERSION: u32 = V;

    fn apply(&mut self, _: Lsn, command: Command<V>) -> u64 {
        match command {
            Command::Add(number) => self.sum += u64::from(number),
            Command::Clear => self.sum = 0,
        }
        self.count += 1;
        self.sum
    }
}

impl<const V: u32> SnapshotFormat<Sum<V>> for ByHand {
    type Frozen = (u64, u64);

    fn freeze(state: &Sum<V>) -> (u64, u64) {
        (state.sum, state.count)
    }

    fn write(frozen: (u64, u64), output: &mut dyn Write) -> Result<(), BoxError> {
        output.write_all(&frozen.0.to_le_bytes())?;
        if V > 1 {
            output.write_all(&frozen.1.to_le_bytes())?;
        }
        Ok(())
    }

    fn read(version: u32, input: &mut dyn Read) -> Result<Sum<V>, BoxError> {
        let (mut sum, mut count) = ([0; 8], [0; 8]);
        input.read_exact(&mut sum)?;
        if version > 1 {
            input.read_exact(&mut count)?;
        }
        let [sum, count] = [sum, count].map(u64::from_le_bytes);
        Ok(Sum { sum, count })
    }
}

fn options<const V: u32>() -> Options<Sum<V>> {
    StateMachine::options().log(support::options())
}

#[test]
fn a_new_version_reads_the_old_snapshot_and_an_old_one_refuses_the_new() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = options::<1>().open_on(&disk, DIR).await.unwrap();
        assert_eq!(machine.execute(Command::Add(3)).await.unwrap(), 3);
        machine.snapshot().await.unwrap();
        assert_eq!(machine.execute(Command::Add(4)).await.unwrap(), 7);
        machine.close().await.unwrap();

        let machine = options::<2>().open_on(&disk, DIR).await.unwrap();
        assert_eq!(machine.query(|sum| (sum.sum, sum.count)).unwrap(), (7, 1));
        machine.snapshot().await.unwrap();
        machine.close().await.unwrap();

        let refused = options::<1>().open_on(&disk, DIR).await;
        let Err(Error::StateVersion {
            lsn,
            version,
            known,
            ..
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!((lsn.get(), version, known), (2, 2, 1));
    });
}

#[test]
fn a_command_that_is_not_known_names_its_record() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = options::<2>().open_on(&disk, DIR).await.unwrap();
        machine.execute(Command::Add(1)).await.unwrap();
        machine.execute(Command::Clear).await.unwrap();
        machine.close().await.unwrap();
        let refused = options::<1>().open_on(&disk, DIR).await;
        let Err(Error::Undecodable { lsn, source, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((lsn.get(), source.to_string().as_str()), (2, "not known"));
        // Nothing was changed on disk: the version that knows the command still opens it.
        options::<2>().open_on(&disk, DIR).await.unwrap();
    });
}

/// A record that no state machine wrote.
#[test]
fn a_log_of_something_else_is_refused() {
    run(async {
        for record in [&b""[..], b"hello", &[9], &[1, 2, 3, 1], &[5, 0, 0, 0, 2]] {
            let disk = SimDisk::new(1);
            let wal = support::options().open_on(&disk, DIR).await.unwrap();
            wal.append(record).await.unwrap();
            wal.close().await.unwrap();
            let refused = options::<1>().open_on(&disk, DIR).await;
            assert!(
                matches!(
                    refused,
                    Err(Error::Undecodable {
                        lsn: Lsn::FIRST,
                        ..
                    })
                ),
                "{refused:?}"
            );
        }
    });
}

/// Bytes of one format are not taken for another.
#[test]
fn bytes_that_are_left_over_are_an_error() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = options::<1>().open_on(&disk, DIR).await.unwrap();
        machine.execute(Command::Add(1)).await.unwrap();
        machine.snapshot().await.unwrap();
        let snapshots = machine.close().await;
        snapshots.unwrap();
        let locked = support::options().lock_on(&disk, DIR).await.unwrap();
        let recovery = locked.recover(Lsn::FIRST).await.unwrap();
        let wal = recovery.into_wal().await.unwrap();
        wal.append([0, 1, 0].as_slice()).await.unwrap();
        let write = |output: &mut tidewal::snapshot::SnapshotOutput| {
            output.write_all(&1_u32.to_le_bytes())?;
            output.write_all(&1_u32.to_le_bytes())?;
            output.write_all(&[0; 8 * 4 + 8 + 1])
        };
        wal.snapshots().write(Lsn::new(2), write).await.unwrap();
        wal.close().await.unwrap();
        let refused = options::<1>().open_on(&disk, DIR).await;
        assert!(matches!(refused, Err(Error::Snapshot(_))), "{refused:?}");
    });
}
