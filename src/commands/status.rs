//! `mailca status`

mod board;
mod monitor;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Error, Result};
use serde::{Serialize, Serializer};
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use super::selection::{self, Selected};
use super::session::Session;
use crate::cli::{CA_DAYS, CA_MOST_DAYS, Status as Args};
use crate::exit::{Exit, Plugin};
use crate::pki::certificate::Certificate;
use crate::pki::certificate_list::CertificateList;
use crate::pki::general_name;
use crate::pki::moment::{self, Moment};
use crate::pki::text;
use crate::report::{self, Outcome};
use crate::store::Store;
use crate::store::hosts::CERT;
use crate::store::register::Status;
use crate::store::revocation::CrlFault;
use crate::sys::files::FileError;

/// A host's certificate needs attention this long before its end, or for a third of default_days.
const HOST: Duration = Duration::days(30);
/// The CRL does, or for a third of default_crl_days.
const CRL: Duration = Duration::days(7);

const ALMOST_A_DAY: Duration = Duration::seconds(86_399);

/// How much attention something needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// It is about to end.
    Warning,
    /// It has ended or is useless, or a quarter of the time for a warning is left.
    Critical,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something that ends: a certificate, or the CRL.
#[derive(Serialize)]
struct Item {
    name: String,
    /// serial number or CRL number
    number: Option<String>,
    file: PathBuf,
    #[serde(with = "time::serde::rfc3339::option")]
    from: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    until: Option<OffsetDateTime>,
    /// days of the calendar, less than none where it has ended
    days_left: Option<i64>,
    state: State,
    /// why it needs attention
    reason: Option<String>,
    /// the command that helps
    remedy: Option<String>,
    /// of a host whose key is here
    #[serde(skip_serializing_if = "Option::is_none")]
    host_files: Option<PathBuf>,
    /// what it is called in a table
    #[serde(skip)]
    label: String,
    /// how it is, in two or three words
    #[serde(skip)]
    words: String,
    /// how long before its end it needs attention
    #[serde(skip)]
    notice: Duration,
}

#[derive(Serialize)]
struct Report {
    changed: bool,
    attention: bool,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    ca: Item,
    /// those above the CA, as far as they are here
    issuers: Vec<Item>,
    crl: Item,
    #[serde(serialize_with = "in_order")]
    hosts: Vec<Item>,
    #[serde(skip)]
    directory: PathBuf,
    /// the lifetime of a certificate where nobody knows it
    #[serde(skip)]
    lifetime: Duration,
}

impl Report {
    fn all(&self) -> impl Iterator<Item = &Item> {
        let own = [&self.ca, &self.crl].into_iter();
        own.chain(&self.issuers).chain(&self.hosts)
    }

    fn worst(&self) -> State {
        let worst = self.all().map(|item| item.state).max();
        worst.unwrap_or(State::Ok)
    }

    /// Everything, the most urgent first.
    fn by_urgency(&self) -> Vec<&Item> {
        let mut all: Vec<&Item> = self.all().collect();
        // What would be signed now ends with the CA: its own renewal comes first.
        let follows =
            |item: &Item| item.state > State::Ok && !std::ptr::eq(item, &raw const self.ca);
        let urgency = |item: &Item| (Reverse(item.state), follows(item));
        all.sort_by(|a, b| {
            urgency(a)
                .cmp(&urgency(b))
                .then_with(|| a.place().cmp(&b.place()))
        });
        all
    }
}

impl Item {
    /// By days, then by name; what has no end and is in order comes last.
    fn place(&self) -> (i64, &str, Option<&str>) {
        let days = self.days_left.unwrap_or(i64::MAX);
        (days, &self.name, self.number.as_deref())
    }
}

fn in_order<S: Serializer>(items: &[Item], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(sorted(items))
}

fn sorted(items: &[Item]) -> Vec<&Item> {
    let mut items: Vec<&Item> = items.iter().collect();
    items.sort_by_key(|item| item.place());
    items
}

