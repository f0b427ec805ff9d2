//! A state machine on the simulated disk, and on the machine's own.

mod full;
mod ledger;
mod life;
mod lives;
mod once;
mod oracle;
mod readme;
mod snapshots;
mod versions;
