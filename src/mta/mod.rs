//! What mail servers need to be told: one small file each, over a template of its own in
//! templates/mta/.

pub mod access;
pub mod renewal;
pub mod revocation;
pub mod sendmail;
mod server;

use std::path::PathBuf;

pub use self::server::MailServer;

/// The files of one mail host, where its server finds them.
#[derive(Clone, Debug)]
pub struct Files {
    /// the directory with the hash links of trusted CAs
    pub ca_path: PathBuf,
    /// the CA's certificate
    pub ca: PathBuf,
    /// the host's certificate
    pub certificate: PathBuf,
    /// the host's private key
    pub key: PathBuf,
    /// the directory with the CRL under its hash
    pub crl_path: PathBuf,
}