pub fn run(args: &Args, session: &mut Session<'_>) -> Result<Outcome> {
    let report = match find(args, session) {
        Err(error) if args.nagios => {
            let failure = session.explain(&error);
            let mut outcome = Outcome::file(monitor::unknown(&failure.error));
            outcome.exit = Exit::Plugin(Plugin::Unknown);
            return Ok(outcome);
        }
        found => found?,
    };
    if args.nagios {
        let mut outcome = Outcome::file(monitor::nagios(&report));
        outcome.exit = Exit::Plugin(monitor::plugin(&report));
        return Ok(outcome);
    }
    if args.prometheus {
        return Ok(Outcome::file(monitor::prometheus(&report)));
    }
    let mut outcome = Outcome::long(&report, session.global.json)?;
    if let Some(screen) = session.context.screen
        && !session.global.json
    {
        outcome.draw(board::draw(&report, screen));
    }
    if report.attention {
        outcome.exit = Exit::Attention;
    }
    Ok(outcome)
}

fn find(args: &Args, session: &mut Session<'_>) -> Result<Report> {
    let store = session.open_store()?;
    let watch = Watch {
        store: &store,
        now: session.context.now(),
        notice: args.expiring,
    };
    let mut ca = watch.ca(&store.certificate, store.settings.certificate.clone());
    if ca.state > State::Ok && store.certificate.is_self_issued() {
        ca.remedy = Some(watch.renew_ca());
    }
    let above = store.issuers.iter();
    let issuers = above.map(|it| watch.ca(&it.certificate, it.path.clone()));
    let mut report = Report {
        changed: false,
        attention: false,
        at: watch.now,
        ca,
        issuers: issuers.collect(),
        crl: watch.crl()?,
        hosts: watch.hosts()?,
        directory: store.settings.root.clone(),
        lifetime: Duration::days(store.settings.default_days.into()),
    };
    report.attention = report.worst() > State::Ok;
    Ok(report)
}

struct Watch<'a> {
    store: &'a Store,
    now: OffsetDateTime,
    /// `--expiring`
    notice: Option<Duration>,
}

