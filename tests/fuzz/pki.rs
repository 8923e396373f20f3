//! Requests, certificates, keys.

use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Sequence, Tag};
use mailca::pki::certificate::Certificate;
use mailca::pki::certificate_list::CertificateList;
use mailca::pki::description::Description;
use mailca::pki::extensions;
use mailca::pki::general_name::GeneralName;
use mailca::pki::key::{EncodedKey, Passphrase};
use mailca::pki::name::Name;
use mailca::pki::policy::Policy;
use mailca::pki::profile::Profile;
use mailca::pki::public_key;
use mailca::pki::request::{Request, RequestError, Strength};
use mailca::pki::revocation::Revocation;
use mailca::pki::serial::SerialNumber;
use mailca::pki::tbs::TbsCertificate;
use mailca::store::index::{self, Row};
use time::Duration;

use super::world::{self, assert_harmless};

/// A request of any kind, whose signature the fuzzer cannot forge.
pub fn request(data: &[u8]) {
    for strength in [Strength::Current, Strength::Legacy] {
        if let Ok(request) = Request::read(data, None, strength) {
            check_request(&request);
        }
    }
    if let Ok((request, _)) = Request::inspect(data) {
        check_request(&request);
        for wish in request.asks_for() {
            assert_harmless(&wish);
        }
    }
    let key = world::ca().key.subject_public_key_info();
    if let Ok(request) = Request::read(data, Some(key), Strength::Current) {
        assert_eq!(request.subject_public_key_info, key);
        check_request(&request);
    }
}

fn check_request(request: &Request) {
    check_name(&request.subject);
    let names = request.names.iter().flatten();
    for name in names.chain(&request.names_from_subject()) {
        check_general_name(name);
    }
}

fn check_name(name: &Name) {
    assert_eq!(Name::from_der(name.as_der()).as_ref(), Ok(name));
    assert_harmless(&name.to_string());
    assert!(!name.to_string().contains('\n'));
    let oneline = name.oneline();
    assert!(
        oneline.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{oneline}"
    );
    assert_eq!(name.hash().expect("a hash").len(), 8);
}

pub fn check_general_name(name: &GeneralName) {
    match name {
        GeneralName::Dns(host) => {
            assert!((1..=253).contains(&host.len()), "{host}");
            let is_known = |c: u8| c.is_ascii_alphanumeric() || b"-._*".contains(&c);
            assert!(host.bytes().all(is_known), "{host}");
            assert!(!host[1..].contains('*'), "{host}");
        }
        GeneralName::Email(mailbox) => {
            assert!(
                mailbox.bytes().all(|byte| byte.is_ascii_graphic()),
                "{mailbox}"
            );
            assert!(mailbox.contains('@'));
        }
        GeneralName::Ip(_) => {}
    }
}

#[derive(Sequence)]
struct Signed<'a> {
    content: AnyRef<'a>,
    algorithm: AnyRef<'a>,
    signature: BitStringRef<'a>,
}

/// A request with a good signature, whatever else is in it; signed by the CA in two ways.
pub fn sign(data: &[u8]) {
    let Some(bytes) = signed_again(data) else {
        return;
    };
    let request = match Request::read(&bytes, None, Strength::Current) {
        Ok(request) => request,
        Err(RequestError::Signature(error)) => panic!("a good signature: {error}"),
        Err(_) => return,
    };
    check_request(&request);
    issue(&request, data.len());
    let ran = world::run(&["sign", "-", "--ca", "CA"], &bytes);
    assert_ne!(ran.exit, mailca::exit::Exit::Done);
}

// The request's content with the public key of our own key, and a signature over it.
fn signed_again(data: &[u8]) -> Option<Vec<u8>> {
    let key = world::key();
    let outer = AnyRef::from_der(data).ok()?;
    let parts = elements(elements(outer.value())?.first()?.value())?;
    let [version, subject, _, rest @ ..] = parts.as_slice() else {
        return None;
    };
    let mut content = [version.to_der().ok()?, subject.to_der().ok()?].concat();
    content.extend(key.subject_public_key_info());
    for part in rest {
        content.extend(part.to_der().ok()?);
    }
    let content = AnyRef::new(Tag::Sequence, &content).ok()?.to_der().ok()?;
    let signature = key.sign(key.digest_for(None), &content).ok()?;
    let algorithm = signature.algorithm.to_der().ok()?;
    let signed = Signed {
        content: AnyRef::from_der(&content).ok()?,
        algorithm: AnyRef::from_der(&algorithm).ok()?,
        signature: BitStringRef::from_bytes(&signature.bytes).ok()?,
    };
    signed.to_der().ok()
}

