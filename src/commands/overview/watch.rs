//! What is there, and how long it lasts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use time::{Duration, OffsetDateTime};

use super::Overview;
use super::item::{Item, Kind, Urgency};
use crate::cli::{CA_DAYS, CA_MOST_DAYS};
use crate::commands::failure;
use crate::commands::new_crl;
use crate::commands::selection::{self, Selected};
use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::CertificateList;
use crate::pki::general_name;
use crate::pki::moment::{self, Moment};
use crate::pki::public_key::PublicKeyKind;
use crate::pki::text;
use crate::report;
use crate::store::hosts::{self, CERT};
use crate::store::register::Status;
use crate::store::revocation::CrlFault;
use crate::store::{Store, index};
use crate::sys::files::{self, FileError};

/// A host's certificate needs attention this long before its end, or for a third of default_days.
const HOST: Duration = Duration::days(30);
/// The CRL does, or for a third of default_crl_days.
const CRL: Duration = Duration::days(7);

/// The CA certificates of old keys.
type Former = [(PathBuf, Certificate)];

/// Somebody who looks at a CA.
pub struct Watch<'a> {
    pub store: &'a Store,
    pub now: OffsetDateTime,
    /// `--expiring`
    pub notice: Option<Duration>,
}

impl Watch<'_> {
    pub fn overview(&self) -> Result<Overview> {
        let store = self.store;
        let above = store.issuers.iter();
        let issuers = above.map(|it| self.ca(Kind::Issuer, &it.certificate, &it.path));
        let register = self.register()?;
        let mut overview = Overview {
            changed: false,
            attention: false,
            at: self.now,
            ca: self.own_ca(),
            issuers: issuers.collect(),
            crl: self.crl(register.is_some())?,
            register,
            hosts: self.hosts()?,
            directory: store.settings.root.clone(),
            lifetime: Duration::days(store.settings.default_days.into()),
        };
        overview.attention = overview.urgency() > Urgency::Ok;
        Ok(overview)
    }

    /// Something that is valid for a time, and judged by that alone.
    fn item(
        &self,
        kind: Kind,
        name: String,
        from: Option<OffsetDateTime>,
        until: Option<OffsetDateTime>,
        notice: Duration,
    ) -> Item {
        let notice = self.notice.unwrap_or(notice);
        let moment = Moment {
            at: self.now,
            is_now: true,
        };
        let left = until.map(|until| until - self.now);
        let mut item = Item {
            kind,
            problem: None,
            label: text::one_line(&name),
            name,
            number: None,
            file: PathBuf::new(),
            from,
            until,
            days_left: until.map(|until| moment::days_from(self.now, until)),
            urgency: Urgency::Ok,
            reason: None,
            remedy: None,
            host_files: None,
            words: until.map_or_else(|| "has no end".into(), |until| in_words(self.now, until)),
            notice,
        };
        let Some((until, left)) = until.zip(left) else {
            return item;
        };
        if let Some(from) = from.filter(|from| self.now < *from) {
            let begins = moment.before(from);
            let doubt = "; is the clock of this machine right? date -u shows it";
            item.fail("not-valid-yet", begins + doubt);
        } else if until < self.now {
            item.fail("ended", moment.after(until));
            item.words = in_words(self.now, until);
        } else if left < notice {
            item.problem = Some("ending");
            item.urgency = if left < notice / 4 {
                Urgency::Critical
            } else {
                Urgency::Warning
            };
            item.reason = Some(moment.until(until));
        }
        item
    }

    /// Something else, of which there is something to say only where it is wrong.
    fn thing(&self, kind: Kind, name: &str, file: PathBuf) -> Item {
        Item {
            file,
            ..self.item(kind, name.into(), None, None, Duration::ZERO)
        }
    }

    fn ca(&self, kind: Kind, certificate: &Certificate, file: &Path) -> Item {
        let (from, until) = (certificate.not_before, certificate.not_after);
        let subject = &certificate.subject;
        let days = self.store.settings.default_days;
        let notice = Duration::days(days.into());
        let mut item = self.item(kind, subject.to_string(), Some(from), Some(until), notice);
        item.number = Some(certificate.serial.to_string());
        let short = subject.common_name().unwrap_or_else(|| item.name.clone());
        item.label = format!("CA {}", text::one_line(&short));
        if until < self.now {
            item.add("; nothing that it signed is accepted any more");
        } else if self.is_ending(&item) && self.notice.is_none() {
            item.add(&format!(
                "; new certificates would end before their {days} days (default_days)"
            ));
        }
        file.clone_into(&mut item.file);
        item
    }

    fn own_ca(&self) -> Item {
        let (certificate, file) = (&self.store.certificate, &self.store.settings.certificate);
        let mut item = self.ca(Kind::Ca, certificate, file);
        if self.is_ending(&item) {
            if certificate.is_self_issued() {
                item.remedy = Some(self.renew_ca());
            } else {
                item.add(&format!("; {} has to renew it", certificate.issuer));
            }
        }
        self.tell_inability(&mut item, certificate);
        item
    }

    /// Says that mailca cannot sign with the CA's key.
    fn tell_inability(&self, item: &mut Item, certificate: &Certificate) {
        let kind = PublicKeyKind::of(&certificate.subject_public_key_info);
        let Some(kind) = kind.ok().filter(|kind| !kind.can_sign()) else {
            return;
        };
        item.say(&format!(
            "has a key of type {kind}, with which mailca cannot sign"
        ));
        item.urgency = item.urgency.max(Urgency::Warning);
        if certificate.is_self_issued() {
            item.remedy = Some(self.mailca(&["renew-ca", "--new-key"]));
        }
    }

    /// Whether another one has to take its place; not that of what begins later.
    fn is_ending(&self, item: &Item) -> bool {
        item.urgency > Urgency::Ok && item.from.is_none_or(|from| from <= self.now)
    }

    fn renew_ca(&self) -> String {
        let days = self.store.settings.default_days;
        if days < CA_DAYS {
            return self.mailca(&["renew-ca"]);
        }
        // One that lives no longer than a certificate would need attention at once.
        let days = days.saturating_mul(2).min(CA_MOST_DAYS);
        self.mailca(&["renew-ca", "--days", &days.to_string()])
    }

    /// The register, where nothing can be signed before somebody has mended it.
    fn register(&self) -> Result<Option<Item>> {
        let store = self.store;
        let file = &store.settings.database;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let mut item = self.thing(Kind::Register, &name, file.clone());
        if !files::exists(file) && store.has_issued()? {
            item.fail("missing", "is missing, with all that was issued".into());
        } else if let Some(line) = store.first_stranger()? {
            let line = text::shorten(&line).into_owned();
            item.fail("damaged", format!("has a line that is no row: {line:?}"));
        } else if let Some((serial, revocation)) = store.lost_revocation()? {
            item.fail(
                "incomplete",
                format!("has lost the revocation of {serial}, revoked on {revocation}"),
            );
            item.remedy = Some(failure::revocation_again(
                store.into(),
                &serial.to_string(),
                &revocation,
            ));
        }
        Ok((item.urgency > Urgency::Ok).then_some(item))
    }

    fn crl(&self, register_is_damaged: bool) -> Result<Item> {
        let store = self.store;
        let path = &store.settings.crl;
        let mut item = match store.crl() {
            Ok(Some(crl)) => self.present_crl(&crl, register_is_damaged)?,
            Ok(None) => self.missing_crl()?,
            Err(error) => {
                return Ok(self.unreadable(Kind::Crl, "CRL", path, &error.into(), &["crl"]));
            }
        };
        item.file.clone_from(path);
        if self.is_ending(&item) {
            item.remedy.get_or_insert_with(|| self.mailca(&["crl"]));
        }
        Ok(item)
    }

    fn present_crl(&self, crl: &CertificateList, register_is_damaged: bool) -> Result<Item> {
        let store = self.store;
        let (from, until) = (crl.this_update, crl.next_update);
        let notice = CRL.min(store.settings.crl_lifetime / 3);
        let mut item = self.item(Kind::Crl, "CRL".into(), Some(from), until, notice);
        if self.is_ending(&item) {
            let then = match until {
                Some(until) if until < self.now => "",
                _ => "then ",
            };
            item.add(&format!(
                "; {then}Sendmail and Dovecot refuse every client certificate"
            ));
        }
        item.number = crl.number.as_ref().map(ToString::to_string);
        if let Some(number) = &item.number {
            item.label = format!("CRL {number}");
        }
        if crl.issuer.canonical()? != store.certificate.subject.canonical()? {
            let issuer = &crl.issuer;
            item.fail("of-another-ca", format!("is of another CA, {issuer}"));
            return Ok(item);
        }
        let fault = store.crl_fault(crl)?;
        // What it lacks or has too much, a damaged register does not tell.
        let is_by_register = matches!(
            fault,
            Some(CrlFault::Entries { .. } | CrlFault::WithoutRow(_))
        );
        if is_by_register && register_is_damaged {
            return Ok(item);
        }
        match fault {
            None => {}
            Some(CrlFault::Entries { listed, recorded }) if listed == recorded => item.fail(
                "incomplete",
                "lists other certificates than the register has as revoked".into(),
            ),
            Some(CrlFault::Entries { listed, recorded }) => item.fail(
                "incomplete",
                format!("lists {listed} revoked certificates, and the register has {recorded}"),
            ),
            // That it ends is more urgent.
            Some(CrlFault::WithoutRow(_)) if item.urgency > Urgency::Ok => {}
            Some(CrlFault::WithoutRow(mut serials)) => {
                // Of the others nobody can make rows, and the CRL keeps them.
                serials.retain(|serial| files::exists(&store.certificate_path(serial)));
                if serials.is_empty() {
                    return Ok(item);
                }
                let serials = new_crl::some(&serials);
                item.fail(
                    "unrecorded",
                    format!("lists {serials}, of which the register has no row"),
                );
                item.remedy = Some(self.mailca(&["repair"]));
            }
            Some(CrlFault::Missing(path)) => item.fail(
                "not-published",
                format!("is there, but {} is missing", path.display()),
            ),
            Some(CrlFault::Differs(path)) => item.fail(
                "not-published",
                format!("is another one than {}", path.display()),
            ),
        }
        Ok(item)
    }

    fn missing_crl(&self) -> Result<Item> {
        let store = self.store;
        let mut revoked = 0;
        store.each_line(|line| revoked += usize::from(index::is_revoked(line)))?;
        let mut item = self.thing(Kind::Crl, "CRL", store.settings.crl.clone());
        item.words = "none".into();
        let (link, _) = store.hash_link()?;
        let rest = [store.settings.crl_der(), link];
        if revoked > 0 {
            let them = match revoked {
                1 => "1 certificate is".into(),
                _ => format!("{revoked} certificates are"),
            };
            item.fail("missing", format!("is missing, and {them} revoked"));
        } else if let Some(rest) = rest.into_iter().find(|path| files::exists(path)) {
            let rest = rest.display();
            item.fail("missing", format!("is missing, but {rest} is there"));
        }
        Ok(item)
    }

    fn hosts(&self) -> Result<Vec<Item>> {
        let store = self.store;
        let mut items = Vec::new();
        let former = store.former();
        let mut here = Vec::new();
        // From when to when a host is provided for; `None` where that cannot be read.
        let mut known = HashMap::new();
        for host in store.hosts.list()? {
            match store.hosts.certificate(&host) {
                Ok(Some(certificate)) => here.push((host, certificate)),
                Ok(None) => {}
                Err(error) => {
                    items.push(self.unreadable_host(&host, &error.into()));
                    known.insert(host, None);
                }
            }
        }
        let statuses = store.statuses(here.iter().map(|(_, it)| &it.serial))?;
        for (host, certificate) in &here {
            let revoked = statuses.get(&certificate.serial);
            let revoked = revoked.and_then(Status::revocation_in_words);
            if revoked.is_none() {
                let life = (certificate.not_before, certificate.not_after);
                known.insert(certificate.title().to_lowercase(), Some(life));
            }
            items.push(self.host_here(host, certificate, revoked, &former));
        }
        // What ended long ago belongs to nobody any more.
        let since = self.now.saturating_sub(self.notice.unwrap_or(HOST));
        let last = selection::last_of_each_subject(store, since)?;
        items.reserve(last.size_hint().0);
        for one in last {
            let counts = match known.get(&one.host().to_lowercase()) {
                Some(Some((from, until))) => {
                    *until < one.row.not_after && !self.began_before(&one, *from)
                }
                Some(None) => false,
                None => true,
            };
            if counts {
                items.push(self.host_elsewhere(&one, &former));
            }
        }
        Ok(items)
    }

    fn began_before(&self, one: &Selected, time: OffsetDateTime) -> bool {
        let certificate = self.store.issued(&one.row.serial);
        matches!(certificate, Ok(Some(it)) if it.not_before < time)
    }

    /// Something in a file that another one has to stand for, by `words` of mailca.
    fn unreadable(
        &self,
        kind: Kind,
        name: &str,
        file: &Path,
        error: &Error,
        words: &[&str],
    ) -> Item {
        let mut item = self.thing(kind, name, file.to_owned());
        item.fail("unreadable", format!("cannot be read: {error}"));
        let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
        // Others can read it.
        if !causes.any(FileError::is_denied) {
            item.remedy = Some(report::in_place_of(file, &self.mailca(words)));
        }
        item
    }

    fn unreadable_host(&self, host: &str, error: &Error) -> Item {
        let folder = self.store.hosts.current(host);
        let words = ["issue", host, "--replace"];
        let mut item = self.unreadable(Kind::Host, host, &folder.join(CERT), error, &words);
        if general_name::host_name(host).is_err() {
            item.remedy = None;
        }
        item.host_files = Some(folder);
        item
    }

    /// Says that the CA has another key since; whether that is so.
    fn tell_old_key(&self, item: &mut Item, certificate: &Certificate, former: &Former) -> bool {
        let Some((path, issuer)) = self.store.issuer_among(former, certificate) else {
            return false;
        };
        let path = path.display();
        if issuer.not_after < self.now {
            let end = report::date(issuer.not_after);
            let reason = format!("is by the old key of the CA, and {path} expired on {end}");
            item.fail("by-the-old-key", reason);
            return true;
        }
        let more = format!("is by the old key of the CA: only who trusts {path} accepts it");
        item.say(&more);
        item.problem = Some("by-the-old-key");
        item.words = "by the old key".into();
        item.urgency = item.urgency.max(Urgency::Warning);
        true
    }

    fn host_here(
        &self,
        host: &str,
        certificate: &Certificate,
        revoked: Option<&str>,
        former: &Former,
    ) -> Item {
        let folder = self.store.hosts.current(host);
        let (from, until) = (certificate.not_before, certificate.not_after);
        // Somebody may have put another host's files there.
        let title = certificate.title();
        let is_its_own = hosts::file_name(&title).is_ok_and(|name| name == host);
        let name = if is_its_own { title } else { host.into() };
        let mut item = self.host(name, Some(from), until);
        item.number = Some(certificate.serial.to_string());
        if !self.tell_old_key(&mut item, certificate, former)
            && let Some(issuer) = self.stranger(certificate)
        {
            item.fail("of-another-ca", format!("is of another CA, {issuer}"));
        }
        if self.is_ending(&item) {
            item.remedy = Some(self.renew(&item, &[host]));
        }
        if let Some(revoked) = revoked {
            item.fail("revoked", format!("was revoked on {revoked}"));
            item.remedy = Some(self.mailca(&["issue", host, "--replace"]));
        }
        item.file = folder.join(CERT);
        item.host_files = Some(folder);
        item
    }

    /// Whose certificate it is, where that is not this CA: by its name, or by its key.
    fn stranger(&self, certificate: &Certificate) -> Option<String> {
        let own = &self.store.certificate;
        let issuer = &certificate.issuer;
        if issuer.canonical().ok() != own.subject.canonical().ok() {
            return Some(issuer.to_string());
        }
        let keys = (
            &certificate.authority_key_identifier,
            &own.subject_key_identifier,
        );
        let is_other = matches!(keys, (Some(named), Some(own)) if named != own);
        is_other.then(|| format!("{issuer} with another key"))
    }

    fn host_elsewhere(&self, one: &Selected, former: &Former) -> Item {
        let until = one.row.not_after;
        // The register does not say when it began.
        let from = one.certificate.as_ref().map(|it| it.not_before);
        let name = one.host();
        let mut item = self.host(name, from, until);
        item.number = Some(one.row.serial.to_string());
        item.file = self.store.certificate_path(&one.row.serial);
        // A million files are not read for nothing.
        let issued = || self.store.issued(&one.row.serial).ok().flatten();
        if !former.is_empty()
            && let Some(certificate) = one.certificate.clone().or_else(issued)
        {
            self.tell_old_key(&mut item, &certificate, former);
        }
        if self.is_ending(&item) {
            let days = format!("{}d", days_up(item.notice));
            // The register has a host in ASCII.
            let is_host = item.name.is_ascii() && general_name::host_name(&item.name).is_ok();
            let who = if is_host {
                vec![&*item.name]
            } else {
                vec!["--expiring", &days]
            };
            item.remedy = Some(self.renew(&item, &[&who[..], &["--out-dir", "."]].concat()));
        }
        item
    }

    fn host(&self, name: String, from: Option<OffsetDateTime>, until: OffsetDateTime) -> Item {
        let lifetime = Duration::days(self.store.settings.default_days.into());
        self.item(Kind::Host, name, from, Some(until), HOST.min(lifetime / 3))
    }

    fn renew(&self, item: &Item, words: &[&str]) -> String {
        let has_ended = item.until.is_some_and(|until| until < self.now);
        let revoke: &[&str] = if self.store.unique_subject && !has_ended {
            &["--revoke-old"]
        } else {
            &[]
        };
        self.mailca(&[&["renew"], words, revoke].concat())
    }

    fn mailca(&self, words: &[&str]) -> String {
        report::invocation(self.store, words)
    }
}

// Not less than that time.
fn days_up(time: Duration) -> i64 {
    let almost_a_day = Duration::days(1) - Duration::SECOND;
    time.saturating_add(almost_a_day).whole_days()
}

fn in_words(now: OffsetDateTime, until: OffsetDateTime) -> String {
    let distance = moment::between(now, until);
    if until < now {
        format!("ended {distance} ago")
    } else {
        format!("{distance} left")
    }
}
