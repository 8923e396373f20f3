//! mailca against the programs its files are for: OpenSSL, Sendmail and other
//! mail servers, run privately and without leaving anything behind.

mod support;

mod book;
mod clock;
mod init;
mod docs;
mod main_job;
mod openssl_ca;
mod openssl_verify;
mod provisioning;
mod sendmail;
mod unattended;
