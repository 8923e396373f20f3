//! Dovecot: the lines for dovecot.conf (its manual, "SSL configuration").

use std::path::Path;

use minijinja::context;

use super::lines::plain;
use super::{Host, Lines, LinesError, MailServer, Version};
use crate::templates;

/// The first version that has other names for its settings.
const NEW: Version = Version(2, 4);

/// The lines for dovecot.conf.
///
/// # Errors
/// When Dovecot would not take a path as it is.
pub fn lines(host: &Host, version: Version) -> Result<Lines, LinesError> {
    let files = &host.files;
    let path = |path| quotable(path, version);
    let ca_and_crl = files.ca_and_crl.as_deref().map(path).transpose()?;
    let warning = match ca_and_crl {
        Some(file) => format!(
            "Dovecot starts only with {file}, and takes no client's certificate for valid unless the \
             CRL in it is: export it again, and run {reload}, whenever there is a new CRL",
            reload = MailServer::Dovecot.reload().unwrap_or_default(),
        ),
        None => format!(
            "Dovecot verifies clients by a file with the CA and the CRL, which only an exported \
             directory has: mailca export {} DIR, and --dir DIR here",
            host.name
        ),
    };
    let values = context! {
        host => &host.name,
        reload => MailServer::Dovecot.reload(),
        is_new => version >= NEW,
        key => path(&files.key)?,
        chain => path(&files.chain)?,
        ca => path(&files.ca)?,
        ca_and_crl,
    };
    Ok(Lines {
        text: templates::render(templates::DOVECOT, values)?,
        warnings: vec![warning],
    })
}

// A value is the rest of its line, and quotes in it are themselves. A line that ends in a backslash
// goes on in the next one. A dollar begins a variable, or takes spaces away; in 2.4 "%{" begins one.
fn quotable(path: &Path, version: Version) -> Result<&str, LinesError> {
    let text = plain(path, MailServer::Dovecot, "#$")?;
    let what = if let Some(last) = text.chars().last().filter(|last| " \\".contains(*last)) {
        format!("{last:?} at its end")
    } else if version >= NEW && text.contains("%{") {
        "\"%{\"".into()
    } else {
        return Ok(text);
    };
    Err(LinesError::Unquotable {
        reader: MailServer::Dovecot.reader(),
        path: text.into(),
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(host: &Host, version: Version) -> String {
        lines(host, version).unwrap().text
    }

    #[test]
    fn each_version_has_its_names() {
        let host = Host::in_ca("/CA");
        let old = text(&host, Version(2, 3));
        assert!(old.contains("\nssl_cert = </CA/hosts/a/chain.pem\nssl_key = <"));
        let new = text(&host, Version(2, 4));
        assert!(
            new.contains("\nssl_server_cert_file = /CA/hosts/a/chain.pem\nssl_server_key_file")
        );
    }

    #[test]
    fn clients_are_asked_only_where_a_file_has_the_ca_and_its_crl() {
        let mut host = Host::in_ca("/CA");
        for (version, asks) in [
            (
                Version(2, 3),
                "\nssl_ca = </d/x.pem\nssl_verify_client_cert = yes\n",
            ),
            (
                Version(2, 4),
                "\nssl_server_ca_file = /d/x.pem\nssl_server_request_client_cert = yes\n",
            ),
        ] {
            host.files.ca_and_crl = None;
            let without = lines(&host, version).unwrap();
            assert!(!without.text.contains("_client_cert = yes"));
            assert!(without.warnings[0].contains("mailca export a DIR"));
            host.files.ca_and_crl = Some("/d/x.pem".into());
            let with = lines(&host, version).unwrap();
            assert!(with.text.contains(asks), "{}", with.text);
            assert!(with.warnings[0].starts_with("Dovecot starts only with /d/x.pem, "));
        }
    }

    #[test]
    fn paths_that_it_would_change_are_refused() {
        let mut host = Host::in_ca("/CA");
        let mut refuses = |key: &str, version| {
            host.files.key = key.into();
            lines(&host, version).is_err()
        };
        for key in [
            "k.pem", "/a#b", "/a #b", "/a\nb", "/a $b", "/end ", "/end\\",
        ] {
            assert!(refuses(key, Version(2, 3)), "{key}");
            assert!(refuses(key, Version(2, 4)), "{key}");
        }
        assert!(!refuses("/a%{user}", Version(2, 3)));
        assert!(refuses("/a%{user}", Version(2, 4)));
        assert!(!refuses("/a b/\"c\"/'d'/<f/g\\h/%i/ü.pem", Version(2, 4)));
    }
}
