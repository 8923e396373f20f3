//! What mail servers need once a certificate was renewed.

use std::path::PathBuf;

use minijinja::context;

use super::MailServer;
use crate::templates;

/// The lines for people that say what follows: how a server reads its host's files again, where
/// `is_here`, and for each host elsewhere which certificate goes there.
///
/// # Errors
/// When the template is wrong.
pub fn next(is_here: bool, copies: &[(String, PathBuf)]) -> Result<String, minijinja::Error> {
    let copies: Vec<_> = copies
        .iter()
        .map(|(host, path)| context! { host, path => path.to_string_lossy() })
        .collect();
    let servers = MailServer::ALL.map(|server| {
        let reload = server.reload().unwrap_or("nothing: it notices by itself");
        format!("{:<12}{reload}", server.title())
    });
    templates::render(templates::RENEWED, context! { is_here, servers, copies })
}

/// The lines for people that say what a new key changes: `keys` and `tlsa` are those of the old
/// key and of the new one.
///
/// # Errors
/// When the template is wrong.
pub fn new_key(host: &str, keys: [&str; 2], tlsa: [&str; 2]) -> Result<String, minijinja::Error> {
    templates::render(
        templates::NEW_KEY,
        context! { host, keys => keys.map(str::to_owned), tlsa => tlsa.map(str::to_owned) },
    )
}
