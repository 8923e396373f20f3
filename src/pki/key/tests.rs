//! Every claim is checked against the `openssl` command, which must be installed.

use der::Encode;
use pkcs5::pbes2::{EncryptionScheme, Parameters, ScryptParams};
use proptest::prelude::*;

use super::*;
use crate::pki::testing::{Openssl, PASSPHRASE};

fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE)
}

fn find(pem: &[u8]) -> EncodedKey {
    EncodedKey::find(pem).unwrap().expect("a key")
}

#[test]
fn openssl_reads_every_key_type_plain_and_encrypted() {
    let openssl = Openssl::new();
    for key_type in KeyType::ALL {
        let key = PrivateKey::generate(key_type).unwrap();
        openssl.write("plain.pem", key.to_pem().unwrap().as_bytes());
        let encrypted = key.to_encrypted_pem(&passphrase()).unwrap();
        openssl.write("encrypted.pem", encrypted.as_bytes());
        for name in ["plain.pem", "encrypted.pem"] {
            openssl.run(&format!("pkey -in {name} -passin file:pass -check -noout"));
            let public = openssl.public_key(name);
            assert_eq!(public, key.subject_public_key_info(), "{key_type} {name}");
            let again = find(&openssl.read(name)).unlock(Some(&passphrase()));
            assert_eq!(again.unwrap().subject_public_key_info(), public);
        }
    }
}

