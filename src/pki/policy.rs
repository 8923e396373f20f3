//! What a CA demands of a subject: the policy sections of openssl.cnf (`openssl ca`, "policy format").

use std::fmt;
use std::str::FromStr;

use const_oid::ObjectIdentifier;
use thiserror::Error;

use super::attribute;
use super::name::{Attribute, Name, NameError};

/// Why a policy refuses a subject, or cannot be read.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// A line of the policy section names no attribute.
    #[error("{policy} names {attribute:?}, which is no attribute of a subject")]
    UnknownAttribute {
        /// the section
        policy: String,
        /// what stands before the `=`
        attribute: String,
    },
    /// A line of the policy section has another word than the three.
    #[error("{policy} says {attribute} = {word}, but a rule is match, supplied or optional")]
    UnknownRule {
        /// the section
        policy: String,
        /// what stands before the `=`
        attribute: String,
        /// what stands behind it
        word: String,
    },
    /// `supplied` or `match`, and the subject has no such attribute.
    #[error("subject has no {attribute}, but {policy} requires one")]
    Missing {
        /// the section
        policy: String,
        /// the attribute's short name
        attribute: String,
    },
    /// `match`, and the CA's own subject has no such attribute.
    #[error("{policy} wants {attribute} to match the CA's, but the CA's subject has none")]
    CaHasNone {
        /// the section
        policy: String,
        /// the attribute's short name
        attribute: String,
    },
    /// `match`, and the values differ.
    #[error("subject has {attribute}={found}, but {policy} requires {attribute}={expected}")]
    Differs {
        /// the section
        policy: String,
        /// the attribute's short name
        attribute: String,
        /// the request's value
        found: String,
        /// the CA's value
        expected: String,
    },
    /// The subject cannot be written again.
    #[error("{0}")]
    Name(#[from] NameError),
}

/// What a policy says of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Match,
    Supplied,
    Optional,
}

impl FromStr for Rule {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "match" => Ok(Self::Match),
            "supplied" => Ok(Self::Supplied),
            "optional" => Ok(Self::Optional),
            _ => Err(()),
        }
    }
}

/// The rules of one policy section, in its order.
#[derive(Clone, Debug)]
pub struct Policy {
    name: String,
    rules: Vec<(ObjectIdentifier, Rule)>,
}

/// A subject as a policy leaves it.
#[derive(Debug)]
pub struct Applied {
    /// the subject to certify
    pub subject: Name,
    /// attributes that the policy does not list, as `OU=Mail`
    pub dropped: Vec<String>,
    /// whether the kept attributes stand in another order, or apart, than in the request
    pub reordered: bool,
}

impl Policy {
    /// Reads a policy section: its name, and its `attribute = rule` lines in their order.
    ///
    /// # Errors
    /// When a line names no attribute, or no rule.
    pub fn new<'a>(
        name: &str,
        lines: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, PolicyError> {
        let rules = lines
            .into_iter()
            .map(|(attribute, word)| {
                let oid = attribute::by_name(attribute.rsplit('.').next().unwrap_or(attribute))
                    .or_else(|| attribute::by_name(attribute))
                    .ok_or_else(|| PolicyError::UnknownAttribute {
                        policy: name.into(),
                        attribute: attribute.into(),
                    })?;
                let rule = word.parse().map_err(|()| PolicyError::UnknownRule {
                    policy: name.into(),
                    attribute: attribute.into(),
                    word: word.into(),
                })?;
                Ok((oid, rule))
            })
            .collect::<Result<_, PolicyError>>()?;
        Ok(Self {
            name: name.into(),
            rules,
        })
    }

    /// policy_anything as OpenSSL's own openssl.cnf has it: a commonName, and anything else.
    ///
    /// # Panics
    /// Never: the lines are fixed and tested.
    #[must_use]
    pub fn anything() -> Self {
        let lines = [
            ("countryName", "optional"),
            ("stateOrProvinceName", "optional"),
            ("localityName", "optional"),
            ("organizationName", "optional"),
            ("organizationalUnitName", "optional"),
            ("commonName", "supplied"),
            ("emailAddress", "optional"),
        ];
        Self::new("policy_anything", lines).expect("fixed lines")
    }

    /// The section's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether some rule is `match`, which policy_anything never has.
    #[must_use]
    pub fn demands_match(&self) -> bool {
        self.rules.iter().any(|(_, rule)| *rule == Rule::Match)
    }

