//! Lines for Sendmail's access map, by which relays trust each other's certificates (cf/README,
//! "STARTTLS").

use std::collections::{BTreeMap, BTreeSet};

use crate::mta::Peer;
use crate::pki::hex;
use crate::pki::name::Name;

/// The lines, and what is to be said of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLines {
    /// the lines
    pub text: String,
    /// what they do otherwise than one would expect, a sentence each
    pub warnings: Vec<String>,
}

// Sendmail's MAXNAME: with the end of the string, its buffer for a name; without, what it looks up.
const MAX_NAME: usize = 256;

// Mail waits while a certificate or the CRL has ended, where PERM would send it back.
const REQUIRED: &str = "TEMP+VERIFY";

/// Lines that let these relay, and demand of them a certificate that is verified and has the same
/// subject.
#[must_use]
pub fn lines(peers: &[Peer]) -> AccessLines {
    let mut map = Map::default();
    let mut hosts: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for peer in peers {
        let host = &*peer.name;
        let whose = format!("the certificate of {host}");
        let subject = Key::new("CertSubject", &peer.subject);
        map.warn_of_cut(&subject, &format!("the subject of {whose}"));
        let required = hosts.entry(host).or_default();
        required.insert(if subject.is_whole() {
            format!("{REQUIRED}+CS:{}", subject.name)
        } else {
            REQUIRED.into()
        });
        if subject.name.is_empty() {
            map.warn(format!(
                "Sendmail sees no subject in {whose}, and lets nobody relay by it alone"
            ));
            continue;
        }
        let issuer = Key::new("CertIssuer", &peer.issuer);
        map.warn_of_cut(&issuer, "the subject of the CA");
        map.put(&issuer.text, "SUBJECT", None);
        map.put(&subject.text, "RELAY", Some(host));
    }
    for (host, required) in hosts {
        map.demand(host, &required);
    }
    map.finish()
}

/// A line that lets everybody relay whom a CA certified.
#[must_use]
pub fn whole_ca(issuer: &Name) -> AccessLines {
    let mut map = Map::default();
    let key = Key::new("CertIssuer", issuer);
    map.warn_of_cut(&key, "the subject of the CA");
    if key.name.is_empty() {
        map.warn("Sendmail sees no subject in the certificate of the CA".into());
    } else {
        map.put(&key.text, "RELAY", None);
    }
    map.finish()
}

/// The lines by their keys, which makemap folds, and whom of the hosts each lets relay.
#[derive(Default)]
struct Map<'a> {
    lines: BTreeMap<String, (String, BTreeSet<&'a str>)>,
    warnings: Vec<String>,
}

impl<'a> Map<'a> {
    fn warn(&mut self, sentence: String) {
        if !self.warnings.contains(&sentence) {
            self.warnings.push(sentence);
        }
    }

    fn warn_of_cut(&mut self, key: &Key, whose: &str) {
        if key.is_cut && !key.name.is_empty() {
            self.warn(format!(
                "{whose} is too long: Sendmail takes every other one for it that begins with {}",
                key.name
            ));
        }
    }

    fn put(&mut self, key: &str, value: &str, host: Option<&'a str>) {
        let folded = key.to_ascii_lowercase();
        let line = (format!("{key}\t{value}\n"), BTreeSet::new());
        self.lines.entry(folded).or_insert(line).1.extend(host);
    }

    // What is demanded when the host connects, and when it is connected to.
    fn demand(&mut self, host: &str, required: &BTreeSet<String>) {
        let can_be_host = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() || !host.chars().all(can_be_host) {
            self.warn(format!(
                "{host:?} is no name that Sendmail looks up, so nothing is demanded of that host"
            ));
            return;
        }
        let mut all = required.iter();
        let (Some(first), more) = (all.next(), all.next()) else {
            return;
        };
        if more.is_some() {
            self.warn(format!(
                "{host} has several subjects, and Sendmail can demand one at most: none is demanded"
            ));
        }
        let value = if more.is_some() { REQUIRED } else { first };
        // In brackets, as where the host's MX records are not asked for.
        for key in [
            format!("TLS_Clt:{host}"),
            format!("TLS_Srv:{host}"),
            format!("TLS_Srv:[{host}]"),
        ] {
            self.put(&key, value, None);
        }
    }

    fn finish(mut self) -> AccessLines {
        let mut text = String::new();
        for (line, hosts) in std::mem::take(&mut self.lines).into_values() {
            text.push_str(&line);
            if hosts.len() > 1 {
                let hosts: Vec<_> = hosts.into_iter().collect();
                let hosts = hosts.join(" and ");
                self.warn(format!(
                    "Sendmail does not tell the certificates of {hosts} from each other"
                ));
            }
        }
        AccessLines {
            text,
            warnings: self.warnings,
        }
    }
}

/// A name as Sendmail looks it up.
struct Key {
    text: String,
    /// the name in it
    name: String,
    /// whether there is more of the name
    is_cut: bool,
}

