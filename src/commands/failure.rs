//! Errors in words: the sentence comes from the module that failed, the hint from here.

use std::path::Path;

use anyhow::Error;

use super::access::AccessError;
use super::emit::server::EmitServerError;
use super::emit::systemd::EmitSystemdError;
use super::export::{ExportRefusal, OwnerError, Pkcs12Refusal};
use super::issuance::Refusal;
use super::issue::IssueRefusal;
use super::new_crl::CrlRefusal;
use super::output::OutputError;
use super::renew::RenewRefusal;
use super::renew_ca::RenewCaRefusal;
use super::repair::RepairRefusal;
use super::req::RequestRefusal;
use super::revoke::RevokeRefusal;
use super::selection::SelectionError;
use super::sendmail_files::SendmailFileError;
use super::servers::emit_invocation;
use super::session::AnswerError;
use super::sign::SignError;
use super::verify::VerifyError;
use crate::cli::STANDARD_CA;
use crate::exit::Exit;
use crate::mta::LinesError;
use crate::pki::asn1_time;
use crate::pki::key::{KeyError, Reader};
use crate::pki::name::NameError;
use crate::pki::policy::PolicyError;
use crate::pki::public_key::BadKey;
use crate::pki::request::RequestError;
use crate::pki::revocation::{Reason, Revocation};
use crate::pki::signature::SignatureError;
use crate::pki::text;
use crate::report::{Failure, Place, in_place_of, invocation, shell_line};
use crate::store::StoreError;
use crate::store::create::CreateError;
use crate::store::hosts::HostError;
use crate::store::journal::JournalError;
use crate::store::layout::{self, Layout};
use crate::store::register::RegisterError;
use crate::store::settings::{Settings, SettingsError};
use crate::store::transaction::TransactionError;
use crate::sys::files::{self, Exposed, FileError};
use crate::sys::lock::LockError;
use crate::sys::prompt::PromptError;
use crate::systemd::UnitError;

/// Puts an error of a command in the CA directory `ca` into one sentence, with what to do about it.
#[must_use]
pub fn explain(error: &Error, ca: Place<'_>) -> Failure {
    let recorded = error.chain().any(is_done_in_part);
    Failure {
        error: sentence(error),
        hint: error.chain().find_map(|cause| hint(cause, ca)),
        exit: match error.downcast_ref() {
            _ if recorded => Exit::Attention,
            _ if error.is::<RevokeRefusal>() => Exit::Usage,
            Some(
                SignError::OneOutput
                | SignError::StandardInputAmongOthers
                | SignError::StandardInputTwice,
            ) => Exit::Usage,
            _ => Exit::Refused,
        },
        changed: recorded,
    }
}

// Transparent errors repeat their source's words: only what adds something is kept.
fn sentence(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = cause.to_string();
        if text.is_empty() {
            text = words;
        } else if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
    }
    text::shorten(&text.lines().collect::<Vec<_>>().join(" ")).into()
}

fn is_done_in_part(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(TransactionError::Pending(_)))
        || matches!(cause.downcast_ref(), Some(JournalError::Unknown(_)))
        || matches!(cause.downcast_ref(), Some(OutputError::Unwritten { .. }))
}

type Cause = dyn std::error::Error + 'static;