    /// `subject` with the CA's own values for what must match and is missing in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn complete(&self, subject: &Name, ca: &Name) -> Result<Name, NameError> {
        let is_missing = |oid: ObjectIdentifier| subject.attributes().all(|a| a.oid != oid);
        let borrowed = self
            .rules
            .iter()
            .filter(|(oid, rule)| *rule == Rule::Match && is_missing(*oid))
            .filter_map(|(oid, _)| ca.attributes().find(|a| a.oid == *oid));
        let all: Vec<_> = borrowed.chain(subject.attributes()).cloned().collect();
        Name::from_attributes(all)
    }

    /// Applies the rules to `subject` as `openssl ca` does: attributes the policy does not list
    /// are dropped, the others follow its order, each in an RDN of its own. Unlike there, `match`
    /// compares characters, whatever the string types.
    ///
    /// # Errors
    /// When a rule is not kept.
    pub fn apply(&self, subject: &Name, ca: &Name) -> Result<Applied, PolicyError> {
        let mut kept: Vec<&Attribute> = Vec::new();
        for (oid, rule) in &self.rules {
            let offered: Vec<_> = subject.attributes().filter(|a| a.oid == *oid).collect();
            if offered.is_empty() && *rule != Rule::Optional {
                return Err(PolicyError::Missing {
                    policy: self.name.clone(),
                    attribute: label(*oid),
                });
            }
            if *rule == Rule::Match {
                self.check_match(&offered, *oid, ca)?;
            }
            kept.extend(offered);
        }
        let dropped = subject
            .attributes()
            .filter(|attribute| self.rules.iter().all(|(oid, _)| *oid != attribute.oid))
            .map(described)
            .collect();
        let kept_in_place: Vec<_> = subject
            .attributes()
            .filter(|attribute| kept.iter().any(|one| one.oid == attribute.oid))
            .collect();
        let same_order = kept_in_place == kept;
        let applied = Name::from_attributes(kept.into_iter().cloned().collect())?;
        let split = !subject.is_single_valued();
        Ok(Applied {
            subject: applied,
            dropped,
            reordered: !same_order || split,
        })
    }

    fn check_match(
        &self,
        offered: &[&Attribute],
        oid: ObjectIdentifier,
        ca: &Name,
    ) -> Result<(), PolicyError> {
        let wanted: Vec<_> = ca.attributes().filter(|a| a.oid == oid).collect();
        let Some(first) = wanted.first() else {
            return Err(PolicyError::CaHasNone {
                policy: self.name.clone(),
                attribute: label(oid),
            });
        };
        let same = |a: &Attribute, b: &Attribute| match (a.text(), b.text()) {
            (Some(left), Some(right)) => left == right,
            _ => a.value == b.value,
        };
        let stranger = offered
            .iter()
            .find(|one| !wanted.iter().any(|other| same(one, other)));
        stranger.map_or(Ok(()), |one| {
            Err(PolicyError::Differs {
                policy: self.name.clone(),
                attribute: label(oid),
                found: value(one),
                expected: value(first),
            })
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn label(oid: ObjectIdentifier) -> String {
    attribute::short_name(oid).map_or_else(|| oid.to_string(), str::to_owned)
}

fn value(attribute: &Attribute) -> String {
    attribute.text().unwrap_or_else(|| "(not text)".into())
}

fn described(attribute: &Attribute) -> String {
    format!("{}={}", attribute.label(), value(attribute))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_oneline(text).unwrap()
    }

    #[test]
    fn policy_anything_orders_and_drops_as_openssl_does() {
        let subject = name("/CN=mx/OU=b/OU=a/UID=7/C=US");
        let applied = Policy::anything().apply(&subject, &name("/CN=ca")).unwrap();
        assert_eq!(applied.subject.oneline(), "/C=US/OU=b/OU=a/CN=mx");
        assert_eq!(applied.dropped, ["UID=7"]);
        assert!(applied.reordered);
    }

    #[test]
    fn a_subject_in_the_order_of_the_policy_is_left_as_it_is() {
        let subject = name("/C=US/O=Example/CN=mx");
        let applied = Policy::anything().apply(&subject, &name("/CN=ca")).unwrap();
        assert_eq!(applied.subject, subject);
        assert!(applied.dropped.is_empty() && !applied.reordered);
    }

    #[test]
    fn match_names_both_values() {
        let policy = Policy::new("policy_match", [("organizationName", "match")]).unwrap();
        let error = policy
            .apply(&name("/O=Exmaple"), &name("/O=Example"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "subject has O=Exmaple, but policy_match requires O=Example"
        );
    }

    #[test]
    fn a_rule_that_is_none_is_refused_by_name() {
        let error = Policy::new("policy_x", [("commonName", "suplied")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "policy_x says commonName = suplied, but a rule is match, supplied or optional"
        );
    }
}