#[test]
fn an_encrypted_key_is_aes_256_behind_600000_rounds_of_sha256() {
    let openssl = Openssl::new();
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let pem = key.to_encrypted_pem(&passphrase()).unwrap();
    openssl.write("key.pem", pem.as_bytes());
    let shown = String::from_utf8(openssl.run("asn1parse -in key.pem")).unwrap();
    for part in ["PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", "0927C0"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn an_ed25519_key_is_written_as_version_1() {
    let key = PrivateKey::generate(KeyType::Ed25519).unwrap();
    let info: PrivateKeyInfoRef<'_> = key.pkcs8.decode_msg().unwrap();
    assert_eq!(info.version(), pkcs8::Version::V1);
}

#[test]
fn an_ed25519_key_of_version_2_is_read() {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let key = find(pair.serialize_pem().as_bytes()).unlock(None).unwrap();
    assert_eq!(
        key.subject_public_key_info(),
        pair.subject_public_key_info()
    );
}

#[test]
fn keys_of_openssl_are_read_in_every_form() {
    const RSA: &str = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    const P384: &str = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384";
    const TOPK8: &str = "pkcs8 -topk8 -in source -passout file:pass -out key";
    let cases = [
        (RSA, "pkey -in source -out key".to_owned()),
        (RSA, "rsa -in source -traditional -out key".into()),
        (
            RSA,
            "rsa -in source -traditional -des3 -passout file:pass -out key".into(),
        ),
        (
            RSA,
            "rsa -in source -traditional -aes256 -passout file:pass -out key".into(),
        ),
        (
            RSA,
            "rsa -in source -traditional -aes192 -passout file:pass -out key".into(),
        ),
        (
            RSA,
            "rsa -in source -traditional -aes128 -passout file:pass -out key".into(),
        ),
        (
            RSA,
            "pkey -in source -aes256 -passout file:pass -out key".into(),
        ),
        (
            RSA,
            "pkey -in source -des3 -passout file:pass -out key".into(),
        ),
        (RSA, format!("{TOPK8} -v2 aes-128-cbc -v2prf hmacWithSHA1")),
        (
            RSA,
            format!("{TOPK8} -v2 aes-192-cbc -v2prf hmacWithSHA512"),
        ),
        (RSA, format!("{TOPK8} -v2 des3 -v2prf hmacWithSHA1")),
        (RSA, format!("{TOPK8} -scrypt")),
        (P384, "pkey -in source -out key".into()),
        (P384, "ec -in source -out key".into()),
        (P384, format!("{TOPK8} -scrypt")),
        (P384, "ec -in source -no_public -out key".into()),
        (P384, "ec -in source -param_enc explicit -out key".into()),
        (
            P384,
            "ec -in source -param_enc explicit -conv_form compressed -out key".into(),
        ),
        (P384, "pkey -in source -outform DER -out key".into()),
        (P384, "ec -in source -outform DER -out key".into()),
        (
            P384,
            "ec -in source -aes192 -passout file:pass -out key".into(),
        ),
        (
            RSA,
            "rsa -in source -traditional -outform DER -out key".into(),
        ),
        (RSA, format!("{TOPK8} -outform DER")),
        (
            "ecparam -name prime256v1 -genkey",
            "pkey -in source -out key".into(),
        ),
        // The EC PARAMETERS block comes first here.
        (
            "version",
            "ecparam -name prime256v1 -genkey -out key".into(),
        ),
        (
            "genpkey -algorithm ED25519",
            "pkey -in source -out key".into(),
        ),
        (
            "genpkey -algorithm ED25519",
            format!("{TOPK8} -v2 aes-256-cbc"),
        ),
    ];
    for (source, args) in cases {
        let openssl = Openssl::new();
        let made = openssl.run(source);
        openssl.write("source", made);
        openssl.run(&args);
        let encoded = find(&openssl.read("key"));
        assert_eq!(encoded.is_encrypted(), args.contains("pass"), "{args}");
        let key = encoded.unlock(Some(&passphrase())).expect(&args);
        // Whose curve is named.
        let file = if args.starts_with("ec ") {
            "source"
        } else {
            "key"
        };
        assert_eq!(
            key.subject_public_key_info(),
            openssl.public_key(file),
            "{args}"
        );
    }
}

#[test]
fn openssl_verifies_the_signatures_of_every_key_type() {
    let openssl = Openssl::new();
    openssl.write("message", "the message");
    for key_type in KeyType::ALL {
        let key = PrivateKey::generate(key_type).unwrap();
        openssl.write("key.pem", key.to_pem().unwrap().as_bytes());
        openssl.run("pkey -in key.pem -pubout -out public.pem");
        for wanted in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
            let signature = key.sign(wanted, b"the message").unwrap();
            assert_eq!(signature.algorithm, key.signature_algorithm(wanted));
            openssl.write("signature", &signature.bytes);
            if key_type == KeyType::Ed25519 {
                openssl.run("pkeyutl -verify -rawin -pubin -inkey public.pem -in message -sigfile signature");
            } else {
                let digest = key.digest_for(Some(wanted));
                openssl.run(&format!(
                    "dgst -{digest} -verify public.pem -signature signature message"
                ));
            }
        }
    }
}

#[test]
fn signature_algorithms_are_encoded_as_openssl_does() {
    let openssl = Openssl::new();
    let cases = [
        (KeyType::P256, Digest::Sha256),
        (KeyType::P384, Digest::Sha384),
        (KeyType::Ed25519, Digest::Sha512),
        (KeyType::Rsa2048, Digest::Sha256),
        (KeyType::Rsa2048, Digest::Sha384),
        (KeyType::Rsa2048, Digest::Sha512),
    ];
    for (key_type, digest) in cases {
        let key = PrivateKey::generate(key_type).unwrap();
        openssl.write("key.pem", key.to_pem().unwrap().as_bytes());
        let der = openssl.run(&format!(
            "req -new -key key.pem -subj /CN=x -{digest} -outform DER"
        ));
        let algorithm = key.signature_algorithm(digest).to_der().unwrap();
        let found = der
            .windows(algorithm.len())
            .any(|window| window == algorithm);
        assert!(found, "{key_type} {digest}");
    }
}

#[test]
fn only_rsa_has_a_choice_of_digest() {
    let digests = |key_type| {
        let key = PrivateKey::generate(key_type).unwrap();
        [None, Some(Digest::Sha384)].map(|wanted| key.digest_for(wanted))
    };
    assert_eq!(digests(KeyType::P256), [Digest::Sha256; 2]);
    assert_eq!(digests(KeyType::P384), [Digest::Sha384; 2]);
    assert_eq!(digests(KeyType::Ed25519), [Digest::Sha512; 2]);
    assert_eq!(digests(KeyType::Rsa2048), [Digest::Sha256, Digest::Sha384]);
}

#[test]
fn a_wrong_passphrase_is_told_from_a_missing_one() {
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let pem = key.to_encrypted_pem(&passphrase()).unwrap();
    let unlock = |with: Option<&Passphrase>| find(pem.as_bytes()).unlock(with).unwrap_err();
    assert!(matches!(unlock(None), KeyError::PassphraseRequired));
    let wrong = Passphrase::new("wrong");
    assert!(matches!(unlock(Some(&wrong)), KeyError::WrongPassphrase));
}

#[test]
fn a_wrong_passphrase_is_one_even_where_the_padding_looks_right() {
    let openssl = Openssl::new();
    openssl.run("genpkey -algorithm ED25519 -out key");
    openssl.run("pkcs8 -topk8 -in key -passout file:pass -iter 1 -out encrypted");
    let pem = openssl.read("encrypted");
    for wrong in 0..2000 {
        let wrong = Passphrase::new(wrong.to_string());
        let error = find(&pem).unlock(Some(&wrong)).unwrap_err();
        assert!(matches!(error, KeyError::WrongPassphrase), "{error}");
    }
}

#[test]
fn the_key_is_found_among_certificates_and_uneven_lines() {
    let openssl = Openssl::new();
    openssl.run("req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout key -out cert -text");
    let (key, cert) = (openssl.read("key"), openssl.read("cert"));
    let untidy = String::from_utf8(key.clone()).unwrap();
    let untidy = untidy.replace('\n', " \r\n\r\n").into_bytes();
    let latin1 = b"caf\xe9\n".to_vec();
    for key in [key, untidy] {
        let book = [latin1.clone(), cert.clone(), key, cert.clone()].concat();
        let found = find(&book).unlock(None).unwrap();
        assert_eq!(found.subject_public_key_info(), openssl.public_key("key"));
    }
    assert!(EncodedKey::find(&cert).unwrap().is_none());
    assert!(EncodedKey::find(b"").unwrap().is_none());
}

#[test]
fn forms_that_are_not_read_are_named_before_a_passphrase_is_asked_for() {
    let cases = [
        (
            "rsa -in key -camellia128 -traditional -passout file:pass",
            "CAMELLIA-128-CBC (DEK-Info)",
        ),
        (
            "pkcs8 -topk8 -in key -v1 PBE-SHA1-3DES -passout file:pass",
            "3-KeyTripleDES",
        ),
        (
            "pkcs8 -topk8 -in key -v2 camellia-256-cbc -passout file:pass",
            "camellia-256-cbc",
        ),
    ];
    let openssl = Openssl::new();
    openssl.run("genpkey -algorithm RSA -out key");
    for (args, what) in cases {
        let error = EncodedKey::find(&openssl.run(args))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("mailca does not read "), "{error}");
        assert!(error.contains(what), "{error}");
    }
    let ssh = b"-----BEGIN OPENSSH PRIVATE KEY-----\nMAA=\n-----END OPENSSH PRIVATE KEY-----\n";
    let error = EncodedKey::find(ssh).unwrap_err().to_string();
    assert_eq!(error, "mailca does not read OPENSSH PRIVATE KEY blocks");
}

