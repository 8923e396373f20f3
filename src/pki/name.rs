//! Distinguished names (RFC 5280 section 4.1.2.4): kept as the bytes they came in.

use std::fmt;

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, Ia5StringRef, PrintableStringRef, Utf8StringRef};
use der::{Decode, Encode, ErrorKind, Length, Reader, Sequence, SliceReader, Tag, Tagged, Writer};
use ring::digest;
use thiserror::Error;

use super::attribute::{self, COMMON_NAME, EMAIL_ADDRESS, StringType};
use super::hex;
use super::text;

#[cfg(test)]
mod tests;

/// What can be wrong with a distinguished name.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// The text does not have the form `/C=US/O=Example/CN=Example Mail CA`.
    #[error("the subject {text:?} does not have the form /C=US/O=Example/CN=name: {problem}")]
    Syntax {
        /// the whole subject as given
        text: String,
        /// what is wrong with it
        problem: String,
    },
    /// OpenSSL has no attribute of this name.
    #[error(
        "{0:?} is not an attribute of a subject that OpenSSL knows, such as C, ST, L, O, OU, CN"
    )]
    UnknownAttribute(String),
    /// A value is too short or too long.
    #[error("{attribute}={} has {length} characters, but {attribute} takes {bounds}", text::one_line(.value))]
    Length {
        /// the attribute's short name
        attribute: String,
        /// the value given
        value: String,
        /// its length in characters
        length: usize,
        /// the permitted lengths, in words
        bounds: String,
    },
    /// A value has characters its ASN.1 string type cannot hold.
    #[error("{attribute}={} has characters that {attribute} cannot hold", text::one_line(.value))]
    Characters {
        /// the attribute's short name
        attribute: String,
        /// the value given
        value: String,
    },
    /// The bytes are not a DER Name.
    #[error("the name is not DER ({0})")]
    Der(String),
}

impl From<der::Error> for NameError {
    fn from(error: der::Error) -> Self {
        Self::Der(error.to_string())
    }
}

/// One AttributeTypeAndValue, with its string type and bytes as they came.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Attribute {
    /// AttributeType
    pub oid: ObjectIdentifier,
    /// AttributeValue
    pub value: AttributeValue,
}

/// An AttributeValue of whatever type: the der crate itself does not know UniversalString.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeValue {
    tag: u8,
    content: Vec<u8>,
}

// Tags of X.680 section 8.4.
const BIT_STRING: u8 = 3;
const UTF8_STRING: u8 = 12;
const NUMERIC_STRING: u8 = 18;
const PRINTABLE_STRING: u8 = 19;
const TELETEX_STRING: u8 = 20;
const IA5_STRING: u8 = 22;
const VISIBLE_STRING: u8 = 26;
const UNIVERSAL_STRING: u8 = 28;
const BMP_STRING: u8 = 30;

impl<'a> Decode<'a> for AttributeValue {
    type Error = der::Error;

    fn decode<R: Reader<'a>>(reader: &mut R) -> der::Result<Self> {
        let tag = reader.read_byte()?;
        if tag & 0x1F == 0x1F {
            return Err(reader.error(ErrorKind::TagNumberInvalid));
        }
        let length = Length::decode(reader)?;
        let content = reader.read_vec(length)?;
        Ok(Self { tag, content })
    }
}

impl Encode for AttributeValue {
    fn encoded_len(&self) -> der::Result<Length> {
        let length = Length::try_from(self.content.len())?;
        Length::ONE + length.encoded_len()? + length
    }

    fn encode(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write_byte(self.tag)?;
        Length::try_from(self.content.len())?.encode(writer)?;
        writer.write(&self.content)
    }
}

impl AttributeValue {
    /// Whether it is an IA5String, as e-mail addresses are (RFC 2985 section 5.2.1).
    #[must_use]
    pub fn is_ia5(&self) -> bool {
        self.tag == IA5_STRING
    }
}

impl Attribute {
    /// Encodes `text` as a value of `oid`, in the string type that fits it.
    ///
    /// # Errors
    /// When the value is too short, too long, or has characters the type cannot hold.
    pub fn new(oid: ObjectIdentifier, text: &str) -> Result<Self, NameError> {
        let (string_type, least, most) = attribute::syntax(oid);
        let length = text.chars().count();
        if length < least || length > most {
            return Err(NameError::Length {
                attribute: label(oid),
                value: text.into(),
                length,
                bounds: if least == most {
                    format!("exactly {most}")
                } else {
                    format!("{least} to {most}")
                },
            });
        }
        let tag = match string_type {
            StringType::Printable => PrintableStringRef::new(text).map(|_| PRINTABLE_STRING),
            StringType::Ia5 => Ia5StringRef::new(text).map(|_| IA5_STRING),
            StringType::Utf8 => Utf8StringRef::new(text).map(|_| UTF8_STRING),
        };
        match tag {
            Ok(tag) if !text.contains('\0') => Ok(Self {
                oid,
                value: AttributeValue {
                    tag,
                    content: text.into(),
                },
            }),
            _ => Err(NameError::Characters {
                attribute: label(oid),
                value: text.into(),
            }),
        }
    }

