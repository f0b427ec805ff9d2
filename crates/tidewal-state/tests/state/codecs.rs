//! Codecs that panic.

use std::cell::Cell;
use std::io::{Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidewal::Lsn;
use tidewal::sim::SimDisk;
use tidewal::typed::{BoxError, Codec, Json, Logged};
use tidewal_state::{Error, Limits, Options, RequestId, SnapshotFormat, State, StateMachine};
use tidewal_testing::support::{self, run};

use crate::ledger::DIR;

/// How many commands were applied.
#[derive(Default)]
struct Count(u64);

#[derive(Deserialize, Serialize)]
struct Add;

impl Logged for Add {
    type Codec = Json;
}

/// An output whose codec panics where a test plans it.
#[derive(Debug, PartialEq)]
struct Position(u64);

struct Planned;

thread_local! {
    static ENCODE_PANICS: Cell<bool> = const { Cell::new(false) };
    static DECODE_PANICS: Cell<bool> = const { Cell::new(false) };
}

impl Codec<Position> for Planned {
    fn encode(position: &Position, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        assert!(!ENCODE_PANICS.get(), "planned");
        buffer.extend(position.0.to_le_bytes());
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Position, BoxError> {
        assert!(!DECODE_PANICS.get(), "planned");
        Ok(Position(u64::from_le_bytes(bytes.as_ref().try_into()?)))
    }
}

impl Logged for Position {
    type Codec = Planned;
}

impl State for Count {
    type Command = Add;
    type Output = Position;
    type Snapshot = Planned;

    fn apply(&mut self, _: Lsn, _: Add) -> Position {
        self.0 += 1;
        Position(self.0)
    }
}

impl SnapshotFormat<Count> for Planned {
    type Frozen = u64;

    fn freeze(state: &Count) -> u64 {
        state.0
    }

    fn write(count: u64, output: &mut dyn Write) -> Result<(), BoxError> {
        Ok(output.write_all(&count.to_le_bytes())?)
    }

    fn read(_: u32, input: &mut dyn Read) -> Result<Count, BoxError> {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes)?;
        Ok(Count(u64::from_le_bytes(bytes)))
    }
}

fn options() -> Options<Count> {
    StateMachine::options()
        .log(support::options())
        .exactly_once(Limits::default())
}

async fn open(disk: &SimDisk) -> StateMachine<Count> {
    options().open_on(disk, DIR).await.unwrap()
}

/// The panic ended the task that applies commands. The state had the effect of the command but not its LSN,
/// so the next start applied the command again to a snapshot of that state.
#[test]
fn regression_a_command_whose_output_cannot_be_kept_is_applied_once() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        let session = machine.open_session().await.unwrap();
        let request = RequestId {
            session,
            sequence: 1,
        };
        ENCODE_PANICS.set(true);
        let error = machine.execute_once(request, Add).await;
        let error = error.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error:?}");
        machine.snapshot().await.unwrap_err();
        machine.query(|count| count.0).unwrap_err();
        drop(machine);

        let refused = options().open_on(&disk, DIR).await.unwrap_err();
        assert!(matches!(refused, Error::Output { .. }), "{refused:?}");
        ENCODE_PANICS.set(false);
        let machine = open(&disk).await;
        assert_eq!(machine.query(|count| count.0).unwrap(), 1);
        let again = machine.execute_once(request, Add).await;
        assert_eq!(again.unwrap(), Position(1));
    });
}

/// The same request twice in flight: the second one gets the stored output of the first one.
#[test]
fn regression_an_output_that_cannot_be_decoded_ends_no_other_request() {
    run(async {
        let disk = SimDisk::new(1);
        let machine = open(&disk).await;
        let session = machine.open_session().await.unwrap();
        let request = |sequence| RequestId { session, sequence };
        DECODE_PANICS.set(true);
        let (first, second) = tokio::join!(
            machine.execute_once(request(1), Add),
            machine.execute_once(request(1), Add)
        );
        assert_eq!(first.unwrap(), Position(1));
        assert!(matches!(second, Err(Error::Output { .. })), "{second:?}");
        let other = machine.execute_once(request(2), Add).await;
        assert_eq!(other.unwrap(), Position(2));
        DECODE_PANICS.set(false);
        let again = machine.execute_once(request(1), Add).await;
        assert_eq!(again.unwrap(), Position(1));
    });
}
