//! `mailca renew-ca --new-key`: the CA goes on under another key, and the old one is kept.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::{Concerned, Report, certificate, hosts, notes, serial};
use crate::cli::RenewCa;
use crate::commands::issuance::Refusal;
use crate::commands::new_crl::{self, NewCrl};
use crate::commands::review::Review;
use crate::commands::session::Session;
use crate::pki::general_name;
use crate::pki::key::PrivateKey;
use crate::pki::renewal::Renewal;
use crate::report::{self, Outcome};
use crate::store::Store;
use crate::store::register::{Holders, Recorded};
use crate::sys::files;

/// What is told of the new key.
#[derive(Serialize)]
pub(super) struct NewKey {
    private_key: PathBuf,
    key: String,
    encrypted: bool,
    /// the old key, if there was any
    kept: Option<PathBuf>,
    crl: Option<NewCrl>,
    /// the last CRL by the old key, if there was any
    kept_crl: Option<PathBuf>,
    /// the old CA certificate
    #[serde(skip)]
    kept_certificate: PathBuf,
}

pub(super) fn run(
    args: &RenewCa,
    session: &mut Session<'_>,
    store: &Store,
    renewal: Renewal,
) -> Result<Outcome> {
    let now = session.context.now();
    let not_after = now.saturating_add(Duration::days(args.days.into()));
    let has_key = store.key_to_keep()?.is_some();
    let mut concerned = hosts(store, now)?;
    confirm(args, session, store, &renewal, &concerned, not_after)?;
    let passphrase = if args.no_passphrase {
        None
    } else {
        Some(session.new_passphrase()?)
    };
    let key = PrivateKey::generate(args.key_type.unwrap_or_default())?;
    let pem = match &passphrase {
        Some(passphrase) => key.to_encrypted_pem(passphrase)?,
        None => key.to_pem()?,
    };
    let public = key.subject_public_key_info();
    let renewal = renewal.with_key(public)?;
    let mut transaction = store.begin(session.wait())?;
    let fresh = session.reopen_store()?;
    if fresh.certificate.as_der() != store.certificate.as_der() {
        bail!(Refusal::ChangedMeanwhile(store.settings.root.clone()));
    }
    let serial = serial(session, &fresh)?;
    let signer = (&key, public);
    let new = certificate(store, signer, &serial, &renewal, (now, not_after))?;
    transaction.replace_ca_key(&new, &pem)?;
    let kept_crl = files::exists(&store.settings.crl);
    let crl = if fresh.needs_crl()? {
        let issuer = (&new, &key);
        let crl = new_crl::stage_by(issuer, &fresh, &mut transaction, now, None)?;
        Some(crl)
    } else {
        None
    };
    transaction.settle()?.commit(&[], &Holders::none(&fresh)?)?;
    // Not of the key itself: all of them are.
    concerned.bound_hosts.clear();
    concerned.ending_with_it = 0;
    let old = &store.certificate;
    let new_key = NewKey {
        private_key: store.settings.private_key.clone(),
        key: key.kind().to_string(),
        encrypted: passphrase.is_some(),
        kept: has_key.then(|| store.kept_key_path(&old.serial)),
        crl,
        kept_crl: kept_crl.then(|| store.kept_crl_path(&old.serial)),
        kept_certificate: store.kept_path(&old.serial),
    };
    Ok(Outcome::of(&Report {
        changed: true,
        serial: new.serial.to_string(),
        subject: new.subject.to_string(),
        not_before: new.not_before,
        not_after: new.not_after,
        certificate: store.settings.certificate.clone(),
        renews: old.serial.to_string(),
        kept: store.kept_path(&old.serial),
        added: renewal.added,
        dropped: renewal.dropped,
        next: next(store, &concerned, now)?,
        old_end: old.not_after,
        concerned,
        new_key: Some(new_key),
    })?)
}

