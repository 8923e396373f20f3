//! The status for monitoring systems.

use std::fmt::Write as _;

use time::OffsetDateTime;

use crate::commands::overview::Overview;
use crate::commands::overview::item::{Item, Urgency};
use crate::exit::Plugin;
use crate::pki::text;

/// The most things that one line names.
const NAMED: usize = 5;

/// The service state of it all.
pub fn plugin(urgency: Urgency) -> Plugin {
    match urgency {
        Urgency::Ok => Plugin::Ok,
        Urgency::Warning => Plugin::Warning,
        Urgency::Critical => Plugin::Critical,
    }
}

/// One line, then the time left as performance data: of the CA, the CRL, and the host that ends
/// first (Monitoring Plugins Development Guidelines, "Plugin Output for Nagios").
pub fn nagios(overview: &Overview) -> String {
    let all = overview.by_urgency();
    let urgent: Vec<String> = all.iter().filter_map(|item| item.sentence()).collect();
    let state = match plugin(overview.urgency()) {
        Plugin::Ok => "OK",
        Plugin::Warning => "WARNING",
        Plugin::Critical => "CRITICAL",
        Plugin::Unknown => "UNKNOWN",
    };
    let first = overview.hosts.iter().min_by_key(|host| host.until);
    let mut words = match (&urgent[..], first) {
        ([], None) => "no hosts".into(),
        ([], Some(first)) => format!("{} ends first, {}", first.label, first.words),
        (some, _) => some[..some.len().min(NAMED)].join("; "),
    };
    if urgent.len() > NAMED {
        let _ = write!(words, "; and {} more", urgent.len() - NAMED);
    }
    let counted = [
        ("ca", Some(&overview.ca)),
        ("crl", Some(&overview.crl)),
        ("host", first),
    ];
    let data: Vec<String> = counted
        .into_iter()
        .filter_map(|(label, item)| seconds_left(label, item?, overview.at))
        .collect();
    line(state, &words, &data.join(" "))
}

/// What a monitoring system is told where nothing is known but why.
#[must_use]
pub fn unknown(why: &str) -> String {
    line("UNKNOWN", why, "")
}

fn line(state: &str, words: &str, data: &str) -> String {
    // A bar ends the words.
    let words = text::sentence(words).replace('|', "/");
    let bar = if data.is_empty() { "" } else { " | " };
    format!("MAILCA {state}: {words}{bar}{data}\n")
}

fn seconds_left(label: &str, item: &Item, now: OffsetDateTime) -> Option<String> {
    let left = (item.until? - now).whole_seconds();
    let notice = item.notice.whole_seconds();
    Some(format!("{label}={left}s;{notice}:;{}:", notice / 4))
}

/// The text format of Prometheus
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
pub fn prometheus(overview: &Overview) -> String {
    let directory = escaped(&overview.directory.to_string_lossy());
    let all: Vec<(String, &Item)> = overview
        .by_kind()
        .map(|item| {
            let (kind, name) = (item.kind.as_str(), escaped(&item.name));
            let number = item.number.as_deref().unwrap_or_default();
            let labels = format!(
                "directory=\"{directory}\",kind=\"{kind}\",name=\"{name}\",number=\"{number}\""
            );
            (labels, item)
        })
        .collect();
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, values: &dyn Fn(&Item) -> Option<i64>| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, item) in &all {
            if let Some(value) = values(item) {
                let _ = writeln!(out, "{name}{{{labels}}} {value}");
            }
        }
    };
    gauge(
        "mailca_state",
        "How much attention it needs: 0 none, 1 it is about to end, 2 it has ended or is useless.",
        &|item| Some(item.urgency as i64),
    );
    gauge(
        "mailca_end_timestamp_seconds",
        "When it ends: notAfter of a certificate, nextUpdate of the CRL.",
        &|item| item.until.map(OffsetDateTime::unix_timestamp),
    );
    let now = overview.at.unix_timestamp();
    let _ = write!(
        out,
        "# HELP mailca_status_timestamp_seconds When mailca looked.\n\
         # TYPE mailca_status_timestamp_seconds gauge\n\
         mailca_status_timestamp_seconds{{directory=\"{directory}\"}} {now}\n"
    );
    out
}

// As label values are written.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
