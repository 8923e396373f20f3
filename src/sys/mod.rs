//! sys

pub mod passphrase;
pub mod prompt;