fn hint(cause: &Cause, ca: Place<'_>) -> Option<String> {
    None.or_else(|| cause.downcast_ref().and_then(answer))
        .or_else(|| cause.downcast_ref().and_then(|error| store(error, ca)))
        .or_else(|| cause.downcast_ref().and_then(host))
        .or_else(|| cause.downcast_ref().and_then(settings))
        .or_else(|| cause.downcast_ref().and_then(create))
        .or_else(|| {
            let error = cause.downcast_ref();
            error.and_then(|error| transaction(error, ca))
        })
        .or_else(|| cause.downcast_ref().and_then(|error| register(error, ca)))
        .or_else(|| cause.downcast_ref().and_then(journal))
        .or_else(|| cause.downcast_ref().and_then(lock))
        .or_else(|| cause.downcast_ref().map(|error| refusal(error, ca)))
        .or_else(|| cause.downcast_ref().map(|error| issue(error, ca)))
        .or_else(|| cause.downcast_ref().map(|error| renew(error, ca)))
        .or_else(|| cause.downcast_ref().map(renew_ca))
        .or_else(|| cause.downcast_ref().map(|error| repair(error, ca)))
        .or_else(|| cause.downcast_ref().and_then(request_refusal))
        .or_else(|| cause.downcast_ref().and_then(|error| sign(error, ca)))
        .or_else(|| {
            let error = cause.downcast_ref();
            error.and_then(|error| selection(error, ca))
        })
        .or_else(|| cause.downcast_ref().map(|error| access(error, ca)))
        .or_else(|| cause.downcast_ref().map(|error| export(error, ca)))
        .or_else(|| cause.downcast_ref().map(owner))
        .or_else(|| cause.downcast_ref().map(|error| pkcs12(error, ca)))
        .or_else(|| cause.downcast_ref().and_then(revoke))
        .or_else(|| cause.downcast_ref().map(|error| crl(error, ca)))
        .or_else(|| cause.downcast_ref().map(output))
        .or_else(|| cause.downcast_ref().and_then(request))
        .or_else(|| cause.downcast_ref().and_then(policy))
        .or_else(|| cause.downcast_ref().and_then(key))
        .or_else(|| cause.downcast_ref().and_then(|error| emit(error, ca)))
        .or_else(|| cause.downcast_ref().and_then(lines))
        .or_else(|| cause.downcast_ref().map(|error| emit_systemd(error, ca)))
        .or_else(|| cause.downcast_ref().and_then(unit))
        .or_else(|| {
            cause
                .downcast_ref()
                .and_then(|error| sendmail_file(error, ca))
        })
        .or_else(|| cause.downcast_ref().and_then(verify))
        .or_else(|| cause.downcast_ref().and_then(prompt))
        .or_else(|| cause.downcast_ref().map(exposed))
        .or_else(|| cause.downcast_ref().and_then(name))
        .or_else(|| cause.downcast_ref().and_then(file))
}

fn answer(error: &AnswerError) -> Option<String> {
    match error {
        AnswerError::NoTerminal { option, .. } => Some(format!("give {option}")),
        AnswerError::NodeName(_) => Some("name the host, such as mail.example.com".into()),
        AnswerError::ForeignKey { certificate, .. } => Some(format!(
            "put back the key that {} was made with",
            certificate.display()
        )),
        AnswerError::Declined => None,
    }
}

fn store(error: &StoreError, ca: Place<'_>) -> Option<String> {
    match error {
        StoreError::NoCa { root, config, .. } => Some(no_ca(root, config.as_deref())),
        StoreError::Certificate { path, .. } => {
            let path = path.display();
            Some(format!("put the CA's certificate into {path}, as PEM"))
        }
        StoreError::NoKey(path) => {
            let path = path.display();
            Some(format!("put the CA's private key into {path}"))
        }
        StoreError::Key { path, source } => match source {
            KeyError::Unsupported { reader, .. } => conversion(path, *reader, "-aes256"),
            KeyError::CannotSign { .. } => Some(invocation(ca, &["renew-ca", "--new-key"])),
            _ => None,
        },
        _ => None,
    }
}

// Where there is something like a CA, its settings say where its files are.
fn no_ca(root: &Path, config: Option<&Path>) -> String {
    if let Some(config) = config {
        let config = config.display();
        return format!("put it there, or change the path in {config}");
    }
    if let Some(found) = layout::settings_in(root) {
        let place = Place {
            ca: root,
            config: Some(&found),
        };
        return format!("try {}", invocation(place, &["status"]));
    }
    if layout::is_like_ca(root) {
        let layout = Layout::of(root).unwrap_or(&layout::STANDARD);
        return format!("say where it is: {}", settings_for(root, layout));
    }
    let make = shell_line(&["mailca", "init", &root.to_string_lossy()]);
    format!("make one with {make}, or name another with --ca DIR")
}

// The command that writes an openssl.cnf for a CA with these names.
fn settings_for(root: &Path, layout: &Layout) -> String {
    let file = root.join("openssl.cnf");
    let file = shell_line(&[&file.to_string_lossy()]);
    format!("{} > {file}", settings_lines(layout))
}

fn settings_lines(layout: &Layout) -> String {
    let path = |name: &str, value: &str| format!("{name} = $dir/{value}");
    let lines = [
        "[ca]".into(),
        "default_ca = CA_default".into(),
        "[CA_default]".into(),
        "dir = .".into(),
        path("certificate", layout.certificate),
        path("private_key", layout.private_key),
        path("database", layout.database),
        path("serial", layout.serial),
        path("crlnumber", layout.crl_number),
        path("new_certs_dir", layout.new_certs_dir),
        path("crl", layout.crl),
        "default_md = default".into(),
    ];
    let lines = lines.iter().map(String::as_str);
    let words: Vec<&str> = ["printf", "%s\\n"].into_iter().chain(lines).collect();
    shell_line(&words)
}

