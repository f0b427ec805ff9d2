//! `tidewal completions` and `tidewal man`

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::generate;

use crate::cli::{Completions, Man};
use crate::failure::Failure;
use crate::output::Out;

pub fn completions(args: &Completions, mut command: Command) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut command, "tidewal", &mut script);
    print(&script)
}

/// Shows one page, or writes the pages of all commands to a directory.
pub fn man(args: &Man, command: Command) -> Result<ExitCode, Failure> {
    match &args.dir {
        Some(dir) => write_all(dir, command),
        None => show(find(command, &args.command)?),
    }
}

/// Finds a command by its path of names.
fn find(mut command: Command, names: &[String]) -> Result<Command, Failure> {
    // Full names and inherited options exist only once the command is built.
    command.build();
    for name in names {
        let found = command.find_subcommand(name).cloned();
        command = found.ok_or_else(|| unknown(&command, name))?;
    }
    Ok(command)
}

fn unknown(command: &Command, name: &str) -> Failure {
    let known = command.get_subcommands().map(Command::get_name);
    let known: Vec<_> = known.filter(|name| *name != "help").collect();
    let hint = match known.is_empty() {
        true => format!("`{}` has no commands", full_name(command)),
        false => format!("name one of {}", known.join(", ")),
    };
    Failure::Other(
        format!("`{}` has no command {name}", full_name(command)),
        hint,
    )
}

fn full_name(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

/// Writes text to a terminal, and the source of the page to a pipe or a file.
fn show(mut command: Command) -> Result<ExitCode, Failure> {
    if io::stdout().is_terminal() {
        let help = command.render_long_help();
        return print(help.to_string().as_bytes());
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(Failure::Output)?;
    print(&page)
}

fn write_all(dir: &Path, command: Command) -> Result<ExitCode, Failure> {
    let written = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    written.map_err(|error| {
        Failure::Other(
            format!("cannot write manual pages to {}: {error}", dir.display()),
            "name a directory that can be written".into(),
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    let mut out = Out::new();
    out.bytes(text)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
