//! The log of an openraft 0.9 node. `../shared` holds the tests that both versions pass.

mod api;
mod flushed;
mod machine;
mod reopened;
mod suite;

#[path = "../shared/cancel.rs"]
mod cancel;
#[path = "../shared/contract.rs"]
mod contract;
#[path = "../shared/failures.rs"]
mod failures;
#[path = "../shared/groups.rs"]
mod groups;
#[path = "../shared/kept.rs"]
mod kept;
#[path = "../shared/model.rs"]
mod model;
#[path = "../shared/random.rs"]
mod random;
#[path = "../shared/votes.rs"]
mod votes;

use tidewal_testing::{harness::rng, support};
