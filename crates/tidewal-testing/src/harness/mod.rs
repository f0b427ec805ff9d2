//! The harness of the crash tests: workloads, an oracle of the promises, and campaigns against a
//! log. Each campaign panics when a promise is broken, and counts its trials.

pub mod copies;
pub mod cuts;
pub mod damage;
pub mod faults;
pub mod followers;
pub mod holder;
pub mod kept;
pub mod leftovers;
pub mod linearizable;
pub mod lives;
pub mod oracle;
pub mod ordered;
pub mod outsiders;
pub mod rng;
pub mod sectors;
pub mod steps;
pub mod typed;
pub mod windows;

use std::cell::Cell;

thread_local! {
    static TRIALS: Cell<u64> = const { Cell::new(0) };
}

/// Counts a trial: a power cut, a fault, a damaged file.
pub fn note_trial() {
    TRIALS.set(TRIALS.get() + 1);
}

/// The number of trials on this thread.
pub fn trials() -> u64 {
    TRIALS.get()
}

/// A number from the environment, or the default.
pub fn number(name: &str, otherwise: u64) -> u64 {
    let asked = std::env::var(name).ok();
    asked.map_or(otherwise, |number| {
        number
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number"))
    })
}

/// Prints the current trial if a test fails.
pub struct Label(pub String);

impl Drop for Label {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("failed: {}", self.0);
        }
    }
}
