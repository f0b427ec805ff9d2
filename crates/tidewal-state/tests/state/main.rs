//! A state machine on the simulated disk and on the real one.

mod codecs;
mod full;
mod growth;
mod kept;
mod ledger;
mod life;
mod lives;
#[cfg(tidewal_mutants)]
mod mutants;
mod once;
mod oracle;
mod readme;
mod repaired;
mod snapshots;
mod versions;