impl Key {
    fn new(tag: &str, name: &Name) -> Self {
        // OpenSSL writes it into that buffer, and leaves out what does not fit.
        let read = name.oneline_within(MAX_NAME - 1);
        let mut text = format!("{tag}:{}", xtext(&read));
        let is_cut = read.len() < name.oneline().len() || text.len() > MAX_NAME;
        text.truncate(MAX_NAME);
        Self {
            name: text[tag.len() + 1..].to_owned(),
            text,
            is_cut,
        }
    }

    fn is_whole(&self) -> bool {
        !self.is_cut && !self.name.is_empty()
    }
}

// As Sendmail encodes a name, which is more than xtext (RFC 3461 section 4) demands.
fn xtext(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !b"+\\()<>\"".contains(&byte) => out.push(byte.into()),
            _ => out.extend(["+", &hex::upper(&[byte])]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "/O=Example/CN=Example Mail CA";

    fn peer(name: &str, subject: &str) -> Peer {
        Peer {
            name: name.into(),
            serial: "01".into(),
            issuer: Name::from_oneline(CA).unwrap(),
            subject: Name::from_oneline(subject).unwrap(),
            fingerprint: String::new(),
            key_fingerprint: String::new(),
            is_compromised: false,
        }
    }

    #[test]
    fn a_relay_is_known_by_its_issuer_and_its_subject() {
        let peers = [peer("mx2.example.com", "/CN=mx2.example.com")];
        let twice = [peers.clone(), peers].concat();
        let AccessLines { text, warnings } = lines(&twice);
        assert_eq!(warnings, [""; 0]);
        assert_eq!(
            text,
            "CertIssuer:/O=Example/CN=Example+20Mail+20CA\tSUBJECT\n\
             CertSubject:/CN=mx2.example.com\tRELAY\n\
             TLS_Clt:mx2.example.com\tTEMP+VERIFY+CS:/CN=mx2.example.com\n\
             TLS_Srv:[mx2.example.com]\tTEMP+VERIFY+CS:/CN=mx2.example.com\n\
             TLS_Srv:mx2.example.com\tTEMP+VERIFY+CS:/CN=mx2.example.com\n"
        );
    }

    #[test]
    fn a_whole_ca_is_known_by_its_subject() {
        let AccessLines { text, warnings } = whole_ca(&Name::from_oneline(CA).unwrap());
        assert_eq!(warnings, [""; 0]);
        assert_eq!(
            text,
            "CertIssuer:/O=Example/CN=Example+20Mail+20CA\tRELAY\n"
        );
    }

    #[test]
    fn what_makemap_takes_for_the_same_stands_there_once() {
        let peers = [
            peer("mx2.example.com", "/CN=MX"),
            peer("mx1.example.com", "/CN=mx"),
        ];
        let AccessLines { text, warnings } = lines(&peers);
        assert_eq!(text.matches("CertSubject:").count(), 1, "{text}");
        assert_eq!(
            warnings,
            [
                "Sendmail does not tell the certificates of mx1.example.com and mx2.example.com from \
              each other"
            ]
        );
    }

    #[test]
    fn a_host_with_two_subjects_has_to_have_either() {
        let peers = [peer("mx", "/CN=mx"), peer("mx", "/O=Example/CN=mx")];
        let AccessLines { text, warnings } = lines(&peers);
        assert!(text.contains("TLS_Clt:mx\tTEMP+VERIFY\n"), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn what_sendmail_does_not_look_up_has_no_line() {
        let AccessLines { text, warnings } = lines(&[peer("*.example.com", "/CN=*.example.com")]);
        assert!(
            text.contains("CertSubject:/CN=*.example.com\tRELAY\n"),
            "{text}"
        );
        assert!(!text.contains("TLS_"), "{text}");
        assert_eq!(
            warnings,
            [
                "\"*.example.com\" is no name that Sendmail looks up, so nothing is demanded of that \
              host"
            ]
        );
    }

    #[test]
    fn of_a_long_name_the_beginning_is_looked_up() {
        let unit = format!("/OU={}", "u".repeat(60));
        for (length, is_cut) in [(48, false), (49, true)] {
            let subject = format!("{}/CN={}", unit.repeat(3), "n".repeat(length));
            let AccessLines { text, warnings } = lines(&[peer("mx", &subject)]);
            let line = text.lines().nth(1).unwrap();
            assert_eq!(line.len(), 256 + "\tRELAY".len());
            assert_eq!(warnings.len(), usize::from(is_cut), "{warnings:?}");
            assert_eq!(text.contains("TLS_Clt:mx\tTEMP+VERIFY\n"), is_cut, "{text}");
        }
    }

    #[test]
    fn without_a_subject_nobody_relays() {
        let mut peer = peer("mx", "/CN=mx");
        peer.subject = Name::from_attributes(Vec::new()).unwrap();
        let AccessLines { text, warnings } = lines(&[peer]);
        for line in text.lines() {
            assert!(
                line.starts_with("TLS_") && line.ends_with("\tTEMP+VERIFY"),
                "{text}"
            );
        }
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}
