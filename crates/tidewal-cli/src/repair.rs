//! `tidewal repair`

use std::process::ExitCode;

use tidewal::tools::{LogDir, RepairPlan, RepairStep};

use crate::cli::Repair;
use crate::display::{count, quoted};
use crate::failure::{DAMAGED, Failure};
use crate::findings::{check_is_log, show_corruptions};
use crate::output::{Bar, Out};
use crate::raft::{self, Owner, RaftLook};

pub fn run(args: &Repair) -> Result<ExitCode, Failure> {
    check_is_log(&args.dir)?;
    let dir = LogDir::new(&args.dir);
    let mut look = RaftLook::new(Bar::new("reading"));
    let plan = dir.plan_repair_with(&mut look)?;
    let owner = look.owner();
    drop(look);
    let mut out = Out::new();
    if plan.is_empty() {
        let dir = args.dir.display();
        out.line(&format!(
            "{} nothing is damaged in {dir}",
            out.paint.good("sound:")
        ))?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&mut out, &plan)?;
    if !args.not_raft {
        check_owner(owner)?;
    }
    if args.yes {
        return execute(out, plan);
    }
    out.line(
        &out.paint
            .strong("Nothing was changed. To repair the log, add --yes."),
    )?;
    out.line(&format!(
        "To print every record that can be read now: tidewal dump {} --salvage",
        quoted(&args.dir)
    ))?;
    out.flush()?;
    Ok(ExitCode::from(DAMAGED))
}

/// The log of a raft node must not be repaired.
fn check_owner(owner: Owner) -> Result<(), Failure> {
    let (what, hint) = match owner {
        Owner::Other => return Ok(()),
        Owner::Raft => (
            "nothing was changed: this log must not be repaired",
            raft::HINT,
        ),
        Owner::Unknown => (
            "nothing was changed: this may be the log of a raft node, which must not be repaired",
            raft::UNKNOWN,
        ),
    };
    let hint = format!("{hint}. If it is not one, add --not-raft");
    Err(Failure::Damaged(what.into(), hint))
}

fn show(out: &mut Out, plan: &RepairPlan) -> Result<(), Failure> {
    show_corruptions(out, &plan.survey)?;
    out.line(&out.paint.strong("\nThe repair would:\n"))?;
    out.line(&plan.to_string())?;
    out.flush()
}

fn execute(mut out: Out, plan: RepairPlan) -> Result<ExitCode, Failure> {
    let is_kept = |step: &RepairStep| matches!(step, RepairStep::Keep { .. });
    let kept = plan.steps.iter().filter(|step| is_kept(step)).count();
    let repaired = plan.execute_with(&mut Bar::new("verifying"))?;
    let records = count(repaired.survey.records(), "record");
    let good = out.paint.good("repaired:");
    out.line(&format!("{good} the log is sound and holds {records}"))?;
    if let Some(subdir) = repaired.folder {
        let subdir = subdir.display();
        out.line(&match kept {
            0 => format!("no file was cut. {subdir} holds a note of what was done"),
            _ => format!(
                "{subdir} holds {} as {} before, and a note of what was done",
                count(kept as u64, "file"),
                if kept == 1 { "it was" } else { "they were" }
            ),
        })?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
