//! The log of an openraft 0.10 node.

mod api;
mod machine;
mod reopened;
mod streams;
mod suite;

#[path = "../shared/calls.rs"]
mod calls;
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
#[path = "../shared/layout.rs"]
mod layout;
#[path = "../shared/limit.rs"]
mod limit;
#[path = "../shared/locked.rs"]
mod locked;
#[path = "../shared/random.rs"]
pub mod random;
#[path = "../shared/random_groups.rs"]
pub mod random_groups;
#[path = "../shared/state.rs"]
mod state;
#[path = "../shared/thousand.rs"]
mod thousand;
#[path = "../shared/votes.rs"]
mod votes;
