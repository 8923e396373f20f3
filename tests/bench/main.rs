//! mailca beside `openssl ca` in one run, started by `sh tests/bench/run`. The two take turns, so
//! that what else the machine does meets both.

mod bare;
mod data;
mod measure;
mod row;
mod table;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};

use bare::BARE;
use data::MAILCA;
use measure::{MEASURE, Usage};
use row::{Case, MANY, Row};
use table::Table;

/// Measure mailca beside `openssl ca`
#[derive(Parser)]
#[command(name = "tests/bench/run")]
struct Options {
    /// What to measure [default: all]
    #[arg(value_name = "ROW")]
    rows: Vec<Row>,
    /// Fewer rounds: less than a minute, and less certain
    #[arg(long)]
    quick: bool,
    /// Where to put the CA directories: mailca waits for that disk
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
    // `cargo bench` adds it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    measure::catch_signals()?;
    let mut args = env::args_os().skip(1);
    match args.next() {
        Some(mode) if mode == MEASURE => return measure::measure_child(args),
        Some(mode) if mode == BARE => return bare::run(MANY),
        _ => {}
    }
    let mut options = Options::parse();
    if options.rows.is_empty() {
        options.rows = Row::value_variants().to_vec();
    }
    let mut table = Table::new();
    for row in &options.rows {
        eprintln!("measuring: {}", row.title());
        let usages = measure_row(*row, row.rounds(options.quick), &options.dir)?;
        table.add(row.title(), &row.lines(), &usages);
    }
    println!("\n{}\n{table}", machine(&options.dir)?);
    Ok(())
}

/// What the cases of a row took, round by round.
fn measure_row(row: Row, rounds: usize, place: &Path) -> Result<Vec<Vec<Usage>>> {
    let dir = tempfile::Builder::new()
        .prefix("mailca-bench-")
        .tempdir_in(place)
        .with_context(|| place.display().to_string())?;
    let cases = row.cases();
    data::make_requests(&dir.path().join("requests"), row.requests())?;
    for case in &cases {
        let template = dir.path().join(case.ca.name());
        if !template.exists() {
            case.ca.make(&template)?;
        }
    }
    let mut usages = vec![Vec::new(); cases.len()];
    for round in 0..rounds {
        for (number, (case, usages)) in cases.iter().zip(&mut usages).enumerate() {
            let work = dir.path().join(format!("work-{round}-{number}"));
            usages.push(run(case, dir.path(), &work)?);
        }
    }
    dir.close()?;
    Ok(usages)
}

/// Runs a case in a fresh copy of its CA directory.
fn run(case: &Case, dir: &Path, work: &Path) -> Result<Usage> {
    let copied = Command::new("cp")
        .arg("-R")
        .arg(dir.join(case.ca.name()))
        .arg(work)
        .status()?;
    ensure!(copied.success(), "cp failed");
    // A register in use is one that mailca wrote to, and has a CRL.
    data::mailca(work, &["crl"])?;
    // Or it would have to wait for what others have written.
    rustix::fs::syncfs(File::open(work)?)?;
    let usage = measure::measure(&case.command, work)?;
    let made = fs::read_dir(work.join("newcerts"))?.count();
    // And the one that was there.
    let expected = case.makes + case.ca.kept as usize + 1;
    ensure!(made == expected, "{made} of {expected} certificates");
    // Linux makes files slowly for some seconds after many were removed.
    if case.makes <= 1 {
        fs::remove_dir_all(work)?;
    }
    Ok(usage)
}

/// What the figures were measured on.
fn machine(dir: &Path) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or(env::consts::ARCH, |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let file_system = said_by(Command::new("stat").args(["-f", "-c", "%T"]).arg(dir))?;
    let mailca = said_by(Command::new(MAILCA).arg("--version"))?;
    let openssl = said_by(Command::new("openssl").arg("version"))?;
    Ok(format!(
        "{model}, {cores} cores, {file_system}\n{mailca}; {openssl}\n"
    ))
}

fn said_by(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
