//! `kill -9` on the machine's own disk: every record acknowledged to any of many producers, as
//! durable or as written, is in the log afterwards, and no other record.
//!
//! `TIDEWAL_KILLS=n cargo test --test kill -- --nocapture` kills more often. `TIDEWAL_KILL_SEED=n`
//! repeats the choices of a run that printed `seed n`.

use std::time::Duration;

use tidewal_testing::kill::campaign::{Campaign, Death, Trouble};
use tidewal_testing::kill::history::Loss;
use tidewal_testing::kill::{child, number, seed};

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut campaign = Campaign::new(&dir.path().join("log"), seed(), KEPT, Trouble::None);
    let kills = number("TIDEWAL_KILLS").unwrap_or(KILLS);
    for _ in 0..kills {
        let death = Death::by_chance(&mut campaign.random);
        campaign.live(death);
        campaign.check(Loss::Nothing);
    }
    campaign.live(Death::Acknowledged(3 * KEPT, Duration::ZERO));
    campaign.check(Loss::Nothing);
    println!("{} kills: {:?}", kills + 1, campaign.history.counts);
    assert!(campaign.history.oldest() > 1, "nothing was truncated");
}

#[test]
#[ignore = "the process that the other tests start and kill; does nothing by itself"]
fn child() {
    child::obey();
}

const KILLS: u64 = 50;
/// Records that are kept when the log is truncated.
const KEPT: u64 = 500;
