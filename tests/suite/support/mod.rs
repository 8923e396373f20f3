//! What the tests stand on: identities, private directories, programs that
//! are run with a time limit, and a private Sendmail.

mod ca;
mod clock;
pub mod damage;
mod dir;
mod exim;
pub mod invariants;
pub mod layouts;
mod node_exporter;
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
pub use exim::{DebianExim, Exim};
pub use node_exporter::NodeExporter;
pub use run::{Ran, find, openssl, require, require_folder, run, run_with, tell};
pub use sendmail::{BASE_MC, OTHER_PORT, Sendmail, mc_with};
pub use smtp::{Smtp, s_client_starttls};
pub use tree::Tree;
pub use user::{User, mailca, users};

use std::time::Duration;

/// How long anything may take before a test gives up: far more than it needs,
/// since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
