//! The table of `tidewal::typed`, "Changing the type", row by row.

use serde::{Deserialize, Serialize, Serializer};
use tidewal::typed::{Json, Logged, Postcard};
use tidewal::{Error, Result};

use crate::support::run;
use tidewal_testing::harness::typed::{open, read_as};

/// A wrapper for each codec, so the same types can be used with all of them.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct AsJson<T>(T);

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct AsPostcard<T>(T);

impl<T: Serialize + for<'a> Deserialize<'a>> Logged for AsJson<T> {
    type Codec = Json;
}

impl<T: Serialize + for<'a> Deserialize<'a>> Logged for AsPostcard<T> {
    type Codec = Postcard;
}

trait Both: Serialize + for<'a> Deserialize<'a> {}
impl<T: Serialize + for<'a> Deserialize<'a>> Both for T {}

fn json<Old: Both, New: Both>(old: Old) -> Option<New> {
    read_as::<_, AsJson<New>>(AsJson(old)).map(|new| new.0)
}

fn postcard<Old: Both, New: Both>(old: Old) -> Option<New> {
    read_as::<_, AsPostcard<New>>(AsPostcard(old)).map(|new| new.0)
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
enum Old {
    Put { key: u8, value: u8 },
    Delete(u8),
}

const PUT: Old = Old::Put { key: 1, value: 2 };
const DELETE: Old = Old::Delete(3);

mod with_variant_at_the_end {
    use serde::{Deserialize, Serialize};
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    pub enum New {
        Put { key: u8, value: u8 },
        Delete(u8),
        Clear,
    }
}

mod with_variant_in_front {
    use serde::{Deserialize, Serialize};
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    pub enum New {
        Clear,
        Put { key: u8, value: u8 },
        Delete(u8),
    }
}

#[test]
fn a_new_variant() {
    use {with_variant_at_the_end as end, with_variant_in_front as front};
    assert_eq!(json(PUT), Some(end::New::Put { key: 1, value: 2 }));
    assert_eq!(json(PUT), Some(front::New::Put { key: 1, value: 2 }));
    assert_eq!(postcard(PUT), Some(end::New::Put { key: 1, value: 2 }));
    assert_eq!(postcard(DELETE), Some(end::New::Delete(3)));
    assert_ne!(postcard(PUT), Some(front::New::Put { key: 1, value: 2 }));
}

#[test]
fn the_old_code_meets_a_new_variant() {
    use with_variant_at_the_end::New;
    assert_eq!(json::<_, Old>(New::Clear), None);
    assert_eq!(postcard::<_, Old>(New::Clear), None);
}

mod with_field {
    use serde::{Deserialize, Serialize};
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    pub enum New {
        Put {
            key: u8,
            value: u8,
            #[serde(default)]
            ttl: u8,
        },
    }
}

#[test]
fn a_new_field() {
    use with_field::New;
    let put = |ttl| New::Put {
        key: 1,
        value: 2,
        ttl,
    };
    assert_eq!(json(PUT), Some(put(0)));
    assert_eq!(json(put(9)), Some(PUT), "the old code ignores it");
    assert_eq!(postcard::<_, New>(PUT), None, "a default does not help");
    assert_eq!(postcard::<_, Old>(put(9)), None);
}

/// A new field before another one is worse: the old code takes it for that one.
#[test]
fn the_old_code_may_read_a_wrong_value_with_postcard() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Few {
        name: String,
    }
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Other {
        parts: Vec<u8>,
    }
    let wrong = postcard(Other {
        parts: b"ab".to_vec(),
    });
    assert_eq!(wrong, Some(Few { name: "ab".into() }));
}

#[test]
fn a_field_less() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum New {
        Put { key: u8 },
    }
    assert_eq!(json(PUT), Some(New::Put { key: 1 }));
    assert_eq!(postcard::<_, New>(PUT), None);
}

#[test]
fn a_variant_less() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum New {
        Delete(u8),
    }
    assert_eq!(json(DELETE), Some(New::Delete(3)));
    assert_eq!(json::<_, New>(PUT), None);
    assert_eq!(postcard::<_, New>(DELETE), None);
}

#[test]
fn another_name() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum New {
        #[serde(alias = "Put")]
        Set {
            #[serde(alias = "key")]
            name: u8,
            value: u8,
        },
        #[serde(alias = "Delete")]
        Remove(u8),
    }
    let set = || Some(New::Set { name: 1, value: 2 });
    assert_eq!((json(PUT), postcard(PUT)), (set(), set()));
    assert_eq!(json(DELETE), Some(New::Remove(3)));
}

#[test]
fn another_order() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum New {
        Delete(u8),
        Put { value: u8, key: u8 },
    }
    assert_eq!(json(PUT), Some(New::Put { value: 2, key: 1 }));
    assert_ne!(postcard(PUT), Some(New::Put { value: 2, key: 1 }));
}

#[test]
fn another_type() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum Wide {
        Put { key: u64, value: u8 },
    }
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    enum Text {
        Put { key: String, value: u8 },
    }
    assert_eq!(json(PUT), Some(Wide::Put { key: 1, value: 2 }));
    assert_eq!(json::<_, Text>(PUT), None);
    assert_eq!(postcard::<_, Text>(PUT), None);
}

/// Attributes of serde that postcard does not support are noticed when the value is appended, in a
/// build with debug assertions.
#[test]
#[cfg(debug_assertions)]
fn what_postcard_cannot_follow_is_noticed_in_a_debug_build() {
    #[derive(Debug, Deserialize, Serialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Put { key: u8 },
    }
    #[derive(Debug, Deserialize, Serialize)]
    #[serde(untagged)]
    enum Untagged {
        Put { key: u8 },
    }
    #[derive(Debug, Default, Deserialize, Serialize)]
    struct Skipping {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<u8>,
        more: u16,
    }
    #[derive(Debug, Deserialize, Serialize)]
    struct Flat {
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, u8>,
    }
    fn assert_refused(value: impl Both) {
        let appended: Result<AsPostcard<()>> = run(append_only(AsPostcard(value)));
        assert!(matches!(appended, Err(Error::Encode(_))), "{appended:?}");
    }
    assert_refused(Tagged::Put { key: 1 });
    assert_refused(Untagged::Put { key: 1 });
    assert_refused(Skipping {
        key: None,
        more: 300,
    });
    let rest = [("x".to_owned(), 1)].into();
    assert_refused(Flat { rest });
}

async fn append_only<T: Logged, R>(value: T) -> Result<R> {
    let wal = open::<T>(&tidewal::sim::SimDisk::new(1)).await;
    Err(wal.append(&value).await.unwrap_err())
}

/// Not every type is as simple as its derive.
#[test]
fn bytes_are_an_array_of_numbers_in_json_and_themselves_in_postcard() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Blob(Vec<u8>);
    impl Serialize for Blob {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    assert_eq!(json(Blob(vec![0, 255])), Some(Blob(vec![0, 255])));
    assert_eq!(postcard(Blob(vec![0, 255])), Some(Blob(vec![0, 255])));
}
