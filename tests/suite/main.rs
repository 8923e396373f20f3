//! mailca against the programs its files are for: OpenSSL, Sendmail and other
//! mail servers, run privately and without leaving anything behind.

mod book;
mod clock;
mod decade;
mod docs;
mod faithful;
mod full_disk;
mod hostile;
mod init;
mod lint;
mod list;
mod main_job;
mod memory;
mod name_constraints;
mod openssl_ca;
mod openssl_verify;
mod provisioning;
mod readers;
mod refusals;
mod renew;
mod requests;
mod revocation;
mod revoke;
mod secrets;
mod sendmail;
mod several;
mod show;
mod status;
mod streams;
mod support;
mod syscalls;
mod systemd;
mod terminal;
mod unattended;
mod verify;
mod writers;