fn host(error: &HostError) -> Option<String> {
    match error {
        HostError::Key { path, source } => match source {
            KeyError::Unsupported { reader, .. } => conversion(path, *reader, ""),
            // mailca reads it, but has nobody to ask when a server starts.
            KeyError::PassphraseRequired => conversion(path, Reader::Openssl, ""),
            _ => None,
        },
        _ => None,
    }
}

// The command that puts a key into a form that mailca reads, and keeps it as it was beside it.
fn conversion(path: &Path, reader: Reader, cipher: &str) -> Option<String> {
    let mut words = openssl_pkey(reader)?;
    words.extend(Some(cipher).filter(|cipher| !cipher.is_empty()));
    let path = path.to_string_lossy();
    let (new, old) = (format!("{path}.new"), format!("{path}.old"));
    words.extend(["-in", &path, "-out", &new]);
    let (convert, keep, place) = (
        shell_line(&words),
        shell_line(&["mv", &path, &old]),
        shell_line(&["mv", &new, &path]),
    );
    Some(format!("(umask 077; {convert}) && {keep} && {place}"))
}

fn openssl_pkey(reader: Reader) -> Option<Vec<&'static str>> {
    let legacy = ["-provider", "legacy", "-provider", "default"];
    match reader {
        Reader::Openssl => Some(vec!["openssl", "pkey"]),
        Reader::OpensslLegacy => Some([&["openssl", "pkey"], &legacy[..]].concat()),
        Reader::Nobody => None,
    }
}

fn settings(error: &SettingsError) -> Option<String> {
    match error {
        SettingsError::Ambiguous { root, layouts } => {
            let first = layouts.first()?;
            Some(format!("say which it is: {}", settings_for(root, first)))
        }
        SettingsError::Elsewhere { leads_to, .. } => Some(format!(
            "say --ca {}, or change dir in the file",
            leads_to.display()
        )),
        SettingsError::NoDefaultCa(_) => {
            Some("add the section of a CA, or move the file away to use the standard names".into())
        }
        _ => None,
    }
}

fn create(error: &CreateError) -> Option<String> {
    match error {
        CreateError::Exists { .. } => {
            Some("choose another directory; init never overwrites".into())
        }
        _ => None,
    }
}

fn transaction(error: &TransactionError, ca: Place<'_>) -> Option<String> {
    match error {
        TransactionError::Missing { .. } => Some(invocation(ca, &["repair"])),
        TransactionError::Pending(_) | TransactionError::Recovery(_) => {
            Some("mend the cause; the next mailca command that writes finishes it".into())
        }
        TransactionError::RequestHoldsKey(_) => {
            let sign = invocation(ca, &["sign"]);
            Some(format!("sign it first ({sign}), then move it away"))
        }
        TransactionError::OtherKeyKept(path) => {
            let path = path.to_string_lossy();
            Some(shell_line(&["mv", &path, &format!("{path}.old")]))
        }
        TransactionError::Serial { .. } => {
            Some("put the next serial number into it, in hexadecimal digits".into())
        }
        _ => None,
    }
}

fn register(error: &RegisterError, ca: Place<'_>) -> Option<String> {
    match error {
        RegisterError::NotUnique { serial, .. } => {
            let revoke = invocation(ca, &["revoke", serial, "--reason", "superseded"]);
            Some(format!(
                "{revoke}, or say unique_subject = no in index.txt.attr"
            ))
        }
        RegisterError::LostRows { path, rows } => {
            // As printf(1) reads it, since a tab does not survive being copied from a terminal.
            let rows: String = rows
                .iter()
                .map(|row| {
                    row.replace('\\', "\\\\")
                        .replace('%', "%%")
                        .replace('\t', "\\t")
                        + "\\n"
                })
                .collect();
            let print = shell_line(&["printf", &rows]);
            let file = shell_line(&[&path.to_string_lossy()]);
            Some(format!("put back what is not revoked: {print} >> {file}"))
        }
        RegisterError::SerialTwice { serial, .. } => Some(format!(
            "revoke the number and issue both again: {}",
            openssl_revoke(ca, serial)
        )),
        RegisterError::NotARow { .. } => Some(invocation(ca, &["repair"])),
        RegisterError::LostRevocation {
            serial, revocation, ..
        } => Some(format!(
            "put it back, revoked on {revocation}: {}",
            revocation_again(ca, serial, revocation)
        )),
        RegisterError::BadRevocation { .. } => {
            Some("write it as date,reason with a reason that openssl ca knows".into())
        }
        RegisterError::Crl { path, .. } => {
            let command = in_place_of(path, &invocation(ca, &["crl"]));
            Some(format!("move it away, then publish another: {command}"))
        }
        RegisterError::NoRow { .. }
        | RegisterError::AlreadyRevoked { .. }
        | RegisterError::Name(_)
        | RegisterError::File(_) => None,
    }
}

