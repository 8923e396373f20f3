//! What signing many requests costs at the least: the arithmetic and the files, and no CA.

use std::fs::{self, File};
use std::thread;

use anyhow::{Result, anyhow};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};

/// The first argument of a process of this program that does this.
pub const BARE: &str = "bare";

const THREADS: usize = 2;
// About as large as the signed part of a request, and as a certificate in PEM.
const MESSAGE: [u8; 250] = [b'm'; 250];
const FILE: [u8; 700] = [b'f'; 700];

/// Verifies and signs `count` times with P-256 on two threads, makes as many files in newcerts,
/// and waits for the disk once.
pub fn run(count: usize) -> Result<()> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| verify_and_sign(count / THREADS)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    for number in 0..count {
        fs::write(format!("newcerts/{number:08X}.pem"), FILE)?;
    }
    Ok(rustix::fs::syncfs(File::open(".")?)?)
}

fn verify_and_sign(count: usize) -> Result<()> {
    let failed = |_| anyhow!("ring failed");
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
        .map_err(|error| anyhow!("{error}"))?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key());
    for _ in 0..count {
        let signature = key.sign(&random, &MESSAGE).map_err(failed)?;
        public
            .verify(&MESSAGE, signature.as_ref())
            .map_err(failed)?;
    }
    Ok(())
}
