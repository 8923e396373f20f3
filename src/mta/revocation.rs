//! What each mail server needs once a certificate is revoked: some read a CRL, others do not.

use std::path::Path;

use minijinja::context;

use crate::templates;

/// The lines for people: `crl` is the CRL in PEM, `fingerprints` are those of the revoked
/// certificates (SHA-256 of the DER, as Postfix has them).
///
/// # Errors
/// When the template is wrong.
pub fn lines(crl: &Path, fingerprints: &[String]) -> Result<String, minijinja::Error> {
    let values = context! { crl => crl.to_string_lossy(), fingerprints => fingerprints.to_vec() };
    templates::render(templates::REVOKED, values)
}