#[test]
fn keys_that_cannot_sign_are_refused_by_kind() {
    const RSA: &str = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits";
    let cases = [
        (format!("{RSA}:1024"), "RSA 1024"),
        (format!("{RSA}:2047"), "RSA 2047"),
        (
            format!("{RSA}:2048 -pkeyopt rsa_keygen_pubexp:3"),
            "RSA 2048 (exponent 3)",
        ),
        ("genpkey -algorithm RSA-PSS".into(), "RSA-PSS"),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521".into(),
            "EC P-521",
        ),
        ("ecparam -name secp521r1 -genkey -noout".into(), "EC P-521"),
        (
            "ecparam -name secp256k1 -genkey -noout".into(),
            "EC secp256k1",
        ),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -pkeyopt ec_param_enc:explicit"
                .into(),
            "EC without a named curve",
        ),
        ("genpkey -algorithm ED448".into(), "Ed448"),
        ("genpkey -algorithm X25519".into(), "id-X25519"),
        ("genpkey -paramfile dsa".into(), "DSA"),
    ];
    let openssl = Openssl::new();
    openssl.run("dsaparam -out dsa 1024");
    for (args, kind) in cases {
        let error = find(&openssl.run(&args)).unlock(None).unwrap_err();
        assert!(
            matches!(error, KeyError::CannotSign { .. }),
            "{args}: {error}"
        );
        let expected = format!("mailca cannot sign with a key of type {kind}");
        assert_eq!(error.to_string(), expected, "{args}");
    }
}

