//! Why and since when a certificate is revoked, as the register has it (`openssl ca`, its
//! `-crl_reason`, `-crl_hold`, `-crl_compromise`) and as a CRL entry has it (RFC 5280 section 5.3).

use std::fmt;
use std::str::FromStr;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_CE_CRL_REASONS, ID_CE_HOLD_INSTRUCTION_CODE, ID_CE_INVALIDITY_DATE,
};
use der::Encode;
use der::asn1::{GeneralizedTime, OctetString};
use serde::{Serialize, Serializer};
use time::{OffsetDateTime, UtcOffset};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;

use super::asn1_time;
use super::certificate_list::Entry;
use super::tbs::date_time;

/// Why a certificate is revoked: the reasons of RFC 5280 section 5.3.1 that OpenSSL's register
/// knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reason {
    /// nothing is said
    #[default]
    Unspecified,
    /// somebody else may have the private key
    KeyCompromise,
    /// the same of a CA
    CaCompromise,
    /// the names or the organization are no longer right
    AffiliationChanged,
    /// another certificate took its place
    Superseded,
    /// it is no longer needed
    CessationOfOperation,
    /// it is not to be used for the time being
    CertificateHold,
    /// only in rows that `openssl ca` wrote
    RemoveFromCrl,
}

impl Reason {
    /// The reasons to choose from, in the order of the help text.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
    ];

    /// OpenSSL's name for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "CACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
        }
    }

    // CRLReason, where RFC 5280 wants one.
    fn code(self) -> Option<CrlReason> {
        Some(match self {
            Self::Unspecified => return None,
            Self::KeyCompromise => CrlReason::KeyCompromise,
            Self::CaCompromise => CrlReason::CaCompromise,
            Self::AffiliationChanged => CrlReason::AffiliationChanged,
            Self::Superseded => CrlReason::Superseded,
            Self::CessationOfOperation => CrlReason::CessationOfOperation,
            Self::CertificateHold => CrlReason::CertificateHold,
            Self::RemoveFromCrl => CrlReason::RemoveFromCRL,
        })
    }

    /// The reason of a CRL entry; `None` for one that OpenSSL's register does not know.
    #[must_use]
    pub fn of_entry(code: Option<CrlReason>) -> Option<Self> {
        let code = code.filter(|code| *code != CrlReason::Unspecified);
        let known = Self::ALL.into_iter().chain([Self::RemoveFromCrl]);
        known.into_iter().find(|reason| reason.code() == code)
    }

    // OpenSSL compares without case.
    fn of_register(name: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().chain([Self::RemoveFromCrl]);
        known
            .into_iter()
            .find(|reason| reason.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::of_register(text).filter(|reason| Self::ALL.contains(reason));
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is not a reason: they are {all}")
        })
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A revocation: the third field of a row in the register, an entry of a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// when it was revoked, to the second
    pub date: OffsetDateTime,
    /// why
    pub reason: Reason,
    /// since when the key is believed to be compromised (invalidityDate)
    pub compromised_at: Option<OffsetDateTime>,
    /// what OpenSSL's `-crl_hold` says is to be done (holdInstructionCode)
    pub hold_instruction: Option<ObjectIdentifier>,
}

impl Revocation {
    /// What an entry of a CRL tells of, `None` where OpenSSL's register has no word for it.
    #[must_use]
    pub fn of_entry(entry: &Entry<'_>) -> Option<Self> {
        let reason = Reason::of_entry(entry.reason)?;
        (reason != Reason::RemoveFromCrl).then_some(Self {
            date: entry.revoked_at,
            reason,
            compromised_at: entry.invalid_since,
            hold_instruction: None,
        })
    }

    /// The revocation of a certificate that another one takes the place of.
    #[must_use]
    pub fn superseded(date: OffsetDateTime) -> Self {
        Self {
            date,
            reason: Reason::Superseded,
            compromised_at: None,
            hold_instruction: None,
        }
    }

    /// Reads `date[,reason[,argument]]`; `None` where it says something else.
    #[must_use]
    pub fn parse(field: &str) -> Option<Self> {
        let mut parts = field.splitn(3, ',');
        let mut revocation = Self {
            date: asn1_time::parse(parts.next()?)?,
            reason: Reason::Unspecified,
            compromised_at: None,
            hold_instruction: None,
        };
        let Some(name) = parts.next() else {
            return Some(revocation);
        };
        let argument = parts.next();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("keyTime") || is("CAkeyTime") {
            revocation.compromised_at = Some(asn1_time::parse_generalized(argument?)?);
            revocation.reason = if is("keyTime") {
                Reason::KeyCompromise
            } else {
                Reason::CaCompromise
            };
        } else if is("holdInstruction") {
            revocation.hold_instruction = Some(hold_instruction(argument?)?);
            revocation.reason = Reason::CertificateHold;
        } else {
            revocation.reason = Reason::of_register(name)?;
        }
        Some(revocation)
    }

