//! The signature algorithms that webpki is given: its own, and ECDSA on P-521, which ring lacks.

use std::sync::LazyLock;

use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use webpki::ALL_VERIFICATION_ALGS;

use crate::pki::signature::{self, Hash};

pub(super) static ALL: LazyLock<Vec<&'static dyn SignatureVerificationAlgorithm>> =
    LazyLock::new(|| {
        let p521 = P521.iter().map(|one| one as _);
        ALL_VERIFICATION_ALGS.iter().copied().chain(p521).collect()
    });

static P521: [EcdsaP521; 3] = [
    EcdsaP521(Hash::Sha256, alg_id::ECDSA_SHA256),
    EcdsaP521(Hash::Sha384, alg_id::ECDSA_SHA384),
    EcdsaP521(Hash::Sha512, alg_id::ECDSA_SHA512),
];

#[derive(Debug)]
struct EcdsaP521(Hash, AlgorithmIdentifier);

impl SignatureVerificationAlgorithm for EcdsaP521 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let is_right = signature::is_by_p521(self.0, public_key, message, signature);
        is_right.then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.1
    }
}