impl Watch<'_> {
    /// Something that is valid for a time, and judged by that alone.
    fn item(
        &self,
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
            label: text::one_line(&name),
            name,
            number: None,
            file: PathBuf::new(),
            from,
            until,
            days_left: until.map(|until| moment::days_from(self.now, until)),
            state: State::Ok,
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
            item.words = "not valid yet".into();
            item.fail(moment.before(from));
        } else if until < self.now {
            item.fail(moment.after(until));
        } else if left < notice {
            item.state = if left < notice / 4 {
                State::Critical
            } else {
                State::Warning
            };
            item.reason = Some(moment.until(until));
        }
        item
    }

    fn ca(&self, certificate: &Certificate, file: PathBuf) -> Item {
        let Certificate {
            not_before,
            not_after,
            subject,
            serial,
            ..
        } = certificate;
        let days = self.store.settings.default_days;
        let notice = Duration::days(days.into());
        let mut item = self.item(
            subject.to_string(),
            Some(*not_before),
            Some(*not_after),
            notice,
        );
        item.number = Some(serial.to_string());
        let short = subject.common_name().unwrap_or_else(|| item.name.clone());
        item.label = format!("CA {}", text::one_line(&short));
        if *not_after < self.now {
            item.add("; nothing that it signed is accepted any more");
        } else if item.state != State::Ok && *not_before <= self.now && self.notice.is_none() {
            item.add(&format!(
                "; new certificates would end before their {days} days (default_days)"
            ));
        }
        item.file = file;
        item
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

    fn crl(&self) -> Result<Item> {
        let store = self.store;
        let mut item = match store.crl() {
            Ok(Some(crl)) => self.present_crl(&crl)?,
            Ok(None) => self.missing_crl()?,
            Err(error) => {
                let path = store.settings.crl.clone();
                return Ok(self.unreadable("CRL", path, &error.into(), &["crl"]));
            }
        };
        item.file.clone_from(&store.settings.crl);
        if item.state != State::Ok {
            item.remedy = Some(self.mailca(&["crl"]));
        }
        Ok(item)
    }

    fn present_crl(&self, crl: &CertificateList) -> Result<Item> {
        let store = self.store;
        let (from, until) = (crl.this_update, crl.next_update);
        let notice = CRL.min(store.settings.crl_lifetime / 3);
        let mut item = self.item("CRL".into(), Some(from), until, notice);
        if item.state != State::Ok && from <= self.now {
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
            item.words = "of another CA".into();
            item.fail(format!("is of another CA, {}", crl.issuer));
        } else if let Some(fault) = store.crl_fault(crl)? {
            item.words = match fault {
                CrlFault::Entries { .. } => "incomplete".into(),
                CrlFault::Missing(_) | CrlFault::Differs(_) => "not published".into(),
            };
            item.fail(match fault {
                CrlFault::Entries { listed, recorded } if listed == recorded => {
                    "lists other certificates than the register has as revoked".into()
                }
                CrlFault::Entries { listed, recorded } => {
                    format!("lists {listed} revoked certificates, and the register has {recorded}")
                }
                CrlFault::Missing(path) => format!("is there, but {} is missing", path.display()),
                CrlFault::Differs(path) => format!("is another one than {}", path.display()),
            });
        }
        Ok(item)
    }

    fn missing_crl(&self) -> Result<Item> {
        let mut revoked = 0;
        self.store.each_line(|line| {
            revoked += usize::from(crate::store::index::is_revoked(line));
        })?;
        let mut item = self.item("CRL".into(), None, None, Duration::ZERO);
        item.words = "none".into();
        if revoked > 0 {
            let them = match revoked {
                1 => "1 certificate is".into(),
                _ => format!("{revoked} certificates are"),
            };
            item.fail(format!("is missing, and {them} revoked"));
        }
        Ok(item)
    }

    fn hosts(&self) -> Result<Vec<Item>> {
        let store = self.store;
        let mut items = Vec::new();
        let mut here = Vec::new();
        // From when to when a host is provided for, or what there is to say of it said.
        let mut known = HashMap::new();
        for host in store.hosts.list()? {
            match store.hosts.certificate(&host) {
                Ok(Some(certificate)) => here.push((host, certificate)),
                Ok(None) => {}
                Err(error) => {
                    let file = store.hosts.current(&host).join(CERT);
                    let words = ["issue", &host, "--replace"];
                    let mut item = self.unreadable(&host, file, &error.into(), &words);
                    item.host_files = Some(store.hosts.current(&host));
                    if general_name::host_name(&host).is_err() {
                        item.remedy = None;
                    }
                    items.push(item);
                    let always = PrimitiveDateTime::MAX.assume_utc();
                    known.insert(host, (always, always));
                }
            }
        }
        let statuses = store.statuses(here.iter().map(|(_, it)| &it.serial))?;
        for (host, certificate) in &here {
            let revoked = statuses.get(&certificate.serial);
            let revoked = revoked.and_then(Status::revocation_in_words);
            if revoked.is_none() {
                let life = (certificate.not_before, certificate.not_after);
                known.insert(certificate.title().to_lowercase(), life);
            }
            items.push(self.host_here(host, certificate, revoked));
        }
        // What ended long ago belongs to nobody any more.
        let since = self.now.saturating_sub(self.notice.unwrap_or(HOST));
        let last = selection::last_of_each_subject(store, since)?;
        items.reserve(last.size_hint().0);
        for one in last {
            let counts = match known.get(&one.host().to_lowercase()) {
                Some((from, until)) => {
                    *until < one.row.not_after && !self.began_before(&one, *from)?
                }
                None => true,
            };
            if counts {
                items.push(self.host_elsewhere(&one));
            }
        }
        Ok(items)
    }

    fn began_before(&self, one: &Selected, time: OffsetDateTime) -> Result<bool> {
        let certificate = self.store.issued(&one.row.serial)?;
        Ok(certificate.is_some_and(|it| it.not_before < time))
    }

    /// Something in a file that another one has to stand for, by `words` of mailca.
    fn unreadable(&self, name: &str, file: PathBuf, error: &Error, words: &[&str]) -> Item {
        let mut item = self.item(name.into(), None, None, Duration::ZERO);
        item.words = "unreadable".into();
        item.fail(format!("cannot be read: {error}"));
        let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
        // Others can read it.
        if !causes.any(FileError::is_denied) {
            item.remedy = Some(report::in_place_of(&file, &self.mailca(words)));
        }
        item.file = file;
        item
    }

    fn host_here(&self, host: &str, certificate: &Certificate, revoked: Option<&str>) -> Item {
        let folder = self.store.hosts.current(host);
        let (from, until) = (certificate.not_before, certificate.not_after);
        let mut item = self.host(certificate.title(), Some(from), until);
        item.number = Some(certificate.serial.to_string());
        if item.state != State::Ok {
            item.remedy = Some(self.renew(&item, &[host]));
        }
        if let Some(revoked) = revoked {
            item.words = "revoked".into();
            item.fail(format!("was revoked on {revoked}"));
            item.remedy = Some(self.mailca(&["issue", host, "--replace"]));
        }
        item.file = folder.join(CERT);
        item.host_files = Some(folder);
        item
    }

    fn host_elsewhere(&self, one: &Selected) -> Item {
        let until = one.row.not_after;
        // The register does not say when it began.
        let from = one.certificate.as_ref().map(|it| it.not_before);
        let name = one.host();
        let mut item = self.host(name, from, until);
        item.number = Some(one.row.serial.to_string());
        item.file = self.store.certificate_path(&one.row.serial);
        if item.state != State::Ok {
            // Not less than that time.
            let most = item.notice.saturating_add(ALMOST_A_DAY);
            let days = format!("{}d", most.whole_days());
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
        self.item(name, from, Some(until), HOST.min(lifetime / 3))
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
        report::invocation(&self.store.settings.root, words)
    }
}

impl Item {
    /// What is wrong now.
    fn fail(&mut self, reason: String) {
        self.state = State::Critical;
        self.reason = Some(reason);
    }

    fn add(&mut self, more: &str) {
        if let Some(reason) = &mut self.reason {
            reason.push_str(more);
        }
    }

    /// The same as a sentence.
    fn sentence(&self) -> Option<String> {
        let reason = self.reason.as_ref()?;
        Some(format!("{} {}", self.label, text::sentence(reason)))
    }
}

fn in_words(now: OffsetDateTime, until: OffsetDateTime) -> String {
    let distance = moment::between(now, until);
    if until < now {
        format!("ended {distance} ago")
    } else {
        format!("{distance} left")
    }
}

// Most text is ASCII, of which each character takes a column.
fn display_width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        textwrap::core::display_width(text)
    }
}