    /// `date[,reason[,argument]]`, as `openssl ca -revoke` writes it.
    #[must_use]
    pub fn to_field(&self) -> String {
        let date = asn1_time::format(self.date);
        match (self.reason, self.compromised_at, self.hold_instruction) {
            (Reason::KeyCompromise, Some(since), _) => {
                format!("{date},keyTime,{}", asn1_time::format_generalized(since))
            }
            (Reason::CaCompromise, Some(since), _) => {
                format!("{date},CAkeyTime,{}", asn1_time::format_generalized(since))
            }
            (Reason::CertificateHold, _, Some(instruction)) => {
                format!("{date},holdInstruction,{instruction}")
            }
            (Reason::Unspecified, ..) => date,
            (reason, ..) => format!("{date},{reason}"),
        }
    }

    /// Whether the key must never be certified again.
    #[must_use]
    pub fn is_of_compromised_key(&self) -> bool {
        matches!(self.reason, Reason::KeyCompromise | Reason::CaCompromise)
    }

    /// Whether its reason is all that its CRL entry says besides the date.
    pub(super) fn says_only_why(&self) -> bool {
        self.compromised_at.is_none() && self.hold_instruction.is_none()
    }

    /// The extensions of its CRL entry; `None` where it needs none (RFC 5280 section 5.3).
    pub(super) fn entry_extensions(&self) -> der::Result<Option<Vec<Extension>>> {
        let mut extensions = Vec::new();
        let mut push = |extn_id, value: Vec<u8>| -> der::Result<()> {
            extensions.push(Extension {
                extn_id,
                critical: false,
                extn_value: OctetString::new(value)?,
            });
            Ok(())
        };
        if let Some(code) = self.reason.code() {
            push(ID_CE_CRL_REASONS, code.to_der()?)?;
        }
        if let Some(instruction) = self.hold_instruction {
            push(ID_CE_HOLD_INSTRUCTION_CODE, instruction.to_der()?)?;
        }
        if let Some(since) = self.compromised_at {
            let since = GeneralizedTime::from_date_time(date_time(since)?);
            push(ID_CE_INVALIDITY_DATE, since.to_der()?)?;
        }
        Ok((!extensions.is_empty()).then_some(extensions))
    }
}

impl fmt::Display for Revocation {
    /// `2026-05-04 (keyCompromise)`, the date in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date.to_offset(UtcOffset::UTC).date())?;
        match self.reason {
            Reason::Unspecified => Ok(()),
            reason => write!(f, " ({reason})"),
        }
    }
}

// The instructions of RFC 3280 section 5.3.2, by OpenSSL's names, or any by its number.
fn hold_instruction(name: &str) -> Option<ObjectIdentifier> {
    let known = [
        ("holdInstructionNone", "1.2.840.10040.2.1"),
        ("holdInstructionCallIssuer", "1.2.840.10040.2.2"),
        ("holdInstructionReject", "1.2.840.10040.2.3"),
    ];
    let dotted = known
        .into_iter()
        .find(|(known, _)| *known == name)
        .map_or(name, |(_, dotted)| dotted);
    ObjectIdentifier::new(dotted).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn every_form_of_the_register_is_read_and_written_again() {
        let fields = [
            "260504120000Z",
            "260504120000Z,keyCompromise",
            "260504120000Z,CACompromise",
            "260504120000Z,affiliationChanged",
            "260504120000Z,superseded",
            "260504120000Z,cessationOfOperation",
            "260504120000Z,certificateHold",
            "260504120000Z,removeFromCRL",
            "260504120000Z,keyTime,20260101000000Z",
            "260504120000Z,CAkeyTime,20260101000000Z",
            "260504120000Z,holdInstruction,1.2.840.10040.2.3",
            "20510504120000Z,superseded",
        ];
        for field in fields {
            let read = Revocation::parse(field).unwrap_or_else(|| panic!("{field}"));
            assert_eq!(read.to_field(), field);
        }
    }

    #[test]
    fn what_openssl_would_not_read_is_no_revocation() {
        for field in [
            "",
            "260504",
            "260504120000Z,",
            "260504120000Z,because",
            "260504120000Z,keyTime",
            "260504120000Z,keyTime,yesterday",
            "260504120000Z,holdInstruction,none",
        ] {
            assert_eq!(Revocation::parse(field), None, "{field}");
        }
    }

    #[test]
    fn a_reason_that_says_nothing_leaves_no_extension() {
        let mut revocation = Revocation::parse("260504120000Z,unspecified").unwrap();
        assert_eq!(revocation.entry_extensions().unwrap(), None);
        assert_eq!(revocation.to_string(), "2026-05-04");
        revocation.reason = Reason::KeyCompromise;
        revocation.compromised_at = Some(datetime!(2026-01-01 0:00 UTC));
        assert_eq!(revocation.entry_extensions().unwrap().unwrap().len(), 2);
        assert_eq!(revocation.to_string(), "2026-05-04 (keyCompromise)");
    }
}