/// The command that puts a revocation back which the register has lost.
#[must_use]
pub fn revocation_again(ca: Place<'_>, serial: &str, revocation: &Revocation) -> String {
    openssl_revoke(ca, serial) + &openssl_reason(revocation)
}

fn openssl_revoke(ca: Place<'_>, serial: &str) -> String {
    let enter = shell_line(&["cd", &ca.ca.to_string_lossy()]);
    let settings = Settings::read(ca.ca, ca.config, &|_| None).ok();
    let file = settings.as_ref().map(|it| it.kept_certificate(serial));
    let file = file.unwrap_or_else(|| ca.ca.join(format!("newcerts/{serial}.pem")));
    let own = ca.ca.join("openssl.cnf");
    let config = ca.config.unwrap_or(&own);
    let from_there = |path: &Path| match path.strip_prefix(ca.ca) {
        Ok(below) => below.to_owned(),
        Err(_) => files::absolute(path).unwrap_or_else(|_| path.to_owned()),
    };
    let revoke = |config: &Path| {
        let (config, file) = (config.to_string_lossy(), from_there(&file));
        let file = file.to_string_lossy();
        shell_line(&["openssl", "ca", "-config", &config, "-revoke", &file])
    };
    match settings.filter(|it| it.file.is_none()) {
        Some(settings) => {
            let lines = settings_lines(settings.layout());
            let revoke = revoke(Path::new("/dev/stdin"));
            format!("{enter} && {lines} | {revoke}")
        }
        None => format!("{enter} && {}", revoke(&from_there(config))),
    }
}

// The options of `openssl ca -revoke` that say why.
fn openssl_reason(revocation: &Revocation) -> String {
    let since = revocation.compromised_at.map(asn1_time::format_generalized);
    match (revocation.reason, since) {
        (Reason::Unspecified, _) => String::new(),
        (Reason::KeyCompromise, Some(since)) => format!(" -crl_compromise {since}"),
        (Reason::CaCompromise, Some(since)) => format!(" -crl_CA_compromise {since}"),
        (reason, _) => format!(" -crl_reason {reason}"),
    }
}

fn journal(error: &JournalError) -> Option<String> {
    match error {
        JournalError::Unknown(_) => Some(
            "check the disk; the next mailca command that writes finds out and finishes it".into(),
        ),
        _ => None,
    }
}

fn lock(error: &LockError) -> Option<String> {
    match error {
        LockError::Held { waited, .. } => Some(format!(
            "wait longer with --wait {}",
            (waited.as_secs() * 4).max(120)
        )),
        LockError::File(_) => None,
    }
}

const SHORTER_NAME: &str = "name a shorter one first, and this one after it by --san";

fn name(error: &NameError) -> Option<String> {
    match error {
        NameError::Length { attribute, .. } if attribute == "CN" => Some(SHORTER_NAME.into()),
        _ => None,
    }
}