/// The columns that a column of a table needs.
fn width(items: &[&Item], column: fn(&Item) -> &str) -> usize {
    let widths = items.iter().map(|item| display_width(column(item)));
    widths.max().unwrap_or_default()
}

fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(display_width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// How many of how many need attention.
fn summary(all: &[&Item]) -> String {
    let total = all.len();
    match all.iter().filter(|item| item.state > State::Ok).count() {
        0 => "nothing needs attention".into(),
        1 => format!("1 of {total} needs attention"),
        some => format!("{some} of {total} need attention"),
    }
}

/// What to do about each thing that needs attention.
fn write_remedies(all: &[&Item], f: &mut impl fmt::Write) -> fmt::Result {
    for item in all {
        let Some(sentence) = item.sentence() else {
            continue;
        };
        writeln!(f, "{sentence}")?;
        if let Some(remedy) = &item.remedy {
            writeln!(f, "next: {remedy}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        let all = self.by_urgency();
        writeln!(f, "{directory}: {}", summary(&all))?;
        let (label, words) = (
            width(&all, |item| &item.label),
            width(&all, |item| &item.words),
        );
        for item in &all {
            let end = item.until.map_or_else(String::new, report::date);
            let line = format!(
                "{:8}  {}  {}  {end}",
                item.state.as_str(),
                pad(&item.label, label),
                pad(&item.words, words)
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        write_remedies(&all, f)
    }
}
