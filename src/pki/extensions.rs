//! The extensions that mailca gives a certificate, whatever the request asked (RFC 5280
//! section 4.2).

use const_oid::AssociatedOid;
use der::Encode;
use der::asn1::{Ia5String, OctetString};
use ring::digest;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName as Encodable};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, ExtendedKeyUsage, KeyUsage,
    KeyUsages, SubjectAltName, SubjectKeyIdentifier,
};

use super::certificate::Certificate;
use super::general_name::GeneralName;
use super::name_constraints::{Subtree, name_constraints};
use super::profile::Profile;
use super::public_key::PublicKeyKind;

/// The extensions of a certificate that `issuer` gives to a mail host or client.
///
/// # Errors
/// When a name or the CRL URL cannot be encoded.
pub fn of_end_entity(
    profile: Profile,
    subject_public_key_info: &[u8],
    names: &[GeneralName],
    subject_is_empty: bool,
    issuer: &Certificate,
    crl_url: Option<&str>,
) -> der::Result<Vec<Extension>> {
    let mut extensions = vec![
        extension(
            true,
            &BasicConstraints {
                ca: false,
                path_len_constraint: None,
            },
        )?,
        extension(true, &key_usage(profile, subject_public_key_info))?,
        extension(false, &ExtendedKeyUsage(profile.purposes().to_vec()))?,
        subject_key_identifier(subject_public_key_info)?,
        authority_key_identifier(issuer)?,
    ];
    if !names.is_empty() {
        // Critical only where it is all there is of a subject (RFC 5280 section 4.2.1.6).
        extensions.push(subject_alt_name(names, subject_is_empty)?);
    }
    if let Some(url) = crl_url {
        let point = DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![
                Encodable::UniformResourceIdentifier(Ia5String::new(url)?),
            ])),
            reasons: None,
            crl_issuer: None,
        };
        extensions.push(extension(false, &CrlDistributionPoints(vec![point]))?);
    }
    Ok(extensions)
}

/// The AuthorityKeyIdentifier of what `issuer` signs: its SubjectKeyIdentifier, or what that would
/// be where it has none.
pub(super) fn authority_key_identifier(issuer: &Certificate) -> der::Result<Extension> {
    let identifier = match &issuer.subject_key_identifier {
        Some(identifier) => identifier.clone(),
        None => key_identifier(&issuer.subject_public_key_info)?,
    };
    let value = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(identifier)?),
        ..AuthorityKeyIdentifier::default()
    };
    extension(false, &value)
}

/// What a key of this kind may be used for: TLS encrypts to RSA keys only, and to the server's.
pub(super) fn key_usage(profile: Profile, subject_public_key_info: &[u8]) -> KeyUsage {
    let kind = PublicKeyKind::of(subject_public_key_info);
    KeyUsage(match (profile, kind) {
        (Profile::Relay | Profile::Server, Ok(PublicKeyKind::Rsa { .. })) => {
            KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment
        }
        _ => KeyUsages::DigitalSignature.into(),
    })
}

/// The SubjectAltName extension of a request or certificate.
///
/// # Errors
/// When a name cannot be encoded.
pub fn subject_alt_name(names: &[GeneralName], critical: bool) -> der::Result<Extension> {
    let names = names
        .iter()
        .map(GeneralName::to_encodable)
        .collect::<Result<_, _>>()?;
    extension(critical, &SubjectAltName(names))
}

/// The extensions of the CA's own certificate (RFC 5280 section 4.2.1): it signs end-entity
/// certificates and CRLs and nothing else, and names only within `permitted`, if that is not empty.
///
/// # Errors
/// When a permitted subtree cannot be encoded.
pub fn of_ca(subject_public_key_info: &[u8], permitted: &[Subtree]) -> der::Result<Vec<Extension>> {
    let identifier = key_identifier(subject_public_key_info)?;
    let mut extensions = what_makes_a_ca(Some(0), identifier)?;
    if !permitted.is_empty() {
        extensions.push(extension(true, &name_constraints(permitted)?)?);
    }
    Ok(extensions)
}

/// What every CA certificate has: basicConstraints and keyUsage, both critical, and its key's
/// identifier.
pub(super) fn what_makes_a_ca(
    path_length: Option<u8>,
    key_identifier: Vec<u8>,
) -> der::Result<Vec<Extension>> {
    Ok(vec![
        extension(
            true,
            &BasicConstraints {
                ca: true,
                path_len_constraint: path_length,
            },
        )?,
        extension(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
        extension(
            false,
            &SubjectKeyIdentifier(OctetString::new(key_identifier)?),
        )?,
    ])
}

pub(super) fn subject_key_identifier(subject_public_key_info: &[u8]) -> der::Result<Extension> {
    let identifier = key_identifier(subject_public_key_info)?;
    extension(false, &SubjectKeyIdentifier(OctetString::new(identifier)?))
}

/// The key identifier of a public key: SHA-1 of its bits (RFC 5280 section 4.2.1.2, method 1),
/// as OpenSSL's `subjectKeyIdentifier = hash`.
///
/// # Errors
/// When the bytes are not a SubjectPublicKeyInfo.
pub fn key_identifier(subject_public_key_info: &[u8]) -> der::Result<Vec<u8>> {
    let info: x509_cert::spki::SubjectPublicKeyInfoRef<'_> =
        der::Decode::from_der(subject_public_key_info)?;
    let bits = info.subject_public_key.raw_bytes();
    Ok(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bits)
        .as_ref()
        .to_vec())
}

pub(super) fn extension<T: Encode + AssociatedOid>(
    critical: bool,
    value: &T,
) -> der::Result<Extension> {
    Ok(Extension {
        extn_id: T::OID,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}
