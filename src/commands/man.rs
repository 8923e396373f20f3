//! `mailca man`: pages from the definitions that make the help.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_mangen::Man as Page;
use serde::Serialize;

use crate::cli::{Cli, Man};
use crate::report::Outcome;
use crate::sys::files;

#[derive(Serialize)]
struct Report {
    changed: bool,
    pages: Vec<PathBuf>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for page in &self.pages {
            writeln!(f, "wrote {}", page.display())?;
        }
        Ok(())
    }
}

pub fn run(args: &Man) -> Result<Outcome> {
    files::create_dirs(&args.dir)?;
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    with_those_below(command, &mut pages);
    let mut report = Report {
        changed: true,
        pages: Vec::new(),
    };
    for command in pages {
        let page = Page::new(command.flatten_help(false)).manual("mailca");
        let path = args.dir.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text)?;
        files::replace(&path, &text, 0o644)?;
        report.pages.push(path);
    }
    Ok(Outcome::of(&report)?)
}

fn with_those_below(command: Command, found: &mut Vec<Command>) {
    let below: Vec<_> = command.get_subcommands().cloned().collect();
    found.push(command);
    for command in below {
        with_those_below(command, found);
    }
}
