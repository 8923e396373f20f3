//! mailca against the programs its files are for: OpenSSL, Sendmail and other
//! mail servers, run privately and without leaving anything behind.

mod support;

mod book;
mod clock;
mod docs;
mod init;
mod main_job;
mod openssl_ca;
mod openssl_verify;
mod provisioning;
mod requests;
mod sendmail;
mod streams;
mod terminal;
mod unattended;
