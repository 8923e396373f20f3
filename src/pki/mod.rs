//! Certificates and what they are made of: no files, no clock, no terminal.

pub mod asn1_time;
pub mod attribute;
pub mod certificate;
pub mod certificate_list;
pub mod chain;
pub mod crl;
pub mod description;
pub mod extensions;
pub mod general_name;
pub mod hex;
pub mod key;
pub mod moment;
pub mod name;
pub mod name_constraints;
pub mod pem_text;
pub mod policy;
pub mod profile;
pub mod public_key;
pub mod renewal;
pub mod request;
pub mod revocation;
pub mod serial;
pub mod signature;
pub mod signed;
mod stack;
pub mod tbs;
pub mod text;

#[cfg(test)]
pub(crate) mod testing;
