//! `tidewal completions` and `tidewal man`

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::Out;

pub fn completions(shell: Shell, mut command: Command) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "tidewal", &mut script);
    print(&script)
}

/// The page of the command itself, or those of all commands in files of a directory.
pub fn pages(dir: Option<&Path>, command: Command) -> Result<ExitCode, Failure> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(Failure::Output)?;
        return print(&page);
    };
    write_all(dir, command).map_err(|error| {
        Failure::Other(
            format!("cannot write manual pages to {}: {error}", dir.display()),
            "name a directory that can be written".into(),
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write_all(dir: &Path, command: Command) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(command, dir)
}

fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    let mut out = Out::new();
    out.bytes(text)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
