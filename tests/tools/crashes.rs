//! An interrupted repair: by a power cut or a kill at every operation, with every subset of the
//! volatile changes surviving.

use std::collections::HashSet;

use tidewal::Error;
use tidewal::sim::{Operation, SimDisk, Survival};

use crate::harness::{Label, note_trial, number, trials};
use crate::repairs::{Before, execute};
use crate::wreck::{Strict, assert_agreement, files, for_each_wreck, live_on, plan};

#[test]
fn a_repair_can_be_cut_short_anywhere() {
    let thin = usize::try_from(number("TIDEWAL_THIN", 41)).unwrap();
    let mut seen = HashSet::new();
    for_each_wreck(thin, |what, log, disk| {
        let _label = Label(what.to_owned());
        let strict = Strict::read(disk);
        if !matches!(strict.outcome, Err(Error::Corrupt(_))) {
            return;
        }
        let Ok(planned) = plan(disk) else { return };
        // Repairs with the same steps are tried once, even for different damage.
        if !seen.insert(format!(
            "{:?}{:?}",
            planned.steps,
            planned.survey.damages.len()
        )) {
            return;
        }
        let before = Before::of(log, disk, strict);
        cut_everywhere(&before, disk);
        fail_everywhere(&before, disk);
    });
    println!("{} repairs, cut short in {} ways", seen.len(), trials());
    assert!(seen.len() > 40 && trials() > 2000);
}

fn cut_everywhere(before: &Before, disk: &SimDisk) {
    for cut in 0.. {
        let fork = disk.fork();
        fork.cut_power_at(fork.operations() + cut);
        let outcome = execute(plan(&fork).unwrap());
        if !fork.is_off() {
            outcome.unwrap();
            return;
        }
        outcome.unwrap_err();
        let _label = Label(format!("cut at operation {cut}"));
        let killed = fork.fork();
        killed.kill();
        go_on(before, &killed);
        for survival in survivals(&fork) {
            let _label = Label(format!("{survival:?}"));
            let fork = fork.fork();
            fork.restart(survival);
            go_on(before, &fork);
        }
    }
}

fn survivals(disk: &SimDisk) -> Vec<Survival> {
    let pieces = disk.volatile_pieces();
    if pieces <= 4 {
        return (0..1 << pieces).map(Survival::Pieces).collect();
    }
    let mut some = vec![Survival::Nothing, Survival::Everything];
    some.extend([Survival::Random; 4]);
    some
}

/// An operation fails, and the process continues and tries again.
fn fail_everywhere(before: &Before, disk: &SimDisk) {
    for operation in Operation::ALL {
        for skip in 0..100 {
            let fork = disk.fork();
            let planned = plan(&fork).unwrap();
            fork.fail(operation, skip, std::io::ErrorKind::Other);
            let outcome = execute(planned);
            if fork.clear_faults() > 0 {
                outcome.unwrap();
                break;
            }
            let _label = Label(format!("{operation:?} {skip} fails: {:?}", outcome.err()));
            go_on(before, &fork);
            if matches!(operation, Operation::Create | Operation::Allocate) {
                full_at(disk, operation, skip);
            }
        }
    }
}

/// An operation that needs space fails. The repair must undo everything, or there would be less
/// room than before.
fn full_at(disk: &SimDisk, operation: Operation, skip: u64) {
    let fork = disk.fork();
    let planned = plan(&fork).unwrap();
    fork.fail(operation, skip, std::io::ErrorKind::StorageFull);
    let Err(error) = execute(planned) else {
        return;
    };
    let Error::Io(fault) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(fault.io_error().kind(), std::io::ErrorKind::StorageFull);
    let names = |disk: &SimDisk| {
        let mut names: Vec<_> = files(disk).into_iter().map(|(name, _)| name).collect();
        names.retain(|name| !name.ends_with("/LOCK"));
        names
    };
    assert_eq!(names(&fork), names(disk), "something is left behind");
}

/// In any state after that, a service either is refused or finds everything that recovery
/// delivered. A repair completes the work. And every record that could be read is still in some
/// file.
fn go_on(before: &Before, disk: &SimDisk) {
    note_trial();
    before.assert_nothing_lost(disk);
    let service = disk.fork();
    let untouched = files(&service);
    match live_on(&service) {
        Ok((lsn, records)) => {
            before.assert_goes_on(lsn);
            before.assert_stretch(&records[..records.len() - 1]);
        }
        Err(Error::Corrupt(_)) => {
            // Opening reads only the newest segment, and the damage may be in another one.
            if files(&service) == untouched {
                assert!(Strict::read(&service).outcome.is_err());
            }
        }
        Err(error) => panic!("{error:?}"),
    }
    before.assert_nothing_lost(&service);
    let again = plan(disk).unwrap();
    execute(again).unwrap();
    let strict = assert_agreement(disk);
    assert!(strict.outcome.is_ok());
    before.assert_stretch(&strict.records);
    before.assert_nothing_lost(disk);
    before.assert_goes_on(live_on(disk).unwrap().0);
    before.assert_nothing_lost(disk);
}
