//! The command `mailca`.

use std::process::ExitCode;

use mailca::context::Context;

fn main() -> ExitCode {
    let status = mailca::run(std::env::args_os(), &mut Context::real());
    ExitCode::from(status as u8)
}
