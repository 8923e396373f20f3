//! Which version of a mail server the lines are for.

use std::path::Path;

use crate::commands::session::Session;
use crate::mta::{MailServer, Origin, Release, Version};
use crate::sys::{access, files, process};

/// The version that was named, else the one on this machine, else the newest. On another machine,
/// as `--dir` means it, nobody can look.
pub fn choose(
    server: MailServer,
    named: Option<Release>,
    is_here: bool,
    session: &mut Session<'_>,
) -> Version {
    if let Some(release) = named {
        return release.version;
    }
    let installed = if is_here {
        installed(server, session)
    } else {
        None
    };
    installed.unwrap_or_else(|| {
        let newest = server.newest();
        session.note(&format!(
            "the lines are for {} {newest}; for another version: --for {server}-{}",
            server.title(),
            server.oldest()
        ));
        newest
    })
}

fn installed(server: MailServer, session: &Session<'_>) -> Option<Version> {
    match server.version() {
        Origin::Line(paths, beginning) => paths.iter().find_map(|path| {
            let text = files::read(Path::new(path)).ok()?;
            let text = String::from_utf8_lossy(&text);
            let mut lines = text.lines();
            Version::find(lines.find_map(|line| line.strip_prefix(beginning))?)
        }),
        Origin::Program(names, words) => {
            let path = session.context.variable("PATH");
            let path = path.as_ref().map(AsRef::as_ref);
            let mut programs = names
                .iter()
                .filter_map(|name| access::find_program(name, path));
            programs.find_map(|program| Version::find(&process::said_by(&program, words)?))
        }
    }
}
