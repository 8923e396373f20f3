//! Exim: the lines for the main section of its configuration (its specification, "Encrypted SMTP
//! connections using TLS/SSL").

use minijinja::context;

use super::lines::plain;
use super::{Host, Lines, LinesError, MailServer, Version};
use crate::templates;

// What Exim expands, and what ends or begins a string.
const SPECIAL: &str = "$\\{}#\" ";

/// The lines for the main section.
///
/// # Errors
/// When Exim would not take a path as it is.
pub fn lines(host: &Host, _version: Version) -> Result<Lines, LinesError> {
    let server = MailServer::Exim;
    let files = &host.files;
    let values = context! {
        host => &host.name,
        key => plain(&files.key, server, SPECIAL)?,
        chain => plain(&files.chain, server, SPECIAL)?,
        ca => plain(&files.ca, server, SPECIAL)?,
        crl => plain(&files.crl, server, SPECIAL)?,
    };
    Ok(Lines {
        text: templates::render(templates::EXIM, values)?,
        warnings: Vec::new(),
    })
}
