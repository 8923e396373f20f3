//! OpenSMTPD: the lines for smtpd.conf (smtpd.conf(5)).

use minijinja::context;

use super::lines::plain;
use super::{Host, Lines, LinesError, MailServer, Version};
use crate::pki::public_key::PublicKeyKind;
use crate::templates;

// Between quotes, a backslash takes the meaning of some characters away, and stays before others.
const SPECIAL: &str = "\"\\";

/// The name that the CA has in smtpd.conf.
const CA_NAME: &str = "mailca";

/// The lines for smtpd.conf.
///
/// # Errors
/// When it would not take a path as it is, or has no use for the host's key.
pub fn lines(host: &Host, version: Version) -> Result<Lines, LinesError> {
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
        restart => server.reload(),
        ca_name => CA_NAME,
        key => plain(&files.key, server, SPECIAL)?,
        chain => plain(&files.chain, server, SPECIAL)?,
        ca => plain(&files.ca, server, SPECIAL)?,
    };
    let mut warnings = vec![
        "OpenSMTPD reads no CRL, and accepts a revoked certificate until it expires: relay by \
         certificate and address (match tag ... from src ...), or give the CA a new key (mailca \
         renew-ca --new-key)"
            .into(),
    ];
    if version < Version(7, 0) {
        warnings.push(format!(
            "OpenSMTPD {version} with OpenSSL 3, as Debian 12 has it, fails at every handshake"
        ));
    }
    Ok(Lines {
        text: templates::render(templates::OPENSMTPD, values)?,
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWEST: Version = Version(7, 6);

    #[test]
    fn paths_that_it_would_change_are_refused() {
        let mut host = Host::in_ca("/CA");
        for key in ["k.pem", "/a\"b", "/a\\b", "/end\\", "/a\nb"] {
            host.files.key = key.into();
            assert!(lines(&host, NEWEST).is_err(), "{key}");
        }
        host.files.key = "/a b/'c'/$d/#e/<f>/%{g}/ü.pem".into();
        let key = "\npki \"a\" key \"/a b/'c'/$d/#e/<f>/%{g}/ü.pem\"\n";
        assert!(lines(&host, NEWEST).unwrap().text.contains(key));
    }

    #[test]
    fn a_key_that_it_does_not_take_is_refused() {
        let mut host = Host::in_ca("/CA");
        host.key = Some(PublicKeyKind::Ed25519);
        let said = lines(&host, NEWEST).unwrap_err().to_string();
        assert_eq!(
            said,
            "the key of a is Ed25519, which OpenSMTPD does not take"
        );
    }

    #[test]
    fn a_version_that_openssl_3_breaks_is_told_of() {
        let host = Host::in_ca("/CA");
        let warnings = |version| lines(&host, version).unwrap().warnings.len();
        assert_eq!([warnings(Version(6, 8)), warnings(NEWEST)], [2, 1]);
    }
}
