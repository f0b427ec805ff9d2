//! Tests the tests: each mutant is activated in turn, and each campaign reports after how many
//! trials it notices the bug, if it does.
//!
//!     RUSTC_WORKSPACE_WRAPPER=$PWD/.ci/mutants cargo test --test mutants -- --nocapture
//!
//! With `TIDEWAL_EVERY_INSTRUMENT=1` the whole table is printed, otherwise each row up to the first
//! instrument that notices.

#![cfg(tidewal_mutants)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use tidewal::SyncPolicy;
use tidewal::mutants::{Mutant, activate};
use tidewal_testing::harness::cuts::{ALPHABET, Cuts, FOLLOWED};
use tidewal_testing::harness::damage::{Damage, Sound, Stop, measure_everywhere};
use tidewal_testing::harness::faults::{EVERYTHING, FAULTS, Scenario};
use tidewal_testing::harness::lives::{Deaths, live_and_die};
use tidewal_testing::harness::ordered::{Tally, nothing_behind_a_refusal_is_appended};
use tidewal_testing::harness::steps::Step::{Append, Truncate};
use tidewal_testing::harness::{
    copies, kept, leftovers, outsiders, sectors as bad_sectors, trials, windows,
};

type Instrument = (&'static str, fn());

const INSTRUMENTS: [Instrument; 11] = [
    ("cuts", cuts),
    ("lives", lives),
    ("faults", faults),
    ("damage", damage),
    ("leftovers", leftovers::leftovers_never_come_back),
    ("sectors", sectors),
    ("windows", windows::no_append_waits_longer_than_the_interval),
    ("kept", kept::no_one_waits_for_a_kept_future),
    ("ordered", ordered),
    (
        "outsiders",
        outsiders::nothing_acknowledged_is_lost_to_others,
    ),
    ("copies", copies::a_copy_is_whole_or_says_that_it_is_not),
];

/// Power cuts and kills at every operation of short workloads and of one that recycles its files.
fn cuts() {
    let mut cuts = Cuts::new();
    cuts.generations = 2;
    cuts.all_of(ALPHABET, 2);
    let fill = [Append(7000); 3];
    let steps = [
        &fill[..],
        &[Truncate(1)],
        &fill[..],
        &[Truncate(0)],
        &fill[..],
    ];
    cuts.everywhere(&steps.concat());
}

fn followed_cuts() {
    Cuts::followed().all_of(FOLLOWED, 2);
}

fn lives() {
    let mut deaths = Deaths::default();
    (0..1500).for_each(|seed| live_and_die(seed, &mut deaths));
}

fn faults() {
    let scenario = Scenario {
        policy: SyncPolicy::Always,
        steps: EVERYTHING,
        has_spares: true,
    };
    for &(operation, faults) in FAULTS {
        for &fault in faults {
            scenario.fail_everywhere(operation, fault);
        }
    }
}

fn ordered() {
    let mut tally = Tally::default();
    (0..200).for_each(|seed| nothing_behind_a_refusal_is_appended(seed, &mut tally));
}

fn sectors() {
    bad_sectors::a_bad_page_costs_that_page();
    bad_sectors::the_only_readable_copy_is_not_given_up();
}

fn damage() {
    for sound in [
        Sound::fresh(Stop::Clean),
        Sound::fresh(Stop::PowerCut),
        Sound::recycled(Stop::Idle),
    ] {
        sound.damage_everywhere(|file| (0..file.len() / 512).map(Damage::ZeroedSector));
        sound.damage_everywhere(|file| (0..file.len() * 8).step_by(97).map(Damage::FlippedBit));
        measure_everywhere(&sound);
    }
}

/// After how many trials a campaign notices a bug.
fn notice(mutant: Option<Mutant>, instrument: fn()) -> Option<u64> {
    let before = trials();
    activate(mutant);
    let outcome = catch_unwind(AssertUnwindSafe(instrument));
    activate(None);
    outcome.is_err().then(|| trials() - before)
}

#[test]
fn without_a_bug_there_is_nothing_to_notice() {
    for (name, instrument) in INSTRUMENTS {
        assert_eq!(notice(None, instrument), None, "{name}");
    }
}

/// `TIDEWAL_MUTANT` names the mutants to try, separated by commas.
fn is_asked_for(mutant: Mutant) -> bool {
    std::env::var("TIDEWAL_MUTANT").map_or(true, |names| {
        names.split(',').any(|name| name == format!("{mutant:?}"))
    })
}

/// The first instrument that notices a mutant ends its row, unless `TIDEWAL_EVERY_INSTRUMENT` is set.
fn row(mutant: Mutant) -> Vec<(&'static str, Option<u64>)> {
    let is_every = std::env::var_os("TIDEWAL_EVERY_INSTRUMENT").is_some();
    let mut row = Vec::new();
    for (name, instrument) in INSTRUMENTS {
        let noticed = notice(Some(mutant), instrument);
        row.push((name, noticed));
        if noticed.is_some() && !is_every {
            break;
        }
    }
    row
}

#[test]
fn every_mutant_is_noticed() {
    let mut unnoticed = Vec::new();
    for mutant in Mutant::ALL {
        if !is_asked_for(mutant) {
            continue;
        }
        let noticed = row(mutant);
        let row: Vec<_> = noticed
            .iter()
            .map(|(name, after)| match after {
                Some(trials) => format!("{name} {trials:>6}"),
                None => format!("{name}      -"),
            })
            .collect();
        println!("| {:<22} | {} |", format!("{mutant:?}"), row.join(" | "));
        if noticed.iter().all(|(_, after)| after.is_none()) {
            unnoticed.push(mutant);
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

/// The campaign that is made for them notices them quickly.
#[test]
fn the_bugs_of_the_directory_are_noticed() {
    for mutant in [
        Mutant::PathResolvedAnew,
        Mutant::LockFileAlone,
        Mutant::PresenceUnchecked,
    ] {
        let noticed = notice(
            Some(mutant),
            outsiders::nothing_acknowledged_is_lost_to_others,
        );
        println!("{mutant:?}: {noticed:?}");
        assert!(noticed.is_some(), "{mutant:?}");
    }
}

/// By the one instrument that is made for it, and quickly.
#[test]
fn the_bug_of_copies_is_noticed() {
    let mutant = Mutant::UnfinishedMarkRemovedEarly;
    let noticed = notice(Some(mutant), copies::a_copy_is_whole_or_says_that_it_is_not);
    println!("{mutant:?}: {noticed:?}");
    assert!(noticed.is_some());
}

/// By the cuts on disks that also lose a page, in the cache of which the log's only copy may be.
#[test]
fn a_copy_that_is_given_up_is_noticed_where_pages_are_lost() {
    let lost_pages = || {
        let mut cuts = Cuts::new();
        (cuts.generations, cuts.loses_pages) = (1, true);
        cuts.all_of(ALPHABET, 2);
    };
    assert_eq!(notice(None, lost_pages), None);
    let noticed = notice(Some(Mutant::AdoptedInPart), lost_pages);
    println!("AdoptedInPart: {noticed:?}");
    assert!(noticed.is_some());
}

/// By each of the two instruments whose workloads are followed.
#[test]
fn the_bugs_of_followers_and_holds_are_noticed() {
    for mutant in [
        Mutant::FollowedUnsynced,
        Mutant::OverrunUnnoticed,
        Mutant::HoldIgnored,
        Mutant::OpenSegmentRead,
    ] {
        for (name, instrument) in [("lives", lives as fn()), ("cuts", followed_cuts)] {
            let noticed = notice(Some(mutant), instrument);
            println!("{mutant:?}, {name}: {noticed:?}");
            assert!(noticed.is_some(), "{mutant:?}, {name}");
        }
    }
    assert_eq!(notice(None, followed_cuts), None);
}