fn confirm(
    args: &RenewCa,
    session: &mut Session<'_>,
    store: &Store,
    renewal: &Renewal,
    concerned: &Concerned,
    not_after: OffsetDateTime,
) -> Result<()> {
    let old = &store.certificate;
    let mut notes = notes(renewal);
    let kept = store.kept_key_path(&old.serial);
    notes.push(format!("the old key is kept in {}", kept.display()));
    let total = concerned.hosts_total;
    if total > 0 {
        let need = match total {
            1 => "the host with a valid certificate needs another one".to_owned(),
            _ => format!("each of the {total} hosts with a valid certificate needs another one"),
        };
        notes.push(format!(
            "{need}, and whoever talks to them has to trust the old and the new CA certificate \
             until then"
        ));
    }
    if session.global.yes {
        for note in &notes {
            session.note(note);
        }
    }
    let review = |width| {
        let mut review = Review::new(width);
        let mut field = |label: &str, value: &str| review.field(label, value);
        field("CA", &old.subject.to_string());
        field("Directory", &store.settings.root.display().to_string());
        let end = report::date(old.not_after);
        field("Old", &format!("{}, valid until {end}", old.serial));
        let (key_type, end) = (args.key_type.unwrap_or_default(), report::date(not_after));
        let new = format!("a new key ({key_type}), the same name, valid until {end}");
        field("New", &new);
        for note in &notes {
            field("Note", note);
        }
        review.finish()
    };
    session.confirm(review, "Make another key for the CA?")
}

// What is to be done, in its order.
fn next(store: &Store, concerned: &Concerned, now: OffsetDateTime) -> Result<Vec<String>> {
    let mut next = Vec::new();
    if concerned.hosts_total == 0 {
        return Ok(next);
    }
    let (new, old) = (
        &store.settings.certificate,
        store.kept_path(&store.certificate.serial),
    );
    let (new, old) = (new.to_string_lossy(), old.to_string_lossy());
    let both = store.settings.root.join("both.pem");
    next.push(format!(
        "let every host trust both, by a file that holds both: {} > {}",
        report::shell_line(&["cat", &new, &old]),
        report::shell_line(&[&both.to_string_lossy()])
    ));
    let is_host = |name: &String| general_name::host_name(name).is_ok();
    let hosts = &concerned.hosts;
    let window;
    let mut words = vec!["renew"];
    // All of them are named, since what ended lately would be renewed by its end too.
    if concerned.hosts_total == hosts.len() && hosts.iter().all(is_host) {
        words.extend(hosts.iter().map(String::as_str));
    } else {
        window = format!("{}d", days_of_the_last(store, now)?);
        words.extend(["--expiring", &window]);
    }
    if store.unique_subject {
        words.push("--revoke-old");
    }
    next.push(format!(
        "then give each a certificate of the new key: {}",
        report::invocation(store, &words)
    ));
    Ok(next)
}

// Until the last of the certificates ends.
fn days_of_the_last(store: &Store, now: OffsetDateTime) -> Result<i64> {
    let mut last = now;
    store.each_line(|line| {
        let row = Recorded::parse(line).filter(|row| row.revocation.is_none());
        last = row.map_or(last, |row| last.max(row.not_after));
    })?;
    Ok((last - now).whole_days() + 1)
}

impl fmt::Display for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encrypted = if self.encrypted {
            "encrypted"
        } else {
            "not encrypted"
        };
        let (path, key) = (self.private_key.display(), &self.key);
        writeln!(f, "  private key  {path}, {key}, {encrypted}")?;
        if let Some(kept) = &self.kept {
            writeln!(f, "  the old one  {}", kept.display())?;
        }
        if let Some(crl) = &self.crl {
            write!(f, "{crl}")?;
        }
        if let Some(kept) = &self.kept_crl {
            writeln!(f, "  the old one  {}", kept.display())?;
        }
        let old = self.kept_certificate.display();
        writeln!(
            f,
            "certificates issued so far verify with {old} only, which has a link under its hash"
        )
    }
}
