//! OpenSMTPD: the lines for smtpd.conf (smtpd.conf(5)).

use minijinja::context;

use super::lines::plain;
use super::{Host, Lines, LinesError, MailServer, Version};
use crate::pki::public_key::PublicKeyKind;
use crate::templates;

const SPECIAL: &str = "\"\\$";

/// The lines for smtpd.conf.
///
/// # Errors
/// When it would not take a path as it is, or has no use for the host's key.
pub fn lines(host: &Host, _version: Version) -> Result<Lines, LinesError> {
    let server = MailServer::Opensmtpd;
    if let Some(key @ PublicKeyKind::Ed25519) = host.key {
        return Err(LinesError::Key {
            server,
            host: host.name.clone(),
            key,
        });
    }
    let files = &host.files;
    let values = context! {
        host => &host.name,
        reload => server.reload(),
        key => plain(&files.key, server, SPECIAL)?,
        chain => plain(&files.chain, server, SPECIAL)?,
        ca => plain(&files.ca, server, SPECIAL)?,
    };
    Ok(Lines {
        text: templates::render(templates::OPENSMTPD, values)?,
        warnings: vec![
            "OpenSMTPD reads no CRL, and accepts a revoked certificate until it expires".into(),
        ],
    })
}
