//! `tidewal archive prune`

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;
use tidewal::Lsn;
use tidewal_archive::{Pruned, RestoreTarget};

use crate::archive::args::Prune;
use crate::archive::failure;
use crate::display::count;
use crate::failure::Failure;
use crate::output::Out;
use crate::wait::wait_for_network;

pub fn run(args: &Prune) -> Result<ExitCode, Failure> {
    let pruned = wait_for_network(prune(args))?;
    let mut out = Out::new();
    if args.json {
        out.line(&format!("{:#}", to_json(&pruned, args)))?;
    } else {
        show(&mut out, &pruned, args)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn prune(args: &Prune) -> Result<Pruned, Failure> {
    let pruned = args.store.open()?.prune(before(args)).await;
    pruned.map_err(|error| failure::of(error, &args.store))
}

fn before(args: &Prune) -> RestoreTarget {
    let lsn = args.before_lsn.map(|lsn| RestoreTarget::Lsn(Lsn::new(lsn)));
    let time = RestoreTarget::Time(args.before_time.unwrap_or(SystemTime::UNIX_EPOCH));
    lsn.unwrap_or(time)
}

fn show(out: &mut Out, pruned: &Pruned, args: &Prune) -> Result<(), Failure> {
    let (good, store) = (out.paint.good("pruned:"), &args.store);
    let oldest = pruned.oldest;
    out.line(&match pruned.objects {
        0 if oldest == Lsn::ZERO => format!("{good} {store} holds no record"),
        0 => format!("{good} nothing had to be removed. {store} begins with LSN {oldest}"),
        objects => format!(
            "{good} removed {}, {}. {store} begins with LSN {oldest}",
            count(pruned.segments, "segment"),
            count(objects, "object"),
        ),
    })
}

fn to_json(pruned: &Pruned, args: &Prune) -> serde_json::Value {
    json!({
        "store": args.store.to_string(),
        "oldest": (pruned.oldest != Lsn::ZERO).then(|| pruned.oldest.get()),
        "segments": pruned.segments,
        "objects": pruned.objects,
    })
}
