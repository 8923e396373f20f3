use der::asn1::BitStringRef;
use der::{Encode, Reader, SliceReader};

use super::*;
use crate::pki::testing::Openssl;

const CONFIG: &str = "[req]\ndistinguished_name=dn\n[dn]\n";

/// A signature by openssl, taken out of a request.
#[derive(Clone)]
struct Made {
    algorithm: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    key: Vec<u8>,
}

impl Made {
    /// By `key`, a file, with these options of `openssl req`.
    #[track_caller]
    fn by(openssl: &Openssl, key: &str, options: &str) -> Self {
        openssl.write("req.cnf", CONFIG);
        let request = format!("req -new -config req.cnf -key {key} -outform DER {options}");
        let der = openssl.run_with(&request, &["-subj", "/CN=mail.example.org"]);
        let mut reader = SliceReader::new(&der).unwrap();
        let parts = reader.sequence(|parts| {
            let message = parts.tlv_bytes()?.to_vec();
            let algorithm = parts.tlv_bytes()?.to_vec();
            let signature: der::asn1::BitString = parts.decode()?;
            Ok::<_, der::Error>((message, algorithm, signature.raw_bytes().to_vec()))
        });
        let (message, algorithm, signature) = parts.unwrap();
        Self {
            algorithm,
            message,
            signature,
            key: openssl.public_key(key),
        }
    }

    fn verify(&self, strength: Strength) -> Result<(), String> {
        let (algorithm, message) = (&self.algorithm, &self.message);
        verify(algorithm, message, &self.signature, &self.key, strength)
            .map_err(|error| error.to_string())
    }
}

const MISMATCH: &str = "the signature does not match its public key";

fn keys(openssl: &Openssl, keys: &[(&str, &str)]) {
    for (name, algorithm) in keys {
        openssl.run(&format!("genpkey -algorithm {algorithm} -out {name}"));
    }
}

/// Asserts that a signature counts, and that none counts that is altered anywhere.
#[track_caller]
fn assert_counts(made: &Made, what: &str) {
    assert_eq!(made.verify(Strength::Current), Ok(()), "{what}");
    let mismatch = Err(MISMATCH.to_owned());
    let mut other = made.clone();
    other.message[10] ^= 1;
    assert_eq!(other.verify(Strength::Legacy), mismatch, "{what}");
    for at in [0, made.signature.len() / 2, made.signature.len() - 1] {
        let mut other = made.clone();
        other.signature[at] ^= 1;
        assert_eq!(other.verify(Strength::Legacy), mismatch, "{what} {at}");
    }
    for signature in [
        &made.signature[1..],
        &made.signature[..made.signature.len() - 1],
        &[&made.signature, &[0][..]].concat(),
        &[&[0], &made.signature[..]].concat(),
        &[],
    ] {
        let signature = signature.to_vec();
        let other = Made {
            signature,
            ..made.clone()
        };
        assert_eq!(other.verify(Strength::Legacy), mismatch, "{what}");
    }
}

#[test]
fn every_curve_is_verified_with_every_digest() {
    let openssl = Openssl::new();
    for curve in ["P-256", "P-384", "P-521"] {
        let algorithm = format!("EC -pkeyopt ec_paramgen_curve:{curve}");
        keys(&openssl, &[("key", &algorithm)]);
        openssl.run("pkey -in key -ec_conv_form compressed -out compressed");
        for (key, digest) in [
            ("key", "-sha256"),
            ("key", "-sha384"),
            ("key", "-sha512"),
            ("compressed", "-sha256"),
            ("compressed", "-sha512"),
        ] {
            let made = Made::by(&openssl, key, digest);
            assert_counts(&made, &format!("{curve} {key} {digest}"));
        }
    }
    keys(&openssl, &[("key", "ED25519")]);
    assert_counts(&Made::by(&openssl, "key", ""), "Ed25519");
}

