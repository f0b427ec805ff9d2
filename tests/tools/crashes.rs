//! An interrupted repair: by a power cut or a kill at every operation, with every subset of the
//! volatile changes surviving.

use std::collections::HashSet;

use tidewal::Error;
use tidewal::sim::{Operation, SimDisk, Survival};
use tidewal::tools::{RepairPlan, RepairStep};

use crate::harness::damage::{Sound, Stop};
use crate::harness::{Label, note_trial, number, trials};
use crate::repairs::{Before, execute};
use crate::support::DIR;
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
            planned.survey.corruptions.len()
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

/// If the last of several short files could not be extended, those before it stayed extended.
#[test]
fn regression_without_space_for_all_short_files_none_is_extended() {
    let log = Sound::fresh(Stop::Clean);
    let shorten = |disk: &SimDisk, path: &str| {
        disk.corrupt(path, |bytes| bytes.truncate(bytes.len() - 512));
    };
    for path in log.segments() {
        let fork = log.disk.fork();
        shorten(&fork, &path);
        if plan(&fork).is_ok_and(|planned| is_extension(&planned)) {
            shorten(&log.disk, &path);
        }
    }
    let planned = plan(&log.disk).unwrap();
    assert!(
        is_extension(&planned) && planned.steps.len() > 1,
        "{planned}"
    );
    for operation in [Operation::Allocate, Operation::Sync, Operation::Write] {
        (0..20).for_each(|skip| full_at(&log.disk, operation, skip));
    }
}

fn is_extension(planned: &RepairPlan) -> bool {
    let mut steps = planned.steps.iter();
    !planned.is_empty() && steps.all(|step| matches!(step, RepairStep::Extend { .. }))
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
            if needs_space(operation, skip) {
                full_at(disk, operation, skip);
            }
        }
    }
}

fn needs_space(operation: Operation, skip: u64) -> bool {
    match operation {
        Operation::Allocate | Operation::Create | Operation::Sync | Operation::Write => true,
        // The first one makes the new folder durable.
        Operation::SyncDir => skip == 0,
        _ => false,
    }
}

/// An operation that needs space fails. The repair must undo everything, or there would be less
/// room than before. (It changes header blocks only once it has all the space that it needs.)
fn full_at(disk: &SimDisk, operation: Operation, skip: u64) {
    let fork = disk.fork();
    let planned = plan(&fork).unwrap();
    let changed: Vec<_> = planned.steps.iter().filter_map(changed_at_last).collect();
    fork.fail(operation, skip, std::io::ErrorKind::StorageFull);
    let Err(error) = execute(planned) else {
        return;
    };
    let Error::Io(fault) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(fault.io_error().kind(), std::io::ErrorKind::StorageFull);
    let failed = fork.failed_operations();
    if !changed.contains(&failed[0].1) {
        let _label = Label(format!("no space at {failed:?}"));
        assert_eq!(contents(&fork), contents(disk), "something is left behind");
        assert_eq!(folders(&fork), folders(disk), "a folder is left behind");
    }
}

/// The file that a step changes after all space was taken.
fn changed_at_last(step: &RepairStep) -> Option<String> {
    let (RepairStep::MarkHead { file, .. } | RepairStep::Seal { file, .. }) = step else {
        return None;
    };
    Some(file.file_name().unwrap().to_str().unwrap().to_owned())
}

/// All files but the lock's.
fn contents(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let mut files = files(disk);
    files.retain(|(name, _)| !name.ends_with("/LOCK"));
    files
}

/// The folders of repairs that exist.
fn folders(disk: &SimDisk) -> Vec<String> {
    let mut names: Vec<_> = (1..20).map(|n| format!("{DIR}/repair-{n}")).collect();
    // An empty folder has no other trace than that it can be removed.
    names.retain(|name| disk.fork().remove_dir(name).is_ok());
    names
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
