//! What goes wrong with an archive, and what to do next.

use tidewal::archive::{BadObject, Error};

use crate::archive::store::Address;
use crate::failure::{Failure, with_sources};

/// The failure of a command that an archive at this address was for.
pub fn of(error: Error, address: &Address) -> Failure {
    if let Error::Log(error) = error {
        return Failure::Log(error);
    }
    let (what, hint) = (what(&error, address), hint(&error));
    match error {
        Error::Damaged { .. }
        | Error::Gap { .. }
        | Error::LogDamaged { .. }
        | Error::Missing { .. } => Failure::Damaged(what, hint.into()),
        _ => Failure::Other(what, hint.into()),
    }
}

/// The failure of a command that has shown what is bad.
pub fn of_bad_objects(what: String, bad: &[BadObject]) -> Failure {
    let is_of_manifest = bad.iter().any(|bad| is_entry(&bad.object));
    let hint = match is_of_manifest {
        true => {
            "bring the objects back, such as earlier versions of them: without all of the manifest \
                 nothing is restored"
        }
        false => {
            "bring the objects back, such as earlier versions of them; or restore what lies before them \
             with --until-lsn, or behind them with --from"
        }
    };
    Failure::Damaged(what, hint.into())
}

/// A directory is a store of its own, in which an archive has no prefix to be told by.
fn what(error: &Error, address: &Address) -> String {
    match error {
        Error::Empty { .. } => format!("there is no archive in {address}"),
        Error::Foreign { .. } => format!("{address} holds the archive of another log"),
        Error::Diverged { after, .. } => {
            format!("the archive in {address} goes another way than the log after LSN {after}")
        }
        error => with_sources(error),
    }
}

/// Whether an object is of the manifest, without all of which nothing can be restored.
fn is_entry(object: &str) -> bool {
    object.rsplit('/').nth(1) == Some("manifest")
}

fn hint(error: &Error) -> &'static str {
    match error {
        Error::BeforeBeginning { .. }
        | Error::BeyondEnd { .. }
        | Error::EmptyRange { .. }
        | Error::TooEarly => "see what there is with `tidewal archive show`",
        Error::Damaged { object, .. } | Error::Missing { object } if is_entry(object) => {
            "bring the object back, such as an earlier version of it"
        }
        Error::Damaged { .. } | Error::Missing { .. } => {
            "bring the object back, such as an earlier version of it; or restore up to the last record \
             before it, with --until-lsn"
        }
        Error::Gap { .. } => {
            "to restore, end before them with --until-lsn, or begin behind them with --from; to ship, \
             name another place"
        }
        Error::LogDamaged { .. } => {
            "see the log with `tidewal verify`; the archive has what came before"
        }
        Error::Diverged { .. } | Error::Foreign { .. } => "ship this log to another place",
        Error::Empty { .. } => "check the name of the place",
        Error::Fenced { .. } => "find out who else ships this log",
        Error::NotEmpty { .. } => "name an empty directory",
        Error::Unconditional { .. } => {
            "use a store that can create an object on condition that there is none"
        }
        Error::Unsupported { .. } => "use a newer version of tidewal",
        Error::Store { .. } if !error.is_transient() => {
            "check what the credentials in the environment may do: list, read and write in that place"
        }
        _ => "check the name of the place, the credentials in the environment, and the network",
    }
}