fn refusal(error: &Refusal, ca: Place<'_>) -> String {
    match error {
        Refusal::CaExpired { .. } => invocation(ca, &["renew-ca"]),
        Refusal::CaNotYetValid { .. } => {
            "set this machine's clock if it is wrong (date -u shows it), or wait".into()
        }
        Refusal::NotCa { path, .. } => {
            format!("put the CA's own certificate into {}", path.display())
        }
        Refusal::CannotSign { is_root: true, .. } => invocation(ca, &["renew-ca", "--new-key"]),
        Refusal::CannotSign { path, .. } => {
            let path = path.display();
            format!("have the CA above certify another key, for {path}")
        }
        Refusal::IssuerExpired { certs, .. } => {
            let certs = certs.display();
            format!("put the new certificate of that CA into {certs}")
        }
        Refusal::Useless { .. } => {
            "have the CA's own key certified again, without what stands in the way".into()
        }
        Refusal::NotForProfile { instead, .. } => match instead {
            Some(profile) => format!("sign with --profile {profile}"),
            None => "have the CA's own key certified again, without extendedKeyUsage".into(),
        },
        Refusal::CaKey | Refusal::CompromisedKey(_) => "make another key: mailca req HOST".into(),
        Refusal::NoName(_) => "name the host with --san mail.example.com".into(),
        Refusal::BadName(_) => "name the host with --san, or ask for a new request".into(),
        Refusal::LongName { .. } => SHORTER_NAME.into(),
        Refusal::OutlivesCa { .. } => {
            "leave out --days or --not-after to get the longest that is possible".into()
        }
        Refusal::EndsBeforeItBegins { .. } => {
            "say an earlier --not-before, or a later --not-after".into()
        }
        Refusal::TooEarly(_) => "say a later --not-before".into(),
        Refusal::NoPlace(path) => {
            let make = shell_line(&["mkdir", &path.to_string_lossy()]);
            format!("make it ({make}), or change openssl.cnf")
        }
        Refusal::OutOfBounds { .. } => {
            "leave the name out, or have it certified by a CA for that domain".into()
        }
        Refusal::ChangedMeanwhile(_) => "run the command again".into(),
        Refusal::HostTwice(_) | Refusal::SubjectTwice(_) => {
            "leave one of them out, or sign them one after the other".into()
        }
    }
}

fn issue(error: &IssueRefusal, ca: Place<'_>) -> String {
    match error {
        IssueRefusal::Differs { .. } => "--replace issues another and makes it the host's".into(),
        IssueRefusal::KeyGone { .. }
        | IssueRefusal::KeyDiffers { .. }
        | IssueRefusal::Revoked { .. } => "--replace issues another, with a new key".into(),
        IssueRefusal::OtherKeyWaits { folder, .. } => {
            let aside = shell_line(&["mv", &folder.to_string_lossy(), &ca.ca.to_string_lossy()]);
            format!("leave out --key-type to use it, or move it away: {aside}")
        }
        IssueRefusal::NotText(_) | IssueRefusal::NoHosts(_) => {
            "write a host a line, with its other names behind it".into()
        }
    }
}

fn renew(error: &RenewRefusal, ca: Place<'_>) -> String {
    match error {
        RenewRefusal::Revoked {
            host,
            is_here: true,
            ..
        }
        | RenewRefusal::KeyGone { host, .. }
        | RenewRefusal::ForeignKey { host, .. } => invocation(ca, &["issue", host, "--replace"]),
        RenewRefusal::NotUnique { host, .. } => invocation(ca, &["renew", host, "--revoke-old"]),
        RenewRefusal::Revoked { host, .. }
        | RenewRefusal::KeyElsewhere { host }
        | RenewRefusal::NotKept { host, .. } => {
            let make = shell_line(&["mailca", "req", host, "--out-dir", "."]);
            format!("have the host make a new request ({make}), and sign that")
        }
        RenewRefusal::NotRecorded { host, .. } => {
            format!(
                "leave out --revoke-old: {}",
                invocation(ca, &["renew", host])
            )
        }
        RenewRefusal::CaCertificate { .. } => {
            "have its CA make a request, and sign that with openssl ca -extensions SECTION".into()
        }
        RenewRefusal::OtherName { title, .. } => {
            format!(
                "give the folder its name back, or make another: {}",
                invocation(ca, &["issue", title])
            )
        }
    }
}

fn renew_ca(error: &RenewCaRefusal) -> String {
    match error {
        RenewCaRefusal::Intermediate { path, key, .. } => {
            let (path, key) = (path.to_string_lossy(), key.to_string_lossy());
            let request = [
                "openssl",
                "x509",
                "-x509toreq",
                "-in",
                &path,
                "-signkey",
                &key,
                "-out",
                "ca.csr",
            ];
            format!(
                "have its issuer renew it, from the request that this makes: {}",
                shell_line(&request)
            )
        }
        RenewCaRefusal::NotCa { path, .. } => {
            format!("put the CA's own certificate into {}", path.display())
        }
        RenewCaRefusal::HoldsMore(path) => {
            format!("leave nothing but the CA certificate in {}", path.display())
        }
    }
}