    /// The attribute's short name as OpenSSL has it, or its dotted number.
    #[must_use]
    pub fn label(&self) -> String {
        label(self.oid)
    }

    /// The value's characters whatever its string type; `None` for what is no string.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let bytes = &self.value.content;
        match self.value.tag {
            UTF8_STRING => String::from_utf8(bytes.clone()).ok(),
            // OpenSSL reads T61String as Latin-1, and what else is not ASCII likewise.
            PRINTABLE_STRING | IA5_STRING | TELETEX_STRING | VISIBLE_STRING | NUMERIC_STRING => {
                Some(bytes.iter().copied().map(char::from).collect())
            }
            BMP_STRING => {
                let (units, []) = bytes.as_chunks() else {
                    return None;
                };
                let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
                char::decode_utf16(units).collect::<Result<_, _>>().ok()
            }
            UNIVERSAL_STRING => {
                let (units, []) = bytes.as_chunks() else {
                    return None;
                };
                let units = units.iter().map(|unit| u32::from_be_bytes(*unit));
                units.map(char::from_u32).collect()
            }
            _ => None,
        }
    }

    // The value as `X509_NAME_oneline` writes it.
    fn write_oneline(&self, out: &mut String) {
        out.push_str(&self.label());
        out.push('=');
        // The octet that counts the unused bits is no part of what OpenSSL keeps.
        let counts = usize::from(self.value.tag == BIT_STRING);
        for &byte in self.value.content.iter().skip(counts) {
            match byte {
                b'/' | b'+' => {
                    out.push('\\');
                    out.push(byte.into());
                }
                b' '..=b'~' => out.push(byte.into()),
                _ => {
                    out.push_str("\\x");
                    out.push_str(&hex::upper(&[byte]));
                }
            }
        }
    }

    // The value as OpenSSL compares names: UTF-8, trimmed, white space folded, in lower case.
    fn canonical(&self) -> Self {
        let folds = self.value.tag != NUMERIC_STRING;
        let Some(text) = self.text().filter(|_| folds) else {
            return self.clone();
        };
        let is_space = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
        let folded = text
            .split(is_space)
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
            .to_ascii_lowercase();
        Self {
            oid: self.oid,
            value: AttributeValue {
                tag: UTF8_STRING,
                content: folded.into_bytes(),
            },
        }
    }
}

/// For people: `CN=Example Mail CA`, control characters escaped.
impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.text().map_or_else(
            || "(not text)".into(),
            // A comma would begin the next attribute (RFC 4514 section 2.4).
            |text| text::one_line(&text).replace(',', "\\,"),
        );
        write!(f, "{}={value}", self.label())
    }
}

fn label(oid: ObjectIdentifier) -> String {
    attribute::short_name(oid).map_or_else(|| oid.to_string(), str::to_owned)
}

/// A distinguished name: its DER as it came, and the attributes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    der: Vec<u8>,
    rdns: Vec<Vec<Attribute>>,
}

impl Name {
    /// Reads a DER Name and keeps its bytes.
    ///
    /// # Errors
    /// When the bytes are not a SEQUENCE OF SET OF AttributeTypeAndValue.
    pub fn from_der(bytes: &[u8]) -> Result<Self, NameError> {
        let rdns = elements(AnyRef::from_der(bytes)?, Tag::Sequence)?
            .into_iter()
            .map(|rdn| {
                elements(rdn, Tag::Set)?
                    .into_iter()
                    .map(|entry| Ok(Attribute::from_der(&entry.to_der()?)?))
                    .collect()
            })
            .collect::<Result<_, NameError>>()?;
        Ok(Self {
            der: bytes.to_vec(),
            rdns,
        })
    }

