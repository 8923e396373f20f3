//! `mailca emit`: one file per program that works with the CA.

pub mod systemd;

use anyhow::Result;

use super::session::Session;
use crate::cli::{Emit, EmitTarget};
use crate::report::Outcome;

pub fn run(args: &Emit, session: &mut Session<'_>) -> Result<Outcome> {
    match &args.target {
        EmitTarget::Systemd(args) => systemd::run(args, session),
    }
}
