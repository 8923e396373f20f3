//! Dovecot: the lines for dovecot.conf (its manual, "SSL configuration").

use std::path::Path;

use minijinja::context;

use super::lines::plain;
use super::{Host, Lines, LinesError, MailServer, Version};
use crate::templates;

const SPECIAL: &str = " #\"'\\${}<%";

/// The lines for dovecot.conf.
///
/// # Errors
/// When Dovecot would not take a path as it is.
pub fn lines(host: &Host, version: Version) -> Result<Lines, LinesError> {
    let server = MailServer::Dovecot;
    let path = |path: &'_ Path| plain(path, server, SPECIAL).map(str::to_owned);
    let files = &host.files;
    let ca_and_crl = files.ca_and_crl.as_deref().map(path).transpose()?;
    let warnings = if ca_and_crl.is_none() {
        vec![format!(
            "Dovecot verifies clients by a file with the CA and the CRL, which only an exported \
             directory has: mailca export {} DIR, and --dir DIR here",
            host.name
        )]
    } else {
        Vec::new()
    };
    let values = context! {
        host => &host.name,
        reload => server.reload(),
        is_new => version >= Version(2, 4),
        key => path(&files.key)?,
        chain => path(&files.chain)?,
        ca_and_crl,
    };
    Ok(Lines {
        text: templates::render(templates::DOVECOT, values)?,
        warnings,
    })
}
