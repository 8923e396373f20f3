//! Readers of bytes from outside, fed by libFuzzer: one target each, named by MAILCA_FUZZ. Beside
//! panics they look for what must hold of everything that is read. See run.

#![no_main]

mod pki;
mod store;
mod words;
mod world;

use std::process;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 16] = [
    ("certificate", pki::certificate),
    ("conf", store::conf),
    ("crl", pki::crl),
    ("hosts", words::hosts),
    ("index", store::index),
    ("journal", store::journal),
    ("key", pki::key),
    ("mc", words::mc),
    ("names", words::names),
    ("passphrase", words::passphrase),
    ("repair", store::repair),
    ("request", pki::request),
    ("sendmail", words::sendmail),
    ("serial", words::serial),
    ("sign", pki::sign),
    ("usage", words::usage),
];

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        let named = std::env::var("MAILCA_FUZZ").unwrap_or_default();
        if let Some((_, target)) = TARGETS.iter().find(|(name, _)| *name == named) {
            let _ = TARGET.set(*target);
        } else {
            for (name, _) in TARGETS {
                println!("{name}");
            }
            process::exit(0);
        }
    },
    |data: &[u8]| {
        TARGET.get().expect("set at the beginning")(data);
    }
);
