use serde::{Deserialize, Serialize};
use tidewal::{Lsn, typed::Json, typed::Logged};
use tidewal_state::{State, StateMachine};

#[derive(Clone, Default, Deserialize, Serialize)]
struct Counter(u64);
#[derive(Deserialize, Serialize)]
struct Add(u64);

impl Logged for Add {
    type Codec = Json;
}
impl State for Counter {
    type Command = Add;
    type Output = u64;
    type Snapshot = Json;
    fn apply(&mut self, _: Lsn, Add(count): Add) -> u64 {
        self.0 += count;
        self.0
    }
}

#[tokio::main]
async fn main() -> tidewal_state::Result<()> {
    let counter = StateMachine::<Counter>::open("data/counter").await?;
    let sum = counter.execute(Add(1)).await?; // durable and applied
    assert_eq!(sum, counter.query(|counter| counter.0)?);
    counter.close().await
}