// What mailca itself seldom asks for: leading zeros and the like turn up by chance.
#[test]
fn a_hundred_signatures_on_p521_count() {
    let openssl = Openssl::new();
    keys(&openssl, &[("key", "EC -pkeyopt ec_paramgen_curve:P-521")]);
    for number in 0..100 {
        let digest = ["-sha256", "-sha384", "-sha512"][number % 3];
        let made = Made::by(&openssl, "key", digest);
        assert_eq!(made.verify(Strength::Current), Ok(()), "{digest}");
    }
}

const RSA_8192: &str = include_str!("../../../tests/suite/fixtures/rsa8192.key");

#[test]
fn rsa_is_verified_with_every_digest_size_and_exponent() {
    let openssl = Openssl::new();
    openssl.write("8192", RSA_8192);
    let bits = |bits: u32, exponent: &str| {
        format!("RSA -pkeyopt rsa_keygen_bits:{bits} -pkeyopt rsa_keygen_pubexp:{exponent}")
    };
    let long = "0x1000000000000000000000000000000000000000000000000000000000000001f";
    let made = [
        ("2048", bits(2048, "65537")),
        // Of two primes openssl makes 2048.
        (
            "2049",
            bits(2049, "65537") + " -pkeyopt rsa_keygen_primes:3",
        ),
        ("3000", bits(3000, "65537")),
        ("3", bits(2048, "3")),
        ("17", bits(2048, "17")),
        ("33 bits", bits(2048, "0x1ffffffff")),
        ("34 bits", bits(2048, "0x3ffffffff")),
        ("257 bits", bits(2048, long)),
    ];
    let mut names = vec!["8192"];
    for (name, algorithm) in &made {
        openssl.run(&format!("genpkey -algorithm {algorithm} -out key"));
        std::fs::rename(openssl.path("key"), openssl.path(name)).unwrap();
        names.push(name);
    }
    for name in names {
        std::fs::copy(openssl.path(name), openssl.path("key")).unwrap();
        for digest in ["-sha256", "-sha384", "-sha512"] {
            let pss = format!("{digest} -sigopt rsa_padding_mode:pss");
            assert_counts(
                &Made::by(&openssl, "key", digest),
                &format!("{name} {digest}"),
            );
            assert_counts(&Made::by(&openssl, "key", &pss), &format!("{name} {pss}"));
        }
    }
}

#[test]
fn pss_is_verified_with_every_salt() {
    let openssl = Openssl::new();
    keys(
        &openssl,
        &[
            ("plain", "RSA -pkeyopt rsa_keygen_bits:2048"),
            ("pss", "RSA-PSS -pkeyopt rsa_keygen_bits:2048"),
            (
                "bound",
                "RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha256 -pkeyopt rsa_pss_keygen_mgf1_md:sha256 -pkeyopt rsa_pss_keygen_saltlen:20",
            ),
        ],
    );
    for digest in ["-sha256", "-sha384", "-sha512"] {
        for salt in ["0", "1", "20", "digest", "100", "max"] {
            let options =
                format!("{digest} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:{salt}");
            for key in ["plain", "pss"] {
                let made = Made::by(&openssl, key, &options);
                assert_counts(&made, &format!("{key} {options}"));
            }
        }
    }
    for salt in ["20", "digest", "max"] {
        let options = format!("-sha256 -sigopt rsa_pss_saltlen:{salt}");
        assert_counts(&Made::by(&openssl, "bound", &options), &options);
    }
}

/// RSASSA-PSS-params as openssl writes them for a key of these options.
fn pss_parameters(openssl: &Openssl, options: &str) -> Vec<u8> {
    let algorithm = format!("RSA-PSS -pkeyopt rsa_keygen_bits:1024 {options}");
    keys(openssl, &[("parameters", &algorithm)]);
    let key = openssl.public_key("parameters");
    let info = SubjectPublicKeyInfoRef::from_der(&key).unwrap();
    info.algorithm.to_der().unwrap()
}

