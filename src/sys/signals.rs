//! What happens at a signal that ends the command.

use std::io::{self, Write};
use std::process;

use super::{hook, prompt};

/// How a command ends that was interrupted: 128 and SIGINT, as in shells.
const INTERRUPTED: i32 = 130;

/// Ends the command at SIGINT, SIGTERM and SIGHUP as they do by default, but with the terminal as
/// it was, and together with the hook that runs.
///
/// # Errors
/// When the system does not let signals be handled.
pub fn handle() -> io::Result<()> {
    let installed = ctrlc::set_handler(|| {
        prompt::restore_terminal();
        hook::stop();
        let _ = writeln!(io::stderr());
        process::exit(INTERRUPTED);
    });
    match installed {
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}
