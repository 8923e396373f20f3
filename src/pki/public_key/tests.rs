use proptest::prelude::*;

use super::*;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::testing::Openssl;

#[test]
fn public_keys_are_described_by_kind_and_size() {
    let openssl = Openssl::new();
    openssl.run("dsaparam -out dsa 1024");
    let cases = [
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "RSA 2048"),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:1023", "RSA 1023"),
        (
            "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
            "RSA-PSS 2048",
        ),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-256", "EC P-256"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "EC P-384"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "EC P-521"),
        ("-algorithm ED25519", "Ed25519"),
        ("-algorithm ED448", "Ed448"),
        ("-paramfile dsa", "DSA"),
    ];
    for (args, words) in cases {
        openssl.run(&format!("genpkey {args} -out key"));
        assert_eq!(describe(&openssl.public_key("key")), words);
    }
    assert_eq!(describe(b"junk"), "unreadable key");
}

#[test]
fn long_exponents_are_not_cut_short() {
    let openssl = Openssl::new();
    let exponent = |e: &str| {
        openssl.run(&format!(
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_pubexp:{e} -out key"
        ));
        PublicKeyKind::of(&openssl.public_key("key")).unwrap()
    };
    let rsa = |exponent| PublicKeyKind::Rsa {
        bits: 2048,
        exponent,
    };
    assert_eq!(exponent("65537"), rsa(65537));
    assert_eq!(exponent("4294967297"), rsa(4_294_967_297));
    assert_eq!(exponent("0x10000000000000001"), rsa(u64::MAX));
}

#[test]
fn the_fingerprint_is_that_of_openssl() {
    let openssl = Openssl::new();
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    openssl.write("public.der", key.subject_public_key_info());
    let printed = String::from_utf8(openssl.run("sha256 -c public.der")).unwrap();
    let (_, hex) = printed.trim().split_once("= ").unwrap();
    assert_eq!(
        fingerprint(key.subject_public_key_info()),
        hex.to_uppercase()
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = describe(&bytes);
    }
}