fn repair(error: &RepairRefusal, ca: Place<'_>) -> String {
    match error {
        RepairRefusal::Unproven(_) => format!(
            "where you know that none of them was: {}",
            invocation(ca, &["repair", "--assume-valid", "--yes"])
        ),
    }
}

fn request_refusal(error: &RequestRefusal) -> Option<String> {
    match error {
        RequestRefusal::KeyExists(path) => {
            let path = path.display();
            Some(format!("make its request anew with --key {path}"))
        }
        RequestRefusal::EncryptedKey(path) => {
            let path = path.to_string_lossy();
            let decrypt = shell_line(&["openssl", "pkey", "-in", &path, "-out", "FILE"]);
            Some(format!("umask 077; {decrypt}"))
        }
        _ => None,
    }
}

fn sign(error: &SignError, ca: Place<'_>) -> Option<String> {
    match error {
        SignError::NoRequest(_) => Some(invocation(ca, &["req", "mail.example.com"])),
        SignError::Key { name, source } => match source {
            KeyError::PassphraseRequired => Some(format!(
                "decrypt the key in the file: openssl pkey -in {name}"
            )),
            _ => None,
        },
        SignError::NoRequests(_) => Some("name the files themselves".into()),
        SignError::StandardInputTwice => Some("give the passphrase by --passphrase-fd".into()),
        SignError::OneOutput => Some("say --out-dir DIR".into()),
        SignError::StandardInputAmongOthers => Some("sign it by a command of its own".into()),
        SignError::Request { .. } => None,
    }
}

fn selection(error: &SelectionError, ca: Place<'_>) -> Option<String> {
    match error {
        SelectionError::Nothing { .. } => {
            Some("name the file of the certificate, or another CA with --ca DIR".into())
        }
        SelectionError::Several { .. } => {
            Some("name one by its serial number, or say --all".into())
        }
        SelectionError::Unknown { host, .. } => Some(invocation(ca, &["issue", host])),
        SelectionError::NotKept { .. } | SelectionError::NoRow { .. } => {
            Some(invocation(ca, &["list"]))
        }
        SelectionError::NoHost { host, .. } => Some(invocation(ca, &["list", "--host", host])),
        SelectionError::Foreign { .. } => {
            Some("only the CA that issued it can revoke it; name that with --ca DIR".into())
        }
        SelectionError::NotRecorded { serial, .. } => Some(format!(
            "name the certificate that is meant, or {serial} itself"
        )),
        SelectionError::KeyLocked(file) => {
            let public =
                shell_line(&["openssl", "pkey", "-in", file, "-pubout", "-out", "key.pub"]);
            Some(format!(
                "name its certificate, or the file that this makes: {public}"
            ))
        }
        SelectionError::NotRevoked { .. } => Some(invocation(ca, &["list", "--state", "revoked"])),
        SelectionError::NoKey(_) | SelectionError::KeyNotFound(_) => None,
    }
}

fn export(error: &ExportRefusal, ca: Place<'_>) -> String {
    match error {
        ExportRefusal::NotValid { host, .. } => invocation(ca, &["issue", host, "--replace"]),
        ExportRefusal::ForeignKey { key, .. } => {
            let key = key.to_string_lossy();
            format!(
                "put the host's own key there, or: {}",
                shell_line(&["rm", &key])
            )
        }
        ExportRefusal::NoDirectory(_) => "name a directory".into(),
        ExportRefusal::Foreign(entry) => {
            let path = entry.path.to_string_lossy();
            shell_line(&["chown", "root", &path])
        }
        ExportRefusal::InCa { .. } => "name another directory, such as /etc/mail/mailca".into(),
        ExportRefusal::OtherCa { .. } => "name a directory of its own for each CA".into(),
        ExportRefusal::Writable(entry) => {
            let path = entry.path.to_string_lossy();
            shell_line(&["chmod", "go-w", &path])
        }
        ExportRefusal::Terminal => "send it through a pipe, or name a directory".into(),
    }
}

fn owner(error: &OwnerError) -> String {
    match error {
        OwnerError::NoUser(_) | OwnerError::NoGroup(_) => {
            "say --owner USER:GROUP, or export a tar (-) and unpack it where they are known".into()
        }
        OwnerError::NotAllowed { .. } => "run it as root, or without --owner and --for".into(),
        OwnerError::Open(_) | OwnerError::Unreadable(_) => {
            "say --mode 600, or 640 for a group that may read it".into()
        }
    }
}

