//! The findings of a survey, for the commands that show them.

use std::process::ExitCode;

use tidewal::Lsn;
use tidewal::tools::Survey;

use crate::display::count;
use crate::failure::{DAMAGED, FAILED, Failure, with_sources};
use crate::output::Out;

/// Damage is certain. A file that was not read may be damaged too.
pub fn status(survey: &Survey) -> ExitCode {
    match (survey.read_errors.is_empty(), survey.corruptions.is_empty()) {
        (false, _) => ExitCode::from(FAILED),
        (true, false) => ExitCode::from(DAMAGED),
        (true, true) => ExitCode::SUCCESS,
    }
}

/// A mistyped name must not look like a sound log.
pub fn check_is_log(survey: &Survey) -> Result<(), Failure> {
    let has_files = !survey.segments.is_empty() || !survey.stale_segments.is_empty();
    if has_files || survey.dir.join("LOCK").exists() {
        return Ok(());
    }
    Err(Failure::Other(
        format!(
            "{} is not a log's directory: it has no LOCK and no segment",
            survey.dir.display()
        ),
        "name the directory that holds the log's files".into(),
    ))
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
