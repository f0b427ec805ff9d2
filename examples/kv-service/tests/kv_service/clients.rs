//! Clients that remember which changes were acknowledged. Each client has its own keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::StatusCode;

use crate::process::{Service, Value};

/// One start of the service until its `kill -9`, which follows a chosen number of acknowledgments.
pub struct Round {
    pub service: Service,
    acknowledged: AtomicU64,
    kill_at: u64,
}

impl Round {
    pub fn new(service: Service, kill_at: u64) -> Arc<Self> {
        Arc::new(Self {
            service,
            acknowledged: AtomicU64::new(0),
            kill_at,
        })
    }

    fn note_acknowledged(&self) {
        if self.acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == self.kill_at {
            self.service.kill();
        }
    }

    /// What a request returned, or `None` if the service was killed in the meantime.
    pub async fn unless_killed<T>(
        &self,
        request: impl Future<Output = reqwest::Result<T>>,
    ) -> Option<T> {
        let outcome = tokio::select! {
            outcome = request => outcome,
            () = self.service.is_gone() => return None,
        };
        if let Err(error) = &outcome {
            assert!(self.service.was_killed(), "a request failed: {error:?}");
        }
        outcome.ok()
    }
}

/// A client, and the values that its keys must have.
pub struct Client {
    number: u64,
    random: Random,
    keys: Vec<Expected>,
    changes: u64,
}

impl Client {
    pub fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            random: Random(seed.wrapping_add(number)),
            keys: vec![Expected::default(); KEYS],
            changes: 0,
        }
    }

    /// Puts, overwrites, deletes and reads back until the service is killed.
    pub async fn work(mut self, round: Arc<Round>) -> Self {
        while self.change_one(&round).await.is_some() {}
        self
    }

    /// Checks that each key has a value that the service may return. From now on, that value is the only one.
    pub async fn check(mut self, round: Arc<Round>) -> Self {
        for index in 0..KEYS {
            let key = self.name(index);
            let found = round.service.read(&key).await.unwrap();
            self.keys[index].settle(&key, found);
        }
        self
    }

    async fn change_one(&mut self, round: &Round) -> Option<()> {
        let index = usize::try_from(self.random.below(KEYS as u64)).unwrap();
        let (key, value) = (self.name(index), self.next_value());
        self.keys[index].in_doubt = Some(value.clone());
        let request = round.service.change(&key, &value);
        let status = round.unless_killed(request).await?;
        assert_eq!(status, StatusCode::OK);
        self.keys[index] = Expected::certain(value);
        round.note_acknowledged();
        self.read_back(round, index).await
    }

    async fn read_back(&mut self, round: &Round, index: usize) -> Option<()> {
        let key = self.name(index);
        if self.random.below(4) == 0 {
            let found = round.unless_killed(round.service.read(&key)).await?;
            self.keys[index].settle(&key, found);
        }
        Some(())
    }

    /// No two values of a client are the same. One change in five is a deletion.
    fn next_value(&mut self) -> Value {
        self.changes += 1;
        if self.random.below(5) == 0 {
            return None;
        }
        let mut value = format!("{} of client {}", self.changes, self.number).into_bytes();
        let len = value.len() + usize::try_from(self.random.below(600)).unwrap();
        value.resize(len, b'.');
        Some(value)
    }

    fn name(&self, index: usize) -> String {
        format!("client-{}-key-{index}", self.number)
    }
}

/// What a key may hold.
#[derive(Clone, Default)]
struct Expected {
    certain: Value,
    /// The value after the request that got no answer.
    in_doubt: Option<Value>,
}

impl Expected {
    fn certain(value: Value) -> Self {
        Self {
            certain: value,
            in_doubt: None,
        }
    }

    fn settle(&mut self, key: &str, found: Value) {
        assert!(
            found == self.certain || self.in_doubt.as_ref() == Some(&found),
            "{key} holds {}, not {} or, in doubt, {:?}",
            shown(&found),
            shown(&self.certain),
            self.in_doubt.as_ref().map(shown)
        );
        *self = Self::certain(found);
    }
}

fn shown(value: &Value) -> String {
    value.as_ref().map_or_else(
        || "nothing".into(),
        |bytes| {
            String::from_utf8_lossy(bytes)
                .trim_end_matches('.')
                .to_owned()
        },
    )
}

/// `SplitMix64`.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Number of keys of each client.
const KEYS: usize = 8;