fn pkcs12(error: &Pkcs12Refusal, ca: Place<'_>) -> String {
    match error {
        Pkcs12Refusal::NotHere { host, .. } => invocation(ca, &["issue", host]),
        Pkcs12Refusal::Exists(path) => {
            let path = path.to_string_lossy();
            shell_line(&["mv", &path, &format!("{path}.old")])
        }
        Pkcs12Refusal::Terminal => "send it through a pipe, or name a file".into(),
    }
}

fn access(AccessError::NotValid { host, .. }: &AccessError, ca: Place<'_>) -> String {
    invocation(ca, &["issue", host, "--replace"])
}

fn revoke(error: &RevokeRefusal) -> Option<String> {
    match error {
        RevokeRefusal::NotCompromised(_) => Some("say --reason keyCompromise".into()),
        RevokeRefusal::InTheFuture { .. } => None,
    }
}

fn crl(error: &CrlRefusal, ca: Place<'_>) -> String {
    let renew = invocation(ca, &["renew-ca"]);
    match error {
        CrlRefusal::MayNotSign(_) | CrlRefusal::CaExpired { .. } => {
            format!("{renew}; revoke --no-crl records a revocation without a CRL")
        }
    }
}

fn output(error: &OutputError) -> String {
    match error {
        OutputError::NoDirectory(path) => shell_line(&["mkdir", "-p", &path.to_string_lossy()]),
        OutputError::Twice(_) => "give the requests different names".into(),
        OutputError::Taken(_) => "name another file with --out".into(),
        OutputError::Unwritten { .. } => "copy the certificate from there".into(),
    }
}

fn request(error: &RequestError) -> Option<String> {
    let text = match error {
        RequestError::Signature(SignatureError::Mismatch) => {
            "the file was altered or damaged; ask for a new request"
        }
        RequestError::Signature(
            SignatureError::Broken(_) | SignatureError::Key(BadKey::Short { .. }),
        )
        | RequestError::PublicKey(BadKey::Short { .. }) => {
            "ask for a new request; --allow-legacy accepts SHA-1 and RSA from 1024 bits"
        }
        RequestError::Signature(SignatureError::Unverifiable(_)) => {
            "ask for a request by an RSA key of 2048 to 8192 bits or a P-256, P-384, P-521 or \
             Ed25519 key, with SHA-256, SHA-384 or SHA-512"
        }
        RequestError::Signature(SignatureError::Key(_)) | RequestError::PublicKey(_) => {
            "ask for a new request, with another key"
        }
        RequestError::Signature(SignatureError::NotPermitted { .. })
        | RequestError::Malformed(_)
        | RequestError::TooLarge(_)
        | RequestError::Subject(_) => "ask for a new request",
        RequestError::BareCertificate => {
            "ask for a request (PKCS#10), or for the file with certificate and key"
        }
        RequestError::ForeignKey(_) => "take the key that belongs to it, or leave the key out",
        RequestError::None => "a request begins with -----BEGIN CERTIFICATE REQUEST-----",
        RequestError::Key(_) => return None,
    };
    Some(text.into())
}

fn policy(error: &PolicyError) -> Option<String> {
    match error {
        PolicyError::Missing { .. } | PolicyError::Differs { .. } => Some(
            "ask for a request with that subject, or sign with --policy policy_anything".into(),
        ),
        PolicyError::CaHasNone { policy, .. } => Some(format!(
            "change {policy} in openssl.cnf, or sign with another --policy"
        )),
        _ => None,
    }
}

fn key(error: &KeyError) -> Option<String> {
    match error {
        KeyError::Unsupported { reader, .. } => {
            let mut words = openssl_pkey(*reader)?;
            words.extend(["-aes256", "-in", "OLD", "-out", "NEW"]);
            Some(format!("convert the key: {}", shell_line(&words)))
        }
        KeyError::WrongPassphrase => Some("nothing was changed; try again".into()),
        KeyError::CannotSign { .. } => Some(
            "take a key that is P-256, P-384, Ed25519 or RSA of 2048, 3072 or 4096 bits".into(),
        ),
        _ => None,
    }
}

