//! DER by hand (X.690), since the libraries write only what is as it should be.

use der::{Encode, Length, Reader, SliceReader};

/// One element: tag, length, content.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = Length::try_from(content.len()).expect("a short content");
    [&[tag], &*length.to_der().expect("DER"), content].concat()
}

pub fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &elements.concat())
}

pub fn set(elements: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x31, &elements.concat())
}

/// An OBJECT IDENTIFIER, by its arcs.
pub fn oid(dotted: &str) -> Vec<u8> {
    let arcs = dotted.split('.').map(|arc| arc.parse().expect("an arc"));
    let arcs: Vec<u128> = arcs.collect();
    let mut content = Vec::new();
    let first = arcs[0] * 40 + arcs[1];
    for arc in [first].iter().chain(&arcs[2..]) {
        let mut digits = vec![(arc & 0x7F) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            digits.push((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        content.extend(digits.iter().rev());
    }
    tlv(6, &content)
}

pub const BIT_STRING: u8 = 3;
pub const UTF8: u8 = 12;
pub const PRINTABLE: u8 = 19;
pub const T61: u8 = 20;
pub const UNIVERSAL: u8 = 28;
pub const BMP: u8 = 30;

/// An AttributeTypeAndValue.
pub fn attribute(dotted: &str, string_type: u8, value: &[u8]) -> Vec<u8> {
    sequence(&[oid(dotted), tlv(string_type, value)])
}

pub fn universal(text: &str) -> Vec<u8> {
    let units = text.chars().map(u32::from);
    units.flat_map(u32::to_be_bytes).collect()
}

pub fn bmp(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// A Name of one attribute an RDN.
pub fn name(attributes: &[Vec<u8>]) -> Vec<u8> {
    let rdns: Vec<_> = attributes.iter().map(|one| tlv(0x31, one)).collect();
    sequence(&rdns)
}

pub fn extension(dotted: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { &[1, 1, 0xFF][..] } else { &[] };
    sequence(&[oid(dotted), critical.into(), tlv(4, value)])
}

/// SubjectAltName of names as `DNS:`, `email:` and `IP:` write them.
pub fn subject_alt_name(names: &[&str], critical: bool) -> Vec<u8> {
    let name = |name: &&str| {
        let (kind, name) = name.split_once(':').expect("a kind");
        match kind {
            "DNS" => tlv(0x82, name.as_bytes()),
            "email" => tlv(0x81, name.as_bytes()),
            _ => match name.parse().expect("an address") {
                std::net::IpAddr::V4(address) => tlv(0x87, &address.octets()),
                std::net::IpAddr::V6(address) => tlv(0x87, &address.octets()),
            },
        }
    };
    let names: Vec<_> = names.iter().map(name).collect();
    extension("2.5.29.17", critical, &sequence(&names))
}

pub const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";
pub const MICROSOFT_EXTENSION_REQUEST: &str = "1.3.6.1.4.1.311.2.1.14";

/// An attribute of a request that asks for extensions.
pub fn extension_request(dotted: &str, extensions: &[Vec<u8>]) -> Vec<u8> {
    sequence(&[oid(dotted), set(&[sequence(extensions)])])
}

/// The elements in an element, as they are.
#[track_caller]
pub fn elements(der: &[u8]) -> Vec<Vec<u8>> {
    let mut content = SliceReader::new(content(der)).expect("DER");
    let mut found = Vec::new();
    while !content.is_finished() {
        found.push(content.tlv_bytes().expect("DER").to_vec());
    }
    found
}

/// What stands behind the tag and the length.
#[track_caller]
pub fn content(der: &[u8]) -> &[u8] {
    let mut reader = SliceReader::new(der).expect("DER");
    let header: der::Header = reader.decode().expect("DER");
    reader.read_slice(header.length()).expect("DER")
}

/// SHA-1 of the bits of a SubjectPublicKeyInfo, as an OCTET STRING without its tag.
#[track_caller]
pub fn key_identifier(public_key: &[u8]) -> Vec<u8> {
    let bits = elements(public_key).remove(1);
    let sha1 = &ring::digest::SHA1_FOR_LEGACY_USE_ONLY;
    let identifier = ring::digest::digest(sha1, &content(&bits)[1..]);
    identifier.as_ref().to_vec()
}
