//! hosts/HOST/chain.pem: the host's certificate and that of its CA.

use std::path::PathBuf;

use crate::pki::certificate::Certificate;
use crate::store::Store;
use crate::store::hosts::{CERT, CHAIN};
use crate::sys::files;

/// A chain.pem that does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongChain {
    /// the file
    pub path: PathBuf,
    /// the host's certificate
    pub certificate: PathBuf,
    /// what it should hold
    pub text: String,
}

impl Store {
    pub(super) fn wrong_chains(&self) -> Vec<WrongChain> {
        let former = self.former();
        let mut found = Vec::new();
        for host in self.hosts.list().unwrap_or_default() {
            let folder = self.hosts.current(&host);
            // What cannot be read, or is of another CA, is told elsewhere.
            let Ok(Some(certificate)) = self.hosts.certificate(&host) else {
                continue;
            };
            let by_former = self.issuer_among(&former, &certificate);
            let issuer = by_former.map_or(&self.certificate, |(_, issuer)| issuer);
            if !certificate.is_issued_by(issuer) {
                continue;
            }
            let path = folder.join(CHAIN);
            let chain = files::read(&path).ok();
            let chain = chain.and_then(|bytes| Certificate::all_from_pem_or_der(&bytes).ok());
            if !chain.is_some_and(|chain| is_whole(&chain, &certificate)) {
                found.push(WrongChain {
                    path,
                    certificate: folder.join(CERT),
                    text: certificate.to_pem() + &issuer.to_pem(),
                });
            }
        }
        found
    }
}

fn is_whole(chain: &[Certificate], certificate: &Certificate) -> bool {
    let [first, above @ ..] = chain else {
        return false;
    };
    let is_issuer =
        |one: &Certificate| certificate.is_issued_by(one) && certificate.is_signed_by(one);
    first.as_der() == certificate.as_der() && above.iter().any(is_issuer)
}
