//! Postfix: the lines for main.cf (postconf(5), TLS_README).

pub mod access;

use minijinja::context;

use super::lines::plain;
use super::{Host, Lines, LinesError, MailServer, Version};
use crate::templates;

// White space and commas separate the files of a list, and `$` begins a parameter.
const SPECIAL: &str = " ,$#{}";

/// The lines for main.cf.
///
/// # Errors
/// When main.cf has no form for a path.
pub fn lines(host: &Host, version: Version) -> Result<Lines, LinesError> {
    let server = MailServer::Postfix;
    let files = &host.files;
    let values = context! {
        host => &host.name,
        reload => server.reload(),
        has_chain_files => version >= Version(3, 4),
        key => plain(&files.key, server, SPECIAL)?,
        chain => plain(&files.chain, server, SPECIAL)?,
        ca => plain(&files.ca, server, SPECIAL)?,
    };
    Ok(Lines {
        text: templates::render(templates::POSTFIX, values)?,
        warnings: vec![
            "Postfix reads no CRL; of a revoked certificate `mailca access postfix --reject` tells it"
                .into(),
        ],
    })
}
