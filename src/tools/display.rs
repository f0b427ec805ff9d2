//! The text of a repair plan.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use crate::lsn::Lsn;
use crate::tools::plan::RepairPlan;
use crate::tools::step::RepairStep;

impl fmt::Display for RepairStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep { file, copy } => write!(
                f,
                "copy {} to {}/{}",
                short_name(file),
                copy.parent().map(short_name).unwrap_or_default(),
                short_name(copy)
            ),
            Self::Begin { lsn } => write!(f, "begin an empty segment for record {lsn} and later"),
            Self::MarkHead { file } => {
                write!(
                    f,
                    "mark {} as the first segment of the log",
                    short_name(file)
                )
            }
            Self::Extend { file, len } => {
                write!(f, "extend {} to its full {len} bytes", short_name(file))
            }
            Self::Remove { file } => write!(f, "take {} out of the log", short_name(file)),
            Self::Seal { file, lsn, offset } => write!(
                f,
                "end {} at byte {offset}, after record {lsn}",
                short_name(file)
            ),
        }
    }
}

fn short_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    name.to_string_lossy().into_owned()
}

impl fmt::Display for RepairPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("Nothing is damaged, and there is nothing to repair.\n");
        }
        self.write_steps(f)?;
        writeln!(f)?;
        self.write_kept(f)?;
        self.write_next(f)
    }
}

impl RepairPlan {
    fn write_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:3}. {step}", index + 1)?;
        }
        writeln!(
            f,
            "     A note of it is written to {}/REPAIR.txt.",
            short_name(&self.folder)
        )
    }

    fn write_kept(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kept {
            Some(kept) => writeln!(
                f,
                "The log then holds the records {} to {}.",
                kept.start(),
                kept.end()
            )?,
            None => writeln!(f, "The log then holds no record.")?,
        }
        if let Some(oldest) = self.kept.as_ref().map(RangeInclusive::start)
            && *oldest > Lsn::FIRST
            && self.work.mark_head.is_some()
        {
            writeln!(
                f,
                "It begins at record {oldest}: a service needs a snapshot of everything before."
            )?;
        }
        if self.cut_records > 0 {
            writeln!(
                f,
                "{} records that can be read are no longer in it: they are kept in {} only.",
                self.cut_records,
                short_name(&self.folder)
            )?;
        }
        Ok(())
    }

    fn write_next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The next append gets LSN {}.", self.next)?;
        if let Some(reused) = &self.reused {
            writeln!(
                f,
                "The LSNs {} to {} were in use before and will be given out again. Roll back \
                 everything that refers to them (a snapshot, a replica) to {} or earlier.",
                reused.start(),
                reused.end(),
                self.next.prev()
            )?;
        }
        if self.may_reuse_more {
            writeln!(
                f,
                "The end of the log is unknown. LSNs from {} on may be given out again. Roll back every \
                 snapshot or replica that refers to them.",
                self.next
            )?;
        }
        Ok(())
    }
}
