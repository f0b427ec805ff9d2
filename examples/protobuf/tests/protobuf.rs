//! The codec of this package: messages come back, also after power cuts, and between versions of a type.

use futures::TryStreamExt;
use protobuf_codec::Protobuf;
use tidewal::sim::{SimDisk, Survival};
use tidewal::typed::{Logged, TypedRecovery, TypedWal};
use tidewal::{Error, Lsn, Result};
use tidewal_testing::support::{DIR, options, run};

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(oneof = "Kind", tags = "1, 2")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(string, tag = "1")]
    Opened(String),
    #[prost(uint64, tag = "2")]
    Closed(u64),
}

impl Logged for Message {
    type Codec = Protobuf;
}

fn messages(count: u64) -> Vec<Message> {
    let kind = |number| match number % 3 {
        0 => Some(Kind::Opened("x".repeat(usize::try_from(number).unwrap()))),
        1 => Some(Kind::Closed(number)),
        _ => None,
    };
    (0..count)
        .map(|number| Message { kind: kind(number) })
        .collect()
}

#[test]
fn messages_come_back() {
    run(async {
        let disk = SimDisk::new(1);
        let values = messages(200);
        write(&disk, &values).await;
        assert_eq!(read::<Message>(&disk).await.unwrap(), values);
    });
}

#[test]
fn acknowledged_messages_survive_every_power_cut() {
    let cuts = cut_everywhere(&messages(7 * 30));
    println!("{cuts} power cuts");
    assert!(cuts > 300, "{cuts} power cuts only");
}

#[derive(Clone, PartialEq, prost::Message)]
struct OldMessage {
    #[prost(uint32, tag = "1")]
    key: u32,
    #[prost(oneof = "OldKind", tags = "2")]
    kind: Option<OldKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OldKind {
    #[prost(string, tag = "2")]
    Put(String),
}

#[derive(Clone, PartialEq, prost::Message)]
struct NewMessage {
    #[prost(uint32, tag = "9")]
    ttl: u32,
    #[prost(oneof = "NewKind", tags = "3, 2")]
    kind: Option<NewKind>,
    #[prost(uint32, tag = "1")]
    renamed: u32,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum NewKind {
    #[prost(bool, tag = "3")]
    Clear(bool),
    #[prost(string, tag = "2")]
    Put(String),
}

impl Logged for OldMessage {
    type Codec = Protobuf;
}

impl Logged for NewMessage {
    type Codec = Protobuf;
}

#[test]
fn messages_follow_the_rules_of_protocol_buffers() {
    let old = OldMessage {
        key: 7,
        kind: Some(OldKind::Put("x".into())),
    };
    let new = NewMessage {
        ttl: 0,
        kind: Some(NewKind::Put("x".into())),
        renamed: 7,
    };
    assert_eq!(read_as(old), Some(new.clone()));
    let clear = NewMessage {
        ttl: 5,
        kind: Some(NewKind::Clear(true)),
        ..new
    };
    let unknown = OldMessage { key: 7, kind: None };
    assert_eq!(
        read_as(clear),
        Some(unknown),
        "the old code meets it without an error"
    );
}

/// What another version makes of a value; `None` if it says that it cannot.
fn read_as<Old: Logged, New: Logged>(old: Old) -> Option<New> {
    let read: Result<New> = run(carried_over(old));
    match read {
        Ok(new) => Some(new),
        Err(Error::Undecodable { .. }) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Single values, batches and many in flight, until the power goes. Returns the last LSN that was
/// acknowledged.
async fn use_until_the_power_goes<T: Logged>(disk: &SimDisk, values: &[T]) -> Lsn {
    let mut acknowledged = Lsn::ZERO;
    // The error that ends it is the power's.
    let _ = append_all(disk, values, &mut acknowledged).await;
    acknowledged
}

async fn append_all<T: Logged>(disk: &SimDisk, values: &[T], end: &mut Lsn) -> Result<()> {
    let recovery = options().recover_on(disk, DIR).await?.typed::<T>();
    let wal = recovery.into_wal().await?;
    for group in values.chunks(7) {
        *end = wal.append(&group[0]).await?;
        *end = *wal.append_batch(&group[1..3]).await?.end();
        let mut pending = Vec::new();
        for value in &group[3..] {
            pending.push(wal.submit(value).await?);
        }
        for answer in pending {
            *end = answer.await?;
        }
    }
    wal.close().await
}

/// Cuts the power at every operation, with several survivals for each.
fn cut_everywhere<T: Logged + Clone + PartialEq + std::fmt::Debug>(values: &[T]) -> usize {
    let mut cuts = 0;
    for operation in 0.. {
        for (seed, survival) in [
            (1, Survival::Nothing),
            (2, Survival::Everything),
            (3, Survival::Random),
            (4, Survival::Random),
        ] {
            let disk = SimDisk::new(seed);
            disk.cut_power_at(operation);
            let acknowledged = run(use_until_the_power_goes(&disk, values));
            if !disk.is_off() {
                return cuts;
            }
            disk.restart(survival);
            let place = format!("cut at {operation}, seed {seed}, {survival:?}");
            run(check(&disk, values, acknowledged, &place));
            cuts += 1;
        }
    }
    unreachable!("a workload has an end")
}

async fn check<T>(disk: &SimDisk, values: &[T], acknowledged: Lsn, place: &str)
where
    T: Logged + Clone + PartialEq + std::fmt::Debug,
{
    let found = read::<T>(disk).await.expect(place);
    let count = usize::try_from(acknowledged.get()).unwrap();
    assert!(
        found.len() >= count,
        "{place}: {acknowledged} was acknowledged"
    );
    assert_eq!(found, values[..found.len()], "{place}");
    // And it goes on.
    let wal = open::<T>(disk).await;
    let next = wal.append(&values[0]).await.expect(place);
    assert_eq!(next.get(), found.len() as u64 + 1, "{place}");
    wal.close().await.expect(place);
    assert_eq!(read::<T>(disk).await.expect(place).len(), found.len() + 1);
}

async fn open<T: Logged>(disk: &SimDisk) -> TypedWal<T> {
    recover(disk).await.into_wal().await.unwrap()
}

async fn recover<T: Logged>(disk: &SimDisk) -> TypedRecovery<T> {
    options().recover_on(disk, DIR).await.unwrap().typed()
}

/// Appends these values to the log and closes it.
async fn write<T: Logged>(disk: &SimDisk, values: &[T]) {
    let wal = open(disk).await;
    for value in values {
        wal.append(value).await.unwrap();
    }
    wal.close().await.unwrap();
}

/// Everything that the log holds, or the first error.
async fn read<T: Logged>(disk: &SimDisk) -> Result<Vec<T>> {
    let values = recover::<T>(disk).await.map_ok(|(_, value)| value);
    values.try_collect().await
}

/// What becomes of one value that one version of a type wrote, when another reads it.
async fn carried_over<Old: Logged, New: Logged>(old: Old) -> Result<New> {
    let disk = SimDisk::new(1);
    write(&disk, &[old]).await;
    Ok(read(&disk).await?.remove(0))
}
