//! The findings of a survey, for the commands that show them.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use tidewal::Lsn;
use tidewal::tools::Survey;

use crate::display::count;
use crate::failure::{DAMAGED, FAILED, Failure, with_sources};
use crate::output::Out;

/// What could not be read comes first, also beside damage: before anything is repaired, it must be possible to read
/// everything.
pub fn status(survey: &Survey) -> ExitCode {
    match (survey.read_errors.is_empty(), survey.corruptions.is_empty()) {
        (false, _) => ExitCode::from(FAILED),
        (true, false) => ExitCode::from(DAMAGED),
        (true, true) => ExitCode::SUCCESS,
    }
}

/// A mistyped name must not look like a sound, empty log. Nothing is created in such a directory.
pub fn check_is_log(dir: &Path) -> Result<(), Failure> {
    // The library says what is wrong with a directory that cannot be listed, or not to its end.
    let Ok(mut files) = fs::read_dir(dir) else {
        return Ok(());
    };
    let is_of_log = |file: fs::DirEntry| file.file_name().to_str().is_some_and(is_name_of_log);
    match files.any(|file| file.map_or(true, is_of_log)) {
        true => Ok(()),
        false => Err(Failure::Other(
            format!(
                "{} is not a log's directory: it has no LOCK and no segment",
                dir.display()
            ),
            "name the directory that holds the log's files".into(),
        )),
    }
}

/// Whether a file with this name shows that the directory is, or is to become, that of a log.
fn is_name_of_log(name: &str) -> bool {
    let base = name.strip_suffix(".wal");
    let is_number = |base: &str| base.len() == 20 && base.bytes().all(|byte| byte.is_ascii_digit());
    let is_segment = base.is_some_and(is_number);
    is_segment || name == "LOCK" || name == "RESTORING"
}

/// Lists all damage in the order of segments and offsets.
pub fn show_corruptions(out: &mut Out, survey: &Survey) -> Result<(), Failure> {
    let paint = out.paint;
    for corruption in &survey.corruptions {
        out.line(&format!("{} {corruption}", paint.bad("damaged:")))?;
    }
    if survey.corruptions_left_out > 0 {
        let more = count(survey.corruptions_left_out, "more place");
        out.line(&format!("{} {more}", paint.bad("damaged:")))?;
    }
    for error in &survey.read_errors {
        out.line(&format!(
            "{} {}",
            paint.bad("not read:"),
            with_sources(error)
        ))?;
    }
    Ok(())
}

/// The last record of a log. `None` if the header of its newest segment cannot be read: such a log may hold
/// any number of records.
pub fn known_end(survey: &Survey) -> Option<Lsn> {
    let is_known = match survey.segments.last() {
        Some(newest) => newest.header.is_some() && (newest.last.is_some() || survey.in_use),
        None => survey.read_errors.is_empty(),
    };
    is_known.then_some(survey.end)
}
