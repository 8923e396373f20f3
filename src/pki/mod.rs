//! pki
pub mod key;
