//! Exim: the lines for the main section of its configuration (its specification, "Encrypted SMTP
//! connections using TLS/SSL").

use std::path::Path;

use minijinja::context;

use super::lines::plain;
use super::{Host, Lines, LinesError, MailServer, Version};
use crate::templates;

/// The lines for the main section.
///
/// # Errors
/// When Exim would not take a path as it is.
pub fn lines(host: &Host, _version: Version) -> Result<Lines, LinesError> {
    let files = &host.files;
    let values = context! {
        host => &host.name,
        key => value(&files.key)?,
        chain => value(&files.chain)?,
        ca => value(&files.ca)?,
        crl => value(&files.crl)?,
    };
    Ok(Lines {
        text: templates::render(templates::EXIM, values)?,
        warnings: Vec::new(),
    })
}

// Exim expands $ and \, takes a colon as the end of the first of several files, and leaves out white
// space at the end of a line.
fn value(path: &Path) -> Result<&str, LinesError> {
    let text = plain(path, MailServer::Exim, "$\\:")?;
    if text.ends_with(' ') {
        return Err(LinesError::Unquotable {
            reader: MailServer::Exim.reader(),
            path: text.into(),
            what: "white space at its end".into(),
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(root: &str, key: &str) -> Result<String, LinesError> {
        let mut host = Host::in_ca(root);
        host.files.key = key.into();
        super::lines(&host, MailServer::Exim.newest()).map(|lines| lines.text)
    }

    #[test]
    fn the_lines_are_values_and_comments_between_marks() {
        let text = lines("/etc/mail/CA", "/k").unwrap();
        assert!(text.starts_with("\n# mailca: begin\n# a; "), "{text}");
        assert!(text.ends_with("\n# mailca: end\n"), "{text}");
        for line in text.lines().skip(1) {
            assert!(line.starts_with('#') || line.contains(" = "), "{line}");
        }
        assert_eq!(text.matches(" = /k\n").count(), 3, "{text}");
    }

    #[test]
    fn paths_that_exim_would_change_are_refused() {
        for path in ["/a$b", "/a\\b", "/a:b", "/a\nb", "/a ", "a"] {
            assert!(lines("/etc/mail/CA", path).is_err(), "{path:?}");
        }
        assert_eq!(
            lines("/etc/mail:CA", "/k").unwrap_err().to_string(),
            "the path \"/etc/mail:CA/hosts/a/chain.pem\" has ':', which Exim would not leave as it \
             is"
        );
    }

    #[test]
    fn other_paths_are_left_alone() {
        assert!(lines("/a !\"#%&'()*+,-.;<=>?@[]^_`{|}~ ü x", "/k").is_ok());
    }
}
