//! mailca: a certificate authority for people who run mail servers.
//!
//! The map of the house; arrows point down only:
//!
//! ```text
//! cli        the words of the command line        report     how results are told
//! commands   one file per command                 context    time, questions, streams
//!    |
//!    +--- mta     one file per mail server, over templates/mta
//!    +--- systemd a service and its timer, over templates/systemd
//!    +--- store   the CA directory: settings, register, journal, hosts; the only writer
//!            |
//!            +--- pki   names, keys, requests, certificates, CRLs, chains: no files, no clock
//!            +--- sys   files, locks, questions on a terminal
//! ```

#[cfg(test)]
extern crate self as mailca;

pub mod cli;
pub mod commands;
pub mod context;
pub mod exit;
pub mod mta;
pub mod pki;
pub mod report;
pub mod store;
pub mod sys;
pub mod systemd;
pub mod templates;

use std::ffi::OsString;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use cli::Cli;
use context::Context;
use exit::{Exit, Plugin};
use pki::text;
use report::Failure;

/// Runs one command line, the program's name first, and returns its exit status.
pub fn run(argv: impl IntoIterator<Item = OsString>, context: &mut Context) -> Exit {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let cli = match Cli::try_parse_from(&argv) {
        Ok(cli) => cli,
        Err(error) => return usage(error, &argv, context),
    };
    let global = cli.global.clone();
    match commands::run(cli, context) {
        Ok(outcome) => match report::print(&outcome, &global, context) {
            Ok(()) => outcome.exit,
            Err(error) => {
                let (sentence, exit) = outcome.unprinted(&error);
                report::say("error", &sentence, context);
                exit
            }
        },
        Err(error) => {
            let failure = commands::failure::explain(&error, (&global).into());
            report::print_failure(&failure, global.json, context);
            failure.exit
        }
    }
}

fn usage(mut error: clap::Error, argv: &[OsString], context: &mut Context) -> Exit {
    let has = |option: &str| argv.iter().any(|word| word == option);
    // Words as typed may be endless, and steer the terminal.
    let typed: Vec<(ContextKind, String)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(word) => Some((kind, text::sentence(word))),
            _ => None,
        })
        .collect();
    for (kind, word) in typed {
        error.insert(kind, ContextValue::String(text::shorten(&word).into()));
    }
    let text = text::for_terminal(&error.render().to_string());
    let lines: Vec<_> = text.split('\n').map(text::shorten).collect();
    let text = lines.join("\n");
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            if let Err(error) = report::write_out(text.as_bytes(), context) {
                let sentence = format!("cannot write to standard output: {error}");
                report::say("error", &sentence, context);
                return Exit::Refused;
            }
            Exit::Done
        }
        _ if has("--nagios") => {
            // To a monitoring system, 2 says that something is critical.
            let line = commands::unknown(&first_sentence(&text));
            let _ = report::write_out(line.as_bytes(), context);
            Exit::Plugin(Plugin::Unknown)
        }
        _ if has("--json") => {
            let failure = Failure {
                error: first_sentence(&text),
                hint: Some("mailca --help".into()),
                exit: Exit::Usage,
                changed: false,
            };
            report::print_failure(&failure, true, context);
            failure.exit
        }
        _ => {
            let _ = context.stderr.write_all(text.as_bytes());
            Exit::Usage
        }
    }
}

// What clap says before it comes to the usage, in one line.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(str::trim).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}