#[test]
fn a_key_whose_halves_do_not_fit_is_refused() {
    let [one, other] = [(); 2].map(|()| PrivateKey::generate(KeyType::P256).unwrap());
    let info: PrivateKeyInfoRef<'_> = one.pkcs8.decode_msg().unwrap();
    let key = EcPrivateKey::from_der(info.private_key.as_bytes()).unwrap();
    let info: PrivateKeyInfoRef<'_> = other.pkcs8.decode_msg().unwrap();
    let foreign = EcPrivateKey::from_der(info.private_key.as_bytes()).unwrap();
    let mixed = EcPrivateKey {
        public_key: foreign.public_key,
        ..key
    };
    let error = PrivateKey::from_sec1(&mixed.to_der().unwrap(), info.algorithm.parameters);
    let error = error.unwrap_err();
    assert!(matches!(error, KeyError::Inconsistent { .. }), "{error}");
}

#[test]
fn damaged_files_are_told_apart() {
    let error = |pem: &str| EncodedKey::find(pem.as_bytes()).unwrap_err().to_string();
    let begin = "-----BEGIN PRIVATE KEY-----\nMAA=\n";
    let end = "-----END PRIVATE KEY-----\n";
    assert_eq!(error(begin), "the key is damaged: it has no END line");
    let error = error(&format!("{begin}!\n{end}"));
    assert_eq!(error, "the key is damaged: it is not DER in base64");
    let error = find(format!("{begin}{end}").as_bytes()).unlock(None);
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "the key is damaged: it is not PKCS#8");
}

/// An EncryptedPrivateKeyInfo around parameters that nobody wrote in good faith.
fn hostile(parameters: &[u8]) -> Result<Form, KeyError> {
    let info = EncryptedPrivateKeyInfo {
        algorithm: AlgorithmIdentifierRef {
            oid: pbes2::PBES2_OID,
            parameters: Some(AnyRef::from_der(parameters).unwrap()),
        },
        ciphertext: OctetStringRef::new(&[0; 16]).unwrap(),
    };
    encrypted(&info.to_der().unwrap())
}

#[test]
fn parameters_that_would_panic_or_never_end_are_refused() {
    let iv = [0; 16];
    let salt = [0; 16];
    let scrypt = |n, r, p| {
        let kdf = ScryptParams {
            salt: pbes2::Salt::new(salt).unwrap(),
            cost_parameter: n,
            block_size: r,
            parallelization: p,
            key_length: None,
        };
        let encryption = EncryptionScheme::Aes256Cbc { iv };
        let parameters = Parameters {
            kdf: kdf.into(),
            encryption,
        };
        hostile(&parameters.to_der().unwrap())
    };
    assert!(scrypt(16384, 8, 1).is_ok());
    for (n, r, p) in [
        (0, 8, 1),
        (16384, 0, 1),
        (1 << 40, 8, 1),
        (u64::MAX, 8, 1),
        (2, 65535, 65535),
    ] {
        let error = scrypt(n, r, p).unwrap_err();
        assert!(matches!(error, KeyError::Unsupported { .. }), "{error}");
    }

    let mut pbkdf2 = Parameters::generate_pbkdf2_sha256_aes256cbc(1, &salt, iv).unwrap();
    if let Kdf::Pbkdf2(kdf) = &mut pbkdf2.kdf {
        kdf.iteration_count = u32::MAX;
    }
    let error = hostile(&pbkdf2.to_der().unwrap()).unwrap_err().to_string();
    assert_eq!(
        error,
        "mailca does not read keys behind 4294967295 rounds of PBKDF2"
    );

    pbkdf2.encryption = EncryptionScheme::DesEde3Cbc { iv: [0; 8] };
    let der = pbkdf2.to_der().unwrap();
    let honest = Pbes2Params::from_der(&der).unwrap();
    let short_iv = Pbes2Params {
        cipher: AlgorithmIdentifierRef {
            parameters: Some(OctetStringRef::new(&[0; 7]).unwrap().into()),
            ..honest.cipher
        },
        ..honest
    };
    let error = hostile(&short_iv.to_der().unwrap()).unwrap_err();
    assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
}

