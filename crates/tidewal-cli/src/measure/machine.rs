//! The machine on which the figures were measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::context::BenchContext;

/// The facts printed above the figures.
pub struct Setting {
    pub facts: Vec<(&'static str, String)>,
    pub warnings: Vec<String>,
}

/// Collects the facts that the system reports, most of them on Linux.
pub fn describe(context: &BenchContext) -> Setting {
    let facts = [
        ("Date", said_by("date", &["-u", "+%F"])),
        ("Processor", processor()),
        ("Memory", memory()),
        ("Kernel", said_by("uname", &["-srm"])),
        ("Log directory on", place(&context.dir)),
    ];
    Setting {
        facts: facts.map(known).into(),
        warnings: warnings(context),
    }
}

/// Adds the facts that matter if the log is also measured in memory, by a program that was just
/// built.
pub fn describe_memory(context: &BenchContext, setting: &mut Setting) {
    let compiler = ("Compiler", said_by("rustc", &["--version"]));
    setting.facts.push(known(compiler));
    match &context.memory {
        Some(memory) => setting.facts.push(known(("In memory", place(memory)))),
        None => setting
            .warnings
            .push("there is no memory file system: what is compared with it is left out".into()),
    }
}

fn known((name, value): (&'static str, Option<String>)) -> (&'static str, String) {
    (name, value.unwrap_or_else(|| "unknown".into()))
}

fn warnings(context: &BenchContext) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(load) = load_average().filter(|&load| load > IDLE_LOAD) {
        warnings.push(format!(
            "the machine is not idle, its load is {load}: absolute figures say little, and ratios less than they could"
        ));
    }
    if mount_of(&context.dir).is_some_and(|mount| mount.kind == "tmpfs") {
        warnings.push("the log directory is in memory: there is no disk to measure".into());
    }
    warnings
}

fn processor() -> Option<String> {
    let count = std::thread::available_parallelism().ok()?;
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&info, "model name").unwrap_or("unknown model");
    Some(format!("{count} x {model}"))
}

fn memory() -> Option<String> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = field(&info, "MemTotal")?
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(format!("{} GiB", kib.div_ceil(1024 * 1024)))
}

fn load_average() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// The value for `name` in a file of `name : value` lines.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

struct Mount {
    device: String,
    point: PathBuf,
    kind: String,
    options: String,
}

/// The file system, its options, and the disk's write cache mode according to the kernel.
fn place(dir: &Path) -> Option<String> {
    let Mount {
        device,
        kind,
        options,
        ..
    } = mount_of(dir)?;
    let cache = write_cache(&device)
        .map(|cache| format!(", write cache: {cache}"))
        .unwrap_or_default();
    Some(format!("{kind} ({options}) on {device}{cache}"))
}

/// The mount of a directory, which need not exist yet.
fn mount_of(dir: &Path) -> Option<Mount> {
    let dir = dir.ancestors().find_map(|dir| fs::canonicalize(dir).ok())?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(parse_mount);
    let over = mounts.filter(|mount| dir.starts_with(&mount.point));
    // Of two mounts at the same point, the later one covers the earlier one.
    over.max_by_key(|mount| mount.point.components().count())
}

fn parse_mount(line: &str) -> Option<Mount> {
    let mut words = line.split(' ').map(str::to_owned);
    Some(Mount {
        device: words.next()?,
        point: words.next()?.into(),
        kind: words.next()?,
        options: words.next()?,
    })
}

/// The bytes that all processes have written to the disk under a directory so far.
///
/// The kernel's count for a single process is useless here: it counts whole pieces of the page
/// cache that were changed. Such a piece can have a megabyte, of which one block is written.
pub fn bytes_written(dir: &Path) -> Option<u64> {
    let block = block_device(&mount_of(dir)?.device)?;
    let text = fs::read_to_string(block.join("stat")).ok()?;
    let sectors: u64 = text.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * 512)
}

/// A partition has no queue of its own, but its disk has one.
fn write_cache(device: &str) -> Option<String> {
    let block = block_device(device)?;
    let text = block
        .ancestors()
        .take(2)
        .find_map(|dir| fs::read_to_string(dir.join("queue/write_cache")).ok())?;
    Some(text.trim().to_owned())
}

/// The kernel's directory for a device.
fn block_device(device: &str) -> Option<PathBuf> {
    let name = fs::canonicalize(device).ok()?;
    fs::canonicalize(Path::new("/sys/class/block").join(name.file_name()?)).ok()
}

fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Above this load, other programs disturb the measurement.
const IDLE_LOAD: f64 = 0.7;
