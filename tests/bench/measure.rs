//! What one process takes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The first argument of a process of this program that measures another.
pub const MEASURE: &str = "measure";

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What a process took.
#[derive(Clone, Copy)]
pub struct Usage {
    /// from its start to its end
    pub wall: Duration,
    /// in the process and in the kernel for it
    pub cpu: Duration,
    /// its largest resident size
    pub kibibytes: f64,
}

/// Lets a signal end the run between two processes, so that everything is removed. The process
/// that is running got the signal from the terminal too.
pub fn catch_signals() -> Result<()> {
    Ok(ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::Relaxed);
    })?)
}

/// Fails where a signal has come.
pub fn check_interrupted() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// Runs a command in a directory.
///
/// The system tells the largest memory of all children in one number, so each command gets a
/// parent of its own.
pub fn measure(command: &[OsString], dir: &Path) -> Result<Usage> {
    check_interrupted()?;
    let output = Command::new(env::current_exe()?)
        .arg(MEASURE)
        .args(command)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()?;
    check_interrupted()?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        command[0].display(),
        String::from_utf8_lossy(&output.stderr)
    );
    parse(&output.stdout).context("not a measurement")
}

/// The other side of [`measure`].
pub fn measure_child(mut command: impl Iterator<Item = OsString>) -> Result<()> {
    let program = command.next().context("no command")?;
    let mut child = Command::new(&program);
    child.args(command).stdout(Stdio::null());
    let start = Instant::now();
    let status = child
        .status()
        .with_context(|| OsStr::display(&program).to_string())?;
    let wall = start.elapsed();
    ensure!(status.success(), "{status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time() + usage.system_time();
    println!(
        "{} {} {}",
        wall.as_micros(),
        cpu.num_microseconds(),
        usage.max_rss()
    );
    Ok(())
}

fn parse(line: &[u8]) -> Option<Usage> {
    let mut numbers = str::from_utf8(line).ok()?.split_whitespace();
    let mut next = || numbers.next()?.parse::<u64>().ok();
    Some(Usage {
        wall: Duration::from_micros(next()?),
        cpu: Duration::from_micros(next()?),
        kibibytes: f64::from(u32::try_from(next()?).ok()?),
    })
}
