//! Everything that ends, and how it is told in words: what `status` and `check` have in common.

pub mod item;
mod watch;

use std::cmp::Reverse;
use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Serialize, Serializer};
use time::{Duration, OffsetDateTime};

use self::item::{Item, Kind, Urgency};
use self::watch::Watch;
use super::session::Session;
use crate::report;
use crate::store::Store;

/// No column of a table is wider, however long a name is.
const WIDEST: usize = 64;

#[derive(Serialize)]
pub struct Overview {
    pub changed: bool,
    pub attention: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub ca: Item,
    /// those above the CA, as far as they are here
    pub issuers: Vec<Item>,
    /// where it is damaged
    pub register: Option<Item>,
    pub crl: Item,
    #[serde(serialize_with = "in_order")]
    pub hosts: Vec<Item>,
    #[serde(skip)]
    pub directory: PathBuf,
    /// the lifetime of a certificate where nobody knows it
    #[serde(skip)]
    pub lifetime: Duration,
}

impl Overview {
    /// Looks at a CA. `notice` is how long before its end something needs attention, where that is
    /// not left to mailca.
    pub fn of(store: &Store, session: &Session<'_>, notice: Option<Duration>) -> Result<Self> {
        let watch = Watch {
            store,
            now: session.context.now(),
            notice,
        };
        watch.overview()
    }

    fn all(&self) -> impl Iterator<Item = &Item> {
        let own = [&self.ca, &self.crl].into_iter();
        own.chain(&self.register)
            .chain(&self.issuers)
            .chain(&self.hosts)
    }

    /// How urgent the most urgent thing is.
    pub fn urgency(&self) -> Urgency {
        let all = self.all().map(|item| item.urgency);
        all.max().unwrap_or(Urgency::Ok)
    }

    /// Everything, the most urgent first.
    pub fn by_urgency(&self) -> Vec<&Item> {
        let mut all: Vec<&Item> = self.all().collect();
        // Nothing can be signed with a damaged register, and what is signed ends with the CA.
        let order = |item: &Item| match item.kind {
            _ if item.urgency == Urgency::Ok => 2,
            Kind::Register => 0,
            Kind::Ca => 1,
            _ => 2,
        };
        let rank = |item: &Item| (Reverse(item.urgency), order(item));
        all.sort_by(|a, b| {
            let by_rank = rank(a).cmp(&rank(b));
            by_rank.then_with(|| a.place().cmp(&b.place()))
        });
        all
    }

    /// Everything, a kind after the other.
    pub fn by_kind(&self) -> impl Iterator<Item = &Item> {
        let hosts = sorted(&self.hosts);
        let own = [&self.ca].into_iter().chain(&self.issuers);
        own.chain(&self.register).chain([&self.crl]).chain(hosts)
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

// Most text is ASCII, of which each character takes a column.
pub fn display_width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        textwrap::core::display_width(text)
    }
}

/// The columns that a column of a table needs.
pub fn width(items: &[&Item], column: fn(&Item) -> &str) -> usize {
    let widths = items.iter().map(|item| display_width(column(item)));
    widths.max().unwrap_or_default().min(WIDEST)
}

pub fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(display_width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// How many of how many need attention.
pub fn summary(items: &[&Item]) -> String {
    let total = items.len();
    let urgent = items.iter().filter(|item| item.urgency > Urgency::Ok);
    match urgent.count() {
        0 => "nothing needs attention".into(),
        1 => format!("1 of {total} needs attention"),
        some => format!("{some} of {total} need attention"),
    }
}

/// What to do about each thing that needs attention.
pub fn write_remedies(items: &[&Item], f: &mut impl fmt::Write) -> fmt::Result {
    for item in items {
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

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        let all = self.by_urgency();
        writeln!(f, "{directory}: {}", summary(&all))?;
        let label = width(&all, |item| &item.label);
        let words = width(&all, |item| &item.words);
        for item in &all {
            let end = item.until.map_or_else(String::new, report::date);
            let line = format!(
                "{:8}  {}  {}  {end}",
                item.urgency.as_str(),
                pad(&item.label, label),
                pad(&item.words, words)
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        write_remedies(&all, f)
    }
}