#[test]
fn the_parameters_of_a_key_bind_its_signatures() {
    let openssl = Openssl::new();
    keys(
        &openssl,
        &[("pss", "RSA-PSS -pkeyopt rsa_keygen_bits:2048")],
    );
    let salted = |salt| {
        let options = format!("-sha256 -sigopt rsa_pss_saltlen:{salt}");
        Made::by(&openssl, "pss", &options)
    };
    let bound = |made: &Made, algorithm: &[u8]| {
        let info = SubjectPublicKeyInfoRef::from_der(&made.key).unwrap();
        let algorithm = AlgorithmIdentifierRef::from_der(algorithm).unwrap();
        let key = SubjectPublicKeyInfoRef { algorithm, ..info };
        let key = key.to_der().unwrap();
        Made {
            key,
            ..made.clone()
        }
        .verify(Strength::Legacy)
    };
    let of = |digest, mask, salt| {
        let options = format!(
            "-pkeyopt rsa_pss_keygen_md:{digest} -pkeyopt rsa_pss_keygen_mgf1_md:{mask} -pkeyopt rsa_pss_keygen_saltlen:{salt}"
        );
        pss_parameters(&openssl, &options)
    };
    let strict = of("sha256", "sha256", 32);
    assert_eq!(bound(&salted("32"), &strict), Ok(()));
    assert_eq!(bound(&salted("33"), &strict), Ok(()));
    assert_eq!(
        bound(&salted("31"), &strict).unwrap_err(),
        "its signature is made with RSA-PSS (SHA-256, salt of 31 octets), but its key is for RSA-PSS (SHA-256, salt of 32 octets) only"
    );
    let other = of("sha384", "sha384", 32);
    assert_eq!(
        bound(&salted("32"), &other).unwrap_err(),
        "its signature is made with RSA-PSS (SHA-256, salt of 32 octets), but its key is for RSA-PSS (SHA-384, salt of 32 octets) only"
    );
    let mask = of("sha256", "sha384", 32);
    assert_eq!(
        bound(&salted("32"), &mask).unwrap_err(),
        "its signature is made with RSA-PSS (SHA-256, salt of 32 octets), but its key is for RSA-PSS (SHA-256, MGF1 with SHA-384, salt of 32 octets) only"
    );
    let pss = &[&[0x06, 9][..], rfc5912::ID_RSASSA_PSS.as_bytes()].concat();
    let sha1 = [&[0x30, 13], &pss[..], &[0x30, 0]].concat();
    assert_eq!(
        bound(&salted("32"), &sha1).unwrap_err(),
        "its signature is made with RSA-PSS (SHA-256, salt of 32 octets), but its key is for RSA-PSS (SHA-1, salt of 20 octets) only"
    );
    let null = [&[0x30, 13], &pss[..], &[0x05, 0]].concat();
    assert_eq!(
        bound(&salted("32"), &null).unwrap_err(),
        "the public key cannot be read"
    );
}

