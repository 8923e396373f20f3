//! What the tests stand on: identities, private directories, programs that
//! are run with a time limit, and a private Sendmail.

mod ca;
mod clock;
pub mod damage;
mod dir;
mod dovecot;
mod exim;
pub mod invariants;
pub mod layouts;
mod node_exporter;
mod opensmtpd;
mod postfix;
mod release;
mod run;
mod sendmail;
mod smtp;
pub mod strace;
mod tests;
mod tree;
mod user;

pub use ca::Ca;
pub use clock::Clock;
pub use dir::TestDir;
pub use dovecot::{Dovecot, DovecotVersion};
pub use exim::{DebianExim, Exim};
pub use node_exporter::NodeExporter;
pub use opensmtpd::Opensmtpd;
pub use postfix::Postfix;
pub use release::free_ports;
pub use run::{Ran, find, openssl, require, require_folder, run, run_with, tell};
pub use sendmail::{BASE_MC, OTHER_PORT, Sendmail, mc_with};
pub use smtp::{Smtp, s_client_starttls, s_client_tls};
pub use tree::Tree;
pub use user::{User, mailca, users};

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: far more than it needs,
/// since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until it is so.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not even now: {what}");
        sleep(Duration::from_millis(20));
    }
}
