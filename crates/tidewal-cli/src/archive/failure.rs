//! The errors of archive commands, and what to do next.

use tidewal_archive::{BadObject, Error};

use crate::archive::args::Ship;
use crate::archive::store::Address;
use crate::display::quoted;
use crate::failure::{Failure, with_sources};

/// The failure of a command on the archive at this address.
pub fn of(error: Error, address: &Address) -> Failure {
    if let Error::Log(error) = error {
        return Failure::Log(error);
    }
    let (what, hint) = (what(&error, address), hint(&error));
    match error {
        Error::Damaged { .. } | Error::Gap { .. } | Error::Missing { .. } => {
            Failure::Damaged(what, hint.into())
        }
        _ => Failure::Other(what, hint.into()),
    }
}

/// The failure of `archive ship`. It alone reads a log, which its hints name.
pub fn of_shipping(error: Error, args: &Ship) -> Failure {
    match error {
        Error::LogDamaged { .. } => Failure::Damaged(
            with_sources(&error),
            format!(
                "see the damage with `tidewal verify {}`. The archive has the records before it",
                quoted(&args.dir)
            ),
        ),
        error => of(error, &args.store),
    }
}

/// The failure of a command that has listed the bad objects.
pub fn of_bad_objects(what: String, bad: &[BadObject]) -> Failure {
    let is_of_manifest = bad.iter().any(|bad| is_entry(&bad.object));
    let hint = match is_of_manifest {
        true => {
            "bring the objects back, for example from earlier versions: a restore needs all of the manifest"
        }
        false => {
            "bring the objects back, for example from earlier versions. Or restore the records before them \
             with --until-lsn, or those after them with --from"
        }
    };
    Failure::Damaged(what, hint.into())
}

/// The text of an error. An archive in a directory has no prefix, so the text names the address instead.
fn what(error: &Error, address: &Address) -> String {
    match error {
        Error::Empty { .. } => format!("there is no archive in {address}"),
        Error::Foreign { .. } => format!("{address} holds the archive of another log"),
        Error::Diverged { after, .. } => {
            format!(
                "the archive in {address} and the log differ, at LSN {} at the latest",
                after.next()
            )
        }
        error => address.with_name(with_sources(error), object(error)),
    }
}

/// The object that an error names, or nothing.
fn object(error: &Error) -> &str {
    match error {
        Error::Damaged { object, .. }
        | Error::Fenced { object, .. }
        | Error::Missing { object, .. }
        | Error::Store { object, .. }
        | Error::TimedOut { object, .. }
        | Error::Unconditional { object, .. }
        | Error::Unsupported { object, .. } => object,
        _ => "",
    }
}

/// Whether an object is an entry of the manifest. A restore needs all of them.
fn is_entry(object: &str) -> bool {
    object.rsplit('/').nth(1) == Some("manifest")
}

fn hint(error: &Error) -> &'static str {
    match error {
        Error::EmptyRange { .. } => {
            "name a --from that is not after --until-lsn, or not after the last record of --until-time"
        }
        Error::BeforeBeginning { .. } | Error::BeyondEnd { .. } | Error::TooEarly => {
            "see what the archive holds with `tidewal archive show`"
        }
        Error::Damaged { object, .. } | Error::Missing { object, .. } if is_entry(object) => {
            "bring the object back, for example from an earlier version"
        }
        Error::Damaged { .. } | Error::Missing { .. } => {
            "bring the object back, for example from an earlier version. Or restore up to the last record \
             before it with --until-lsn"
        }
        Error::Gap { .. } => {
            "to restore, end before the gap with --until-lsn, or begin after it with --from. To ship, name \
             another STORE"
        }
        Error::Diverged { .. } | Error::Foreign { .. } => "ship this log to another STORE",
        Error::Empty { .. } => "check the path or URL of the archive",
        Error::Fenced { .. } => "find out which other process ships this log",
        Error::NotEmpty { .. } => "name an empty directory",
        Error::Unconditional { .. } => "use a store that supports conditional creation of objects",
        Error::Unsupported { .. } => "use a newer version of tidewal",
        Error::Store { .. } if !error.is_transient() => {
            "check that the credentials in the environment may list, read and write there"
        }
        _ => {
            "check the path or URL of the archive, the credentials in the environment, and the network"
        }
    }
}