fn elements(mut bytes: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (element, rest) = AnyRef::from_der_partial(bytes).ok()?;
        found.push(element);
        bytes = rest;
    }
    Some(found)
}

// What the CA makes of a request, whatever that asks.
fn issue(request: &Request, choice: usize) {
    let ca = world::ca();
    let profile = Profile::ALL[choice % 3];
    let subject = match Policy::anything().apply(&request.subject, &ca.certificate.subject) {
        Ok(applied) if choice.is_multiple_of(2) => applied.subject,
        _ => request.subject.clone(),
    };
    let serial: SerialNumber = "0A".parse().expect("a number");
    let spki = &request.subject_public_key_info;
    let Ok(names) = &request.names else {
        return;
    };
    let extensions = extensions::of_end_entity(
        profile,
        spki,
        names,
        subject.is_empty(),
        &ca.certificate,
        None,
    );
    let tbs = TbsCertificate {
        serial: &serial,
        issuer: &ca.certificate.subject,
        not_before: world::now(),
        not_after: world::now() + Duration::DAY,
        subject: &subject,
        subject_public_key_info: spki,
        extensions: extensions.expect("names that can be encoded"),
    };
    let der = tbs
        .sign(&ca.key, ca.key.digest_for(None))
        .expect("a certificate");
    let certificate = Certificate::from_der(&der).expect("a certificate that can be read");
    assert!(!certificate.is_ca && !certificate.may_sign_certificates);
    assert_eq!(certificate.subject, subject);
    assert_eq!(certificate.issuer.as_der(), ca.certificate.subject.as_der());
    assert_eq!(&certificate.subject_public_key_info, spki);
    assert_eq!(certificate.purposes, profile.purposes());
    assert_eq!(&certificate.names, names);
    check_certificate(&certificate);
}

/// A certificate; a name and a public key too, since they stand in one.
pub fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::from_pem_or_der(data) {
        check_certificate(&certificate);
    }
    if let Ok(name) = Name::from_der(data) {
        check_name(&name);
    }
    assert_harmless(&public_key::describe(data));
}

fn check_certificate(certificate: &Certificate) {
    check_name(&certificate.subject);
    check_name(&certificate.issuer);
    let again = Certificate::from_pem_or_der(certificate.to_pem().as_bytes()).expect("PEM");
    assert_eq!(again.as_der(), certificate.as_der());
    if let Some(bounds) = &certificate.bounds {
        let _ = bounds.check_end_entity(&certificate.subject, &certificate.names);
    }
    let _ = (Profile::of(certificate), certificate.title());
    let _ = Description::of(certificate);
    let line = index::line_of(certificate);
    let row = Row::parse(line.trim_end_matches('\n')).expect("a row");
    assert_eq!(row.serial, certificate.serial.to_string());
    assert_eq!(row.subject, index::subject_of(certificate));
    assert_eq!(
        row.is_past(world::now()),
        certificate.not_after < world::now(),
        "{line}"
    );
}

/// A CRL, and the field of the register that says of a revocation what its entries say.
pub fn crl(data: &[u8]) {
    if let Ok(list) = CertificateList::from_pem_or_der(data) {
        check_name(&list.issuer);
        let _ = list.verify_signature(&world::ca().certificate);
        let again = CertificateList::from_der(list.as_der().to_vec()).expect("the same");
        assert_eq!(again.entries().count(), list.entries().count());
        for entry in list.entries().flatten() {
            let found = list.find(&entry.serial_number());
            assert!(found.is_ok_and(|found| found.is_some()));
        }
    }
    let field = String::from_utf8_lossy(data);
    if let Some(revocation) = Revocation::parse(&field) {
        let again = Revocation::parse(&revocation.to_field());
        assert_eq!(again, Some(revocation), "{field}");
    }
}

/// A private key, encrypted with the passphrase `fuzz` or not.
pub fn key(data: &[u8]) {
    let Ok(Some(encoded)) = EncodedKey::find(data) else {
        return;
    };
    let Ok(key) = encoded.unlock(Some(&Passphrase::new("fuzz"))) else {
        return;
    };
    let pem = key.to_pem().expect("PEM");
    let again = EncodedKey::find(pem.as_bytes())
        .expect("a key")
        .expect("a key");
    assert!(!again.is_encrypted());
    let again = again.unlock(None).expect("no passphrase");
    assert_eq!(
        again.subject_public_key_info(),
        key.subject_public_key_info()
    );
    assert_eq!(again.kind(), key.kind());
    let _ = key.sign(key.digest_for(None), b"message");
}