fn emit(error: &EmitServerError, ca: Place<'_>) -> Option<String> {
    match error {
        EmitServerError::Ambiguous { server, hosts } => {
            let first = hosts.first().map_or("HOST", String::as_str);
            Some(emit_invocation(ca, *server, first))
        }
        EmitServerError::NoHosts(_) => Some(invocation(ca, &["issue", "mail.example.com"])),
        EmitServerError::NotHere { host, .. } => Some(format!(
            "{}, or --dir DIR if its files lie on another machine",
            invocation(ca, &["issue", host])
        )),
        EmitServerError::ForeignKey { .. } => {
            Some("a server with this pair would offer no STARTTLS; name its own key".into())
        }
        EmitServerError::Into { .. } => {
            Some("put the lines in order, each block from begin to end".into())
        }
        EmitServerError::OtherServer { server, named } => Some(format!(
            "--for {server}-{}, or `{}`",
            server.newest(),
            invocation(ca, &["emit", named.server.as_str()])
        )),
        EmitServerError::NothingThere(path) => Some(format!(
            "if it shall be new: {}",
            shell_line(&["touch", &path.to_string_lossy()])
        )),
        EmitServerError::NotText(_) => None,
    }
}

fn lines(error: &LinesError) -> Option<String> {
    match error {
        LinesError::Relative { .. } => Some("name a directory by its whole path".into()),
        LinesError::Unquotable { .. } => Some(
            "give it the files in another directory: `mailca export HOST DIR`, and --dir DIR here"
                .into(),
        ),
        LinesError::Key { host, .. } => {
            Some(format!("mailca issue {host} --key-type p256 --replace"))
        }
        LinesError::TooOld { server, .. } => {
            Some(format!("--for {server}-{} if it is newer", server.oldest()))
        }
        LinesError::UnpairedMark(_) | LinesError::Template(_) => None,
    }
}

fn emit_systemd(error: &EmitSystemdError, ca: Place<'_>) -> String {
    match error {
        EmitSystemdError::NoKey(_) => "run it on the machine that has the CA key".into(),
        EmitSystemdError::NoDirectory(path) if path.exists() => {
            "name the directory for the units, such as /etc/systemd/system".into()
        }
        EmitSystemdError::NoDirectory(path) => {
            shell_line(&["mkdir", "-p", &path.to_string_lossy()])
        }
        EmitSystemdError::Foreign(path) => {
            let path = path.to_string_lossy();
            shell_line(&["mv", &path, &format!("{path}.old")])
        }
        EmitSystemdError::OtherCa { path, .. } => {
            let dir = files::parent(path).to_string_lossy();
            let words = ["emit", "systemd", "--name", "mailca-2", "--into", &dir];
            invocation(ca, &words)
        }
    }
}

fn sendmail_file(error: &SendmailFileError, ca: Place<'_>) -> Option<String> {
    let SendmailFileError::M4 { path, .. } = error;
    let cf = path.with_extension("cf");
    let command = invocation(ca, &["check", "--sendmail", &cf.to_string_lossy()]);
    cf.exists().then_some(command)
}

fn unit(error: &UnitError) -> Option<String> {
    match error {
        UnitError::Unwritable { .. } => {
            Some("rename the directory, or put the commands of the hook into a script".into())
        }
        UnitError::Template(_) => None,
    }
}

fn verify(error: &VerifyError) -> Option<String> {
    match error {
        VerifyError::Certificate { .. } => {
            Some("a certificate begins with -----BEGIN CERTIFICATE-----".into())
        }
        VerifyError::CertificateList { .. } => {
            Some("a CRL begins with -----BEGIN X509 CRL-----".into())
        }
        VerifyError::Key { path, source } => match source {
            KeyError::PassphraseRequired => {
                let path = path.to_string_lossy();
                let show = shell_line(&["openssl", "pkey", "-in", &path, "-out", "FILE"]);
                Some(format!("decrypt the key: umask 077; {show}"))
            }
            _ => None,
        },
        VerifyError::NoKey(_) => None,
    }
}

fn prompt(error: &PromptError) -> Option<String> {
    match error {
        PromptError::Closed => Some("nothing was changed".into()),
        _ => None,
    }
}

fn exposed(error: &Exposed) -> String {
    shell_line(&["chmod", "600", &error.path.to_string_lossy()])
}

fn file(error: &FileError) -> Option<String> {
    error.is_denied().then(|| {
        if error.path.starts_with(STANDARD_CA) {
            "run it as the owner of the CA, or with sudo".into()
        } else {
            "run it as the owner of the file".into()
        }
    })
}
