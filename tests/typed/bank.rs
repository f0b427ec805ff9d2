//! The values of most tests: events of a bank, under each codec.

use serde::{Deserialize, Serialize};
use tidewal::typed::{Json, Logged, Postcard};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Event {
    Opened { account: u64, owner: String },
    Moved { from: u64, to: u64, cents: i64 },
    Closed(u64),
}

impl Logged for Event {
    type Codec = Json;
}

/// The same with another codec.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Compact(pub Event);

impl Logged for Compact {
    type Codec = Postcard;
}

pub fn events(count: u64) -> Vec<Event> {
    (0..count).map(event).collect()
}

pub fn event(number: u64) -> Event {
    match number % 3 {
        0 => Event::Opened {
            account: number,
            owner: "x".repeat(usize::try_from(number).unwrap()),
        },
        1 => Event::Moved {
            from: number,
            to: u64::MAX,
            cents: -1,
        },
        _ => Event::Closed(number),
    }
}
