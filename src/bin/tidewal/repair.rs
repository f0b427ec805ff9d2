//! `tidewal repair`

use std::process::ExitCode;

use tidewal::tools::{LogDir, RepairPlan};

use crate::cli::Repair;
use crate::failure::{DAMAGED, Failure};
use crate::inspect::show_damages;
use crate::look::{Bar, Out, count};
use crate::support::wait_for;

pub fn run(args: &Repair) -> Result<ExitCode, Failure> {
    let dir = LogDir::new(&args.dir);
    let plan = wait_for(dir.plan_repair(&mut Bar::new("reading")))?;
    let mut out = Out::new();
    if plan.is_empty() {
        out.line(&format!("{} nothing is damaged", out.paint.good("sound:")))?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&mut out, &plan)?;
    if args.yes {
        return execute(out, plan);
    }
    out.line(
        &out.paint
            .strong("Nothing was changed. To do this, add --yes."),
    )?;
    out.line("To print every record that can be read, as it is now: tidewal dump --salvage")?;
    out.flush()?;
    Ok(ExitCode::from(DAMAGED))
}

fn show(out: &mut Out, plan: &RepairPlan) -> Result<(), Failure> {
    show_damages(out, &plan.survey)?;
    out.line(&out.paint.strong("\nTo make it a log that opens:\n"))?;
    out.line(&plan.to_string())?;
    out.flush()
}

fn execute(mut out: Out, plan: RepairPlan) -> Result<ExitCode, Failure> {
    let repaired = wait_for(plan.execute(&mut Bar::new("verifying")))?;
    let records = count(repaired.survey.records(), "record");
    let good = out.paint.good("repaired:");
    out.line(&format!("{good} the log is sound and holds {records}"))?;
    if let Some(folder) = repaired.folder {
        out.line(&format!("what was cut is kept in {}", folder.display()))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