struct Case {
    key: &'static str,
    options: &'static str,
    current: Result<(), &'static str>,
    legacy: Result<(), &'static str>,
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_weak_or_cannot_be_verified_is_refused_by_name() {
    const SHORT: &str = "its RSA key has 1024 bits, but 2048 are the least that is safe";
    const SHORTER: &str = "its RSA key has 1023 bits, but 2048 are the least that is safe";
    const SHA1: &str = "its signature is made with sha1WithRSAEncryption, which is broken";
    const MD5: &str = "its signature is made with md5WithRSAEncryption, which is broken";
    const EC_SHA1: &str = "its signature is made with ecdsa-with-SHA1, which is broken";
    const PSS_SHA1: &str =
        "its signature is made with RSA-PSS (SHA-1, salt of 234 octets), which is broken";
    const MASK_SHA1: &str = "its signature is made with RSA-PSS (SHA-256, MGF1 with SHA-1, salt of 222 octets), which is broken";
    const MASK_SHA1_UNVERIFIED: &str = "its signature is made with RSA-PSS (SHA-256, MGF1 with SHA-1, salt of 222 octets) by a key of type RSA 2048, which mailca cannot verify";
    const MASK: &str = "its signature is made with RSA-PSS (SHA-256, MGF1 with SHA-512, salt of 222 octets) by a key of type RSA 2048, which mailca cannot verify";
    const PSS_SHA224: &str =
        "its signature is made with RSA-PSS (id-sha224), which mailca cannot verify";
    const SHA224: &str =
        "its signature is made with sha224WithRSAEncryption, which mailca cannot verify";
    const SHA3: &str =
        "its signature is made with 2.16.840.1.101.3.4.3.14, which mailca cannot verify";
    const EC_SHA224: &str =
        "its signature is made with ecdsa-with-SHA224, which mailca cannot verify";
    const SECP256K1: &str = "its signature is made with ecdsa-with-SHA256 by a key of type EC secp256k1, which mailca cannot verify";
    const BRAINPOOL: &str = "its signature is made with ecdsa-with-SHA256 by a key of type EC brainpoolP256r1, which mailca cannot verify";
    const EXPLICIT: &str = "its signature is made with ecdsa-with-SHA256 by a key of type EC without a named curve, which mailca cannot verify";
    const P224: &str = "its signature is made with ecdsa-with-SHA256 by a key of type EC secp224r1, which mailca cannot verify";
    const ED448: &str = "its signature is made with id-Ed448, which mailca cannot verify";
    const DSA: &str = "its signature is made with dsa-with-sha256, which mailca cannot verify";
    let case = |key, options, current, legacy| Case {
        key,
        options,
        current,
        legacy,
    };
    let cases = [
        case("rsa", "-sha1", Err(SHA1), Ok(())),
        case("rsa", "-md5", Err(MD5), Err(MD5)),
        case("rsa", "-sha224", Err(SHA224), Err(SHA224)),
        case("rsa", "-sha3-256", Err(SHA3), Err(SHA3)),
        case("p256", "-sha1", Err(EC_SHA1), Ok(())),
        case("p521", "-sha1", Err(EC_SHA1), Ok(())),
        case("p256", "-sha224", Err(EC_SHA224), Err(EC_SHA224)),
        case(
            "rsa",
            "-sha1 -sigopt rsa_padding_mode:pss",
            Err(PSS_SHA1),
            Ok(()),
        ),
        case(
            "rsa",
            "-sha224 -sigopt rsa_padding_mode:pss",
            Err(PSS_SHA224),
            Err(PSS_SHA224),
        ),
        case(
            "rsa",
            "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha1",
            Err(MASK_SHA1),
            Err(MASK_SHA1_UNVERIFIED),
        ),
        case(
            "rsa",
            "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha512",
            Err(MASK),
            Err(MASK),
        ),
        case("rsa1024", "-sha256", Err(SHORT), Ok(())),
        case("rsa1024", "-sha1", Err(SHORT), Ok(())),
        case("rsa1024", "-sha384", Err(SHORT), Ok(())),
        case("rsa1024", "-sha512", Err(SHORT), Ok(())),
        case("rsa1023", "-sha256", Err(SHORTER), Err(SHORTER)),
        case("pss1024", "-sha256", Err(SHORT), Ok(())),
        case("secp256k1", "-sha256", Err(SECP256K1), Err(SECP256K1)),
        case("brainpool", "-sha256", Err(BRAINPOOL), Err(BRAINPOOL)),
        case("p224", "-sha256", Err(P224), Err(P224)),
        case("explicit", "-sha256", Err(EXPLICIT), Err(EXPLICIT)),
        case("ed448", "", Err(ED448), Err(ED448)),
        case("dsa", "-sha256", Err(DSA), Err(DSA)),
    ];
    let openssl = Openssl::new();
    openssl.run("dsaparam -out parameters 1024");
    openssl.run("genpkey -paramfile parameters -out dsa");
    keys(
        &openssl,
        &[
            ("p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
            ("p521", "EC -pkeyopt ec_paramgen_curve:P-521"),
            ("p224", "EC -pkeyopt ec_paramgen_curve:P-224"),
            ("secp256k1", "EC -pkeyopt ec_paramgen_curve:secp256k1"),
            ("brainpool", "EC -pkeyopt ec_paramgen_curve:brainpoolP256r1"),
            (
                "explicit",
                "EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
            ),
            ("ed448", "ED448"),
            ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048"),
            ("rsa1024", "RSA -pkeyopt rsa_keygen_bits:1024"),
            ("rsa1023", "RSA -pkeyopt rsa_keygen_bits:1023"),
            ("pss1024", "RSA-PSS -pkeyopt rsa_keygen_bits:1024"),
        ],
    );
    for Case {
        key,
        options,
        current,
        legacy,
    } in cases
    {
        let mut made = Made::by(&openssl, key, options);
        for (strength, wanted) in [(Strength::Current, current), (Strength::Legacy, legacy)] {
            let wanted = wanted.map_err(str::to_owned);
            assert_eq!(
                made.verify(strength),
                wanted,
                "{key} {options} {strength:?}"
            );
        }
        made.message[10] ^= 1;
        assert!(made.verify(Strength::Legacy).is_err(), "{key} {options}");
    }
}

fn algorithm(oid: &str, parameters: &[u8]) -> Vec<u8> {
    let oid = ObjectIdentifier::new_unwrap(oid).to_der().unwrap();
    let length = u8::try_from(oid.len() + parameters.len()).unwrap();
    [&[0x30, length], &oid[..], parameters].concat()
}

// It stands outside of what is signed: anybody can change it.
#[test]
fn another_algorithm_before_a_signature_makes_it_no_better() {
    let openssl = Openssl::new();
    keys(&openssl, &[("rsa", "RSA -pkeyopt rsa_keygen_bits:2048")]);
    keys(&openssl, &[("p256", "EC -pkeyopt ec_paramgen_curve:P-256")]);
    let with = |made: &Made, oid: &str, parameters: &[u8]| {
        let algorithm = algorithm(oid, parameters);
        Made {
            algorithm,
            ..made.clone()
        }
        .verify(Strength::Current)
        .unwrap_err()
    };
    let sha1 = Made::by(&openssl, "rsa", "-sha1");
    assert_eq!(
        with(&sha1, "1.3.14.3.2.29", &[5, 0]),
        "its signature is made with 1.3.14.3.2.29, which is broken"
    );
    assert_eq!(with(&sha1, "1.2.840.113549.1.1.11", &[5, 0]), MISMATCH);
    let ecdsa = Made::by(&openssl, "p256", "-sha256");
    assert_eq!(with(&ecdsa, "1.2.840.10045.4.3.3", &[]), MISMATCH);
    for (oid, name) in [
        ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
        ("1.3.101.112", "id-Ed25519"),
    ] {
        assert_eq!(
            with(&ecdsa, oid, &[]),
            format!(
                "its signature is made with {name} by a key of type EC P-256, which mailca cannot verify"
            )
        );
    }
    for parameters in [
        &[][..],
        &[5, 0],
        // a trailerField of 2
        &[0x30, 5, 0xA3, 3, 2, 1, 2],
        // something behind the last field
        &[0x30, 2, 5, 0],
    ] {
        assert_eq!(
            with(&sha1, "1.2.840.113549.1.1.10", parameters),
            "its signature is made with RSA-PSS of unreadable parameters, which mailca cannot verify"
        );
    }
    assert_eq!(
        with(&sha1, "1.2.840.113549.1.1.10", &[0x30, 0]),
        "its signature is made with RSA-PSS (SHA-1, salt of 20 octets), which is broken"
    );
    let md5 = rfc5912::ID_MD_5.to_der().unwrap();
    let md5 = [&[0x30, 14, 0xA0, 12, 0x30, 10], &md5[..]].concat();
    assert_eq!(
        with(&sha1, "1.2.840.113549.1.1.10", &md5),
        "its signature is made with RSA-PSS (id-md5), which is broken"
    );
}

#[test]
fn keys_that_are_none_are_refused() {
    let openssl = Openssl::new();
    keys(&openssl, &[("rsa", "RSA -pkeyopt rsa_keygen_bits:2048")]);
    let made = Made::by(&openssl, "rsa", "-sha256");
    let info = SubjectPublicKeyInfoRef::from_der(&made.key).unwrap();
    let modulus = RsaPublicKeyRef::from_der(info.subject_public_key.raw_bytes()).unwrap();
    let modulus = modulus.modulus.as_bytes().to_vec();
    let even = [&modulus[..255], &[0][..]].concat();
    for (modulus, exponent, problem) in [
        (&modulus, &[1][..], "its public exponent is 1"),
        (&modulus, &[2], "its public exponent is even"),
        (&modulus, &[1, 0, 0], "its public exponent is even"),
        (
            &modulus,
            &modulus,
            "its public exponent is no less than its modulus",
        ),
        (&even, &[1, 0, 1], "its modulus is even"),
    ] {
        let key = pkcs1::RsaPublicKeyRef {
            modulus: UintRef::new(modulus).unwrap(),
            public_exponent: UintRef::new(exponent).unwrap(),
        };
        let key = key.to_der().unwrap();
        let key = with_bits(&info, &key);
        let error = Made {
            key,
            ..made.clone()
        }
        .verify(Strength::Legacy)
        .unwrap_err();
        assert_eq!(error, format!("its RSA key is none: {problem}"));
    }
    let key = pkcs1::RsaPublicKeyRef {
        modulus: UintRef::new(&[0xFF; 1025]).unwrap(),
        public_exponent: UintRef::new(&[1, 0, 1]).unwrap(),
    };
    let key = with_bits(&info, &key.to_der().unwrap());
    assert_eq!(
        Made {
            key,
            ..made.clone()
        }
        .verify(Strength::Current)
        .unwrap_err(),
        "its signature is made with sha256WithRSAEncryption by a key of type RSA 8200, which mailca cannot verify"
    );
    for (curve, size) in [("P-256", 32), ("P-384", 48), ("P-521", 66)] {
        let algorithm = format!("EC -pkeyopt ec_paramgen_curve:{curve}");
        keys(&openssl, &[("ec", &algorithm)]);
        let made = Made::by(&openssl, "ec", "-sha256");
        let info = SubjectPublicKeyInfoRef::from_der(&made.key).unwrap();
        let bits = info.subject_public_key.raw_bytes().to_vec();
        let mut off = bits.clone();
        off[2 * size] ^= 1;
        let mut hybrid = bits.clone();
        hybrid[0] = 6 | bits[2 * size] & 1;
        let beyond = [&[4][..], &vec![0xFF; 2 * size]].concat();
        for bits in [off, hybrid, beyond, vec![0], vec![], bits[..=size].to_vec()] {
            let key = with_bits(&info, &bits);
            let error = Made {
                key,
                ..made.clone()
            }
            .verify(Strength::Legacy)
            .unwrap_err();
            let wanted = format!("its EC {curve} key is none: it is not a point of that curve");
            assert_eq!(error, wanted, "{bits:?}");
        }
    }
}

fn with_bits(info: &SubjectPublicKeyInfoRef<'_>, bits: &[u8]) -> Vec<u8> {
    let subject_public_key = BitStringRef::from_bytes(bits).unwrap();
    let key = SubjectPublicKeyInfoRef {
        subject_public_key,
        ..info.clone()
    };
    key.to_der().unwrap()
}
