//! mailca: a certificate authority for people who run mail servers.

pub mod pki;
pub mod store;
pub mod sys;
