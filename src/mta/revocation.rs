//! What each mail server needs once a certificate is revoked: some read a CRL, others do not.

use std::path::Path;

use minijinja::context;

use super::{Peer, postfix};
use crate::templates;

/// The lines for people: `crl` is the CRL in PEM, `revoked` are those whose certificates are.
///
/// # Errors
/// When the template is wrong.
pub fn lines(crl: &Path, revoked: &[Peer]) -> Result<String, minijinja::Error> {
    let refused = postfix::access::rejected(revoked).replace('\t', " ");
    let refused: Vec<_> = refused.lines().map(str::to_owned).collect();
    let values = context! { crl => crl.to_string_lossy(), refused };
    templates::render(templates::REVOKED, values)
}
