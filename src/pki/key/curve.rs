//! EC keys that do not say all: the curve spelt out instead of named, or the public point left out.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::Sequence;
use der::asn1::{AnyRef, BitStringRef, OctetStringRef, UintRef};
use p256::elliptic_curve::sec1::ToSec1Point;

use crate::pki::hex;
use crate::pki::public_key::Curve;

/// ECPrivateKey (RFC 5915 section 3).
#[derive(Sequence)]
pub(super) struct EcPrivateKey<'a> {
    pub version: u8,
    pub private_key: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub parameters: Option<AnyRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub public_key: Option<BitStringRef<'a>>,
}

/// ECParameters (SEC 1 section C.2), in whose place RFC 5480 permits no more than a name.
#[derive(Sequence)]
struct EcParameters<'a> {
    version: u8,
    field: AnyRef<'a>,
    curve: Coefficients<'a>,
    base: &'a OctetStringRef,
    order: UintRef<'a>,
    cofactor: Option<UintRef<'a>>,
}

#[derive(Sequence)]
struct Coefficients<'a> {
    a: &'a OctetStringRef,
    b: &'a OctetStringRef,
    seed: Option<BitStringRef<'a>>,
}

/// The name of a curve, its coefficient b, and the order of its base point (SEC 2 sections 2.4.2
/// and 2.5.1).
const KNOWN: [(ObjectIdentifier, &str, &str); 2] = [
    (
        rfc5912::SECP_256_R_1,
        "5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B",
        "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551",
    ),
    (
        rfc5912::SECP_384_R_1,
        "B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875A\
         C656398D8A2ED19D2A85C8EDD3EC2AEF",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF\
         581A0DB248B0A77AECEC196ACCC52973",
    ),
];

/// The name of a curve that a key spells out, where it is one that mailca signs with.
pub(super) fn name_of(parameters: AnyRef<'_>) -> Option<ObjectIdentifier> {
    let spelt: EcParameters<'_> = parameters.decode_as().ok()?;
    let b = hex::upper(spelt.curve.b.as_bytes());
    let order = hex::upper(spelt.order.as_bytes());
    let known = KNOWN.into_iter();
    let mut named = known.filter(|(_, own_b, own_order)| *own_b == b && *own_order == order);
    named.next().map(|(name, ..)| name)
}

/// The public point of a private key, uncompressed; `None` where that has none, or another one
/// than is `given`, compressed.
pub(super) fn public_point(
    curve: Curve,
    key: &EcPrivateKey<'_>,
    given: Option<&[u8]>,
) -> Option<Vec<u8>> {
    let number = key.private_key.as_bytes();
    let points = match curve {
        Curve::P256 => {
            let public = p256::SecretKey::from_slice(number).ok()?.public_key();
            [true, false].map(|short| public.to_sec1_point(short).as_bytes().to_vec())
        }
        Curve::P384 => {
            let public = p384::SecretKey::from_slice(number).ok()?.public_key();
            [true, false].map(|short| public.to_sec1_point(short).as_bytes().to_vec())
        }
        _ => return None,
    };
    let [compressed, point] = points;
    given
        .is_none_or(|given| given == compressed)
        .then_some(point)
}
