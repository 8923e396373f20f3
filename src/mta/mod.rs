//! What mail servers need to be told: one small file each, over a template of its own in
//! templates/mta/.

pub mod access;
pub mod dovecot;
pub mod exim;
pub mod lines;
pub mod opensmtpd;
mod peer;
pub mod postfix;
pub mod renewal;
pub mod revocation;
pub mod sendmail;
mod server;
mod version;

pub use self::lines::{Files, Host, Lines, LinesError};
pub use self::peer::Peer;
pub use self::server::{MailServer, Origin};
pub use self::version::{Release, Version};

/// The lines that let a server use the certificate of its host.
///
/// # Errors
/// When its syntax has no form for a path, or it is too old.
pub fn lines(release: Release, host: &Host) -> Result<Lines, LinesError> {
    let Release { server, version } = release;
    if version < server.oldest() {
        return Err(LinesError::TooOld { server, version });
    }
    match server {
        MailServer::Sendmail => sendmail::lines(host, version),
        MailServer::Postfix => postfix::lines(host, version),
        MailServer::Exim => exim::lines(host, version),
        MailServer::Dovecot => dovecot::lines(host, version),
        MailServer::Opensmtpd => opensmtpd::lines(host, version),
    }
}
