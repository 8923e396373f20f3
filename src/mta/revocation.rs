//! What each mail server needs once a certificate is revoked: some read a CRL, others do not.

use minijinja::context;

use super::{Peer, postfix};
use crate::templates;

/// The lines for people; `revoked` are those whose certificates are.
///
/// # Errors
/// When the template is wrong.
pub fn lines(revoked: &[Peer]) -> Result<String, minijinja::Error> {
    let refused = postfix::access::rejected(revoked).replace('\t', " ");
    let refused: Vec<_> = refused.lines().map(str::to_owned).collect();
    templates::render(templates::REVOKED, context! { refused })
}
