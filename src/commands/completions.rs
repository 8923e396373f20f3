//! `mailca completions`

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::report::Outcome;

pub fn run(args: &Completions) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mailca", &mut script);
    Ok(Outcome::file(String::from_utf8(script)?))
}