    /// Makes a name of one attribute per relative distinguished name.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn from_attributes(attributes: Vec<Attribute>) -> Result<Self, NameError> {
        let rdns: Vec<_> = attributes.into_iter().map(|one| vec![one]).collect();
        Self::from_rdns(&rdns)
    }

    fn from_rdns(rdns: &[Vec<Attribute>]) -> Result<Self, NameError> {
        let mut content = Vec::new();
        for rdn in rdns {
            content.extend(set_of(rdn)?);
        }
        // Read again, since a multi-valued RDN has the order of its encoding from now on.
        Self::from_der(&AnyRef::new(Tag::Sequence, &content)?.to_der()?)
    }

    /// A name that is only `CN=host`.
    ///
    /// # Errors
    /// When `host` is empty or over 64 characters, the limit of a commonName.
    pub fn common_name_only(host: &str) -> Result<Self, NameError> {
        Self::from_attributes(vec![Attribute::new(COMMON_NAME, host)?])
    }

    /// Reads the form of `openssl req -subj`: `/C=US/O=Example/CN=Example Mail CA`, with `+`
    /// between the parts of a multi-valued RDN and `\` before a `/`, `+` or `\` that is meant.
    ///
    /// # Errors
    /// When the text has another form, an unknown attribute, or a value that does not fit it.
    pub fn from_oneline(text: &str) -> Result<Self, NameError> {
        let syntax = |problem: &str| NameError::Syntax {
            text: text.into(),
            problem: problem.into(),
        };
        let body = text
            .strip_prefix('/')
            .ok_or_else(|| syntax("it does not begin with /"))?;
        let mut rdns = vec![Vec::new()];
        let mut part = String::new();
        let mut characters = body.chars();
        loop {
            let next = characters.next();
            match next {
                Some('\\') => part.push(
                    characters
                        .next()
                        .ok_or_else(|| syntax("it ends in a single \\"))?,
                ),
                Some('/' | '+') | None => {
                    let (name, value) = part
                        .split_once('=')
                        .ok_or_else(|| syntax(&format!("{part:?} has no =")))?;
                    let oid = attribute::by_name(name.trim())
                        .ok_or_else(|| NameError::UnknownAttribute(name.trim().into()))?;
                    if let Some(rdn) = rdns.last_mut() {
                        rdn.push(Attribute::new(oid, value)?);
                    }
                    part.clear();
                    match next {
                        Some('/') => rdns.push(Vec::new()),
                        None => return Self::from_rdns(&rdns),
                        Some(_) => {}
                    }
                }
                Some(character) => part.push(character),
            }
        }
    }

    /// The name as index.txt has it (OpenSSL's `X509_NAME_oneline`).
    #[must_use]
    pub fn oneline(&self) -> String {
        self.oneline_within(usize::MAX)
    }

    /// As much of it as OpenSSL writes into a buffer of `room` bytes: the attributes before the
    /// first that does not fit.
    #[must_use]
    pub fn oneline_within(&self, room: usize) -> String {
        let mut out = String::new();
        for rdn in &self.rdns {
            for (position, attribute) in rdn.iter().enumerate() {
                let before = out.len();
                out.push(if position == 0 { '/' } else { '+' });
                attribute.write_oneline(&mut out);
                if out.len() > room {
                    out.truncate(before);
                    return out;
                }
            }
        }
        out
    }

    /// OpenSSL's `X509_NAME_hash`, the name of the links in a CA path: SHA-1 over the canonical
    /// form, its first four bytes as a little-endian number.
    ///
    /// # Errors
    /// When the canonical form cannot be encoded.
    pub fn hash(&self) -> Result<String, NameError> {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.canonical()?);
        let mut head = digest.as_ref()[..4].to_vec();
        head.reverse();
        Ok(hex::lower(&head))
    }

    /// The form in which OpenSSL compares names (RFC 5280 section 7.1): its RDNs one after the
    /// other, so that those of a name above begin it.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn canonical(&self) -> Result<Vec<u8>, NameError> {
        let mut canonical = Vec::new();
        for rdn in &self.rdns {
            let folded: Vec<_> = rdn.iter().map(Attribute::canonical).collect();
            canonical.extend(set_of(&folded)?);
        }
        Ok(canonical)
    }

    /// The DER as it came.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Whether no RDN has more than one attribute.
    #[must_use]
    pub fn is_single_valued(&self) -> bool {
        self.rdns.iter().all(|rdn| rdn.len() == 1)
    }

    /// Whether the name has no attribute at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// Every attribute in its order, those of a multi-valued RDN one by one.
    pub fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.rdns.iter().flatten()
    }

    /// The attributes of one type, in their order.
    pub fn attributes_of(&self, oid: ObjectIdentifier) -> impl Iterator<Item = &Attribute> {
        self.attributes().filter(move |one| one.oid == oid)
    }

    /// The last commonName, the most specific one.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        self.values(COMMON_NAME).pop()
    }

    /// Every emailAddress.
    #[must_use]
    pub fn email_addresses(&self) -> Vec<String> {
        self.values(EMAIL_ADDRESS)
    }

    fn values(&self, oid: ObjectIdentifier) -> Vec<String> {
        self.attributes_of(oid)
            .filter_map(Attribute::text)
            .collect()
    }
}

/// For people: `CN=Example Mail CA, O=Example, C=US`, control characters escaped.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("(empty subject)");
        }
        for (position, attribute) in self.attributes().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{attribute}")?;
        }
        Ok(())
    }
}

// A SET OF in DER: its members sorted by their encoding (X.690 section 11.6).
fn set_of(attributes: &[Attribute]) -> Result<Vec<u8>, NameError> {
    let mut members = attributes
        .iter()
        .map(Encode::to_der)
        .collect::<Result<Vec<_>, _>>()?;
    members.sort();
    Ok(AnyRef::new(Tag::Set, &members.concat())?.to_der()?)
}

/// What a SEQUENCE OF or SET OF holds, in whatever order.
pub(super) fn elements(outer: AnyRef<'_>, expected: Tag) -> der::Result<Vec<AnyRef<'_>>> {
    outer.tag().assert_eq(expected)?;
    let mut reader = SliceReader::new(outer.value())?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(AnyRef::decode(&mut reader)?);
    }
    Ok(found)
}
