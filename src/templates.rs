//! The files of templates/, built into the program, and how they are filled in.

use minijinja::{Environment, Error, UndefinedBehavior, Value, syntax::SyntaxConfig};

/// openssl.cnf of a new CA
pub const OPENSSL_CNF: &str = include_str!("../templates/openssl.cnf");
/// the lines for sendmail.mc
pub const SENDMAIL_MC: &str = include_str!("../templates/mta/sendmail.mc");
/// the lines for Postfix's main.cf
pub const POSTFIX: &str = include_str!("../templates/mta/postfix.cf");
/// the lines for Exim's main section
pub const EXIM: &str = include_str!("../templates/mta/exim.conf");
/// the lines for dovecot.conf
pub const DOVECOT: &str = include_str!("../templates/mta/dovecot.conf");
/// the lines for OpenSMTPD's smtpd.conf
pub const OPENSMTPD: &str = include_str!("../templates/mta/smtpd.conf");

/// what mail servers need once a certificate is revoked
pub const REVOKED: &str = include_str!("../templates/mta/revoked.txt");

/// what mail servers need once a certificate is renewed
pub const RENEWED: &str = include_str!("../templates/mta/renewed.txt");
/// what a new key changes
pub const NEW_KEY: &str = include_str!("../templates/mta/new-key.txt");

/// the service that keeps a CA alive
pub const SYSTEMD_SERVICE: &str = include_str!("../templates/systemd/mailca.service");
/// its timer
pub const SYSTEMD_TIMER: &str = include_str!("../templates/systemd/mailca.timer");

/// Fills a template in; what it names and `values` lacks is an error, never an empty string.
///
/// # Errors
/// When the template names something that `values` lacks.
pub fn render(template: &str, values: Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(
        SyntaxConfig::builder()
            .keep_trailing_newline(true)
            .build()?,
    );
    environment.render_str(template, values)
}
