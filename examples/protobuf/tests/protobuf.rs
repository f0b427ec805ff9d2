//! The codec of this package: messages are read back, also after power cuts and by other versions of a type.

use protobuf_codec::Protobuf;
use tidewal::sim::SimDisk;
use tidewal::typed::Logged;
use tidewal_testing::harness::typed::{cut_everywhere, read, read_as, write};
use tidewal_testing::support::run;

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
        "the old code decodes it without an error"
    );
}