#[test]
fn key_types_are_written_as_they_are_read() {
    for key_type in KeyType::ALL {
        assert_eq!(key_type.to_string().parse::<KeyType>().unwrap(), key_type);
        let json = serde_json::to_string(&key_type).unwrap();
        assert_eq!(json, format!("\"{key_type}\""));
    }
    let error = "rsa1024".parse::<KeyType>().unwrap_err().to_string();
    assert_eq!(error, "rsa1024 is not a key type mailca makes");
    assert_eq!(KeyType::default(), KeyType::P256);
}

#[test]
fn nothing_secret_is_printed() {
    let key = PrivateKey::generate(KeyType::Ed25519).unwrap();
    let secret = format!("{:02X?}", &key.pkcs8.as_bytes()[16..24]);
    let secret = secret.trim_matches(['[', ']']);
    let encoded = find(key.to_pem().unwrap().as_bytes());
    for shown in [format!("{key:02X?}"), format!("{encoded:02X?}")] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(format!("{:?}", passphrase()), "Passphrase");
}

/// Small keys of each form, cheap enough to unlock thousands of times.
fn samples() -> Vec<Vec<u8>> {
    let openssl = Openssl::new();
    openssl.run("ecparam -name prime256v1 -genkey -noout -out ec");
    openssl.run("genpkey -algorithm ED25519 -out ed");
    openssl.run("genrsa -traditional -out rsa 2048");
    let topk8 = "pkcs8 -topk8 -in ed -passout file:pass";
    vec![
        openssl.read("ec"),
        openssl.read("ed"),
        openssl.read("rsa"),
        openssl.run("pkcs8 -topk8 -nocrypt -in rsa"),
        openssl.run(&format!("{topk8} -v2 des3 -iter 1")),
        openssl.run(&format!("{topk8} -v2 aes-256-cbc -iter 1")),
        openssl.run(&format!("{topk8} -scrypt -scrypt_N 2")),
    ]
}

fn read(pem: &[u8]) {
    if let Ok(Some(key)) = EncodedKey::find(pem) {
        let _ = key.unlock(Some(&passphrase()));
    }
}

#[test]
fn mutated_keys_never_panic() {
    let samples = samples();
    let strategy = (
        0..samples.len(),
        any::<prop::sample::Index>(),
        any::<u8>(),
        any::<bool>(),
    );
    proptest!(ProptestConfig::with_cases(4000), |((which, at, byte, in_der) in strategy)| {
        let mut pem = samples[which].clone();
        if in_der {
            let block = find_block(&pem).unwrap().unwrap();
            let mut der = STANDARD.decode(&*block.base64).unwrap();
            let at = at.index(der.len());
            der[at] = byte;
            let label = str::from_utf8(block.label).unwrap();
            pem = pem::encode(&pem::Pem::new(label, der)).into_bytes();
        } else {
            let at = at.index(pem.len());
            pem[at] = byte;
        }
        read(&pem);
    });
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
        for label in ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            read(pem::encode(&pem::Pem::new(label, bytes.clone())).as_bytes());
        }
    }
}
