//! Words that people write: names, passphrases, lists of hosts, the command line.

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;
use mailca::cli::Cli;
use mailca::exit::{Exit, Plugin};
use mailca::mta::MailServer;
use mailca::mta::lines::put_into;
use mailca::mta::sendmail::config::{Config, Setting};
use mailca::pki::general_name::{self, GeneralName};
use mailca::pki::name::Name;
use mailca::pki::name_constraints::{self, Subtree};
use mailca::pki::serial::SerialNumber;
use mailca::pki::text;
use mailca::store::hosts as host_folders;
use mailca::sys::passphrase::{MAX_LENGTH, Sources};

use super::pki::check_general_name;
use super::world::{self, assert_harmless};

/// Host names, `--san`, `--subject`, `--permit`.
pub fn names(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match GeneralName::parse(text) {
        Ok(name) => {
            check_general_name(&name);
            assert_eq!(GeneralName::parse(&name.to_string()), Ok(name));
        }
        Err(error) => assert_harmless(&error.to_string()),
    }
    for read in [GeneralName::requested_dns, GeneralName::requested_email] {
        if let Ok(name) = read(text) {
            check_general_name(&name);
            assert!(name.to_string().ends_with(text));
        }
    }
    if let Ok(host) = general_name::host_name(text) {
        assert_eq!(general_name::host_name(&host).as_ref(), Ok(&host));
        if let Ok(name) = host_folders::file_name(&host) {
            assert_eq!(name, host.replace('*', "_"));
        }
    }
    if let Ok(name) = host_folders::file_name(text) {
        assert!(!name.contains('/') && !name.starts_with('.') && name.len() <= 200);
        assert!(name.is_ascii());
    }
    match Name::from_oneline(text) {
        Ok(name) => assert_eq!(Name::from_der(name.as_der()), Ok(name)),
        Err(error) => assert_harmless(&error.to_string()),
    }
    match text.parse::<Subtree>() {
        Ok(subtree) => {
            assert_eq!(subtree.to_string().parse(), Ok(subtree.clone()));
            assert!(name_constraints::name_constraints(&[subtree]).is_ok());
        }
        Err(error) => assert_harmless(&error),
    }
    assert_harmless(&text::for_terminal(text));
    assert_harmless(&text::shorten(&text::one_line(text)));
}

/// A serial number, as in the file serial.
pub fn serial(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(serial) = text.parse::<SerialNumber>() else {
        return;
    };
    assert_eq!(serial.to_string().parse(), Ok(serial.clone()));
    assert_eq!(
        SerialNumber::from_be_bytes(serial.as_be_bytes()),
        Ok(serial.clone())
    );
    if let Ok(next) = serial.next() {
        assert!(next > serial);
    }
    if let Ok(twice) = serial.plus(&serial) {
        assert!(twice > serial);
    }
}

/// The first line of a passphrase file.
pub fn passphrase(data: &[u8]) {
    let sources = Sources {
        file: Some("-".into()),
        ..Sources::default()
    };
    let mut rest = data;
    let Ok(read) = sources.read(&mut rest) else {
        return;
    };
    let passphrase = read.expect("a source");
    assert!((1..=MAX_LENGTH).contains(&passphrase.len()));
    assert!(!passphrase.contains(&0) && !passphrase.contains(&b'\n'));
    assert!(data.starts_with(&passphrase));
    assert!(data.ends_with(rest));
}

/// A list of hosts, as `issue --from` reads it.
pub fn hosts(data: &[u8]) {
    world::ca();
    let ran = world::run(&["issue", "--from", "-", "--ca", "CA"], data);
    assert_ne!(ran.exit, Exit::Done);
    let told = ["error: ", "hint: ", "note: ", "warning: "];
    for line in ran.stderr.lines() {
        assert!(told.iter().any(|word| line.starts_with(word)), "{line:?}");
    }
    assert!(ran.stderr.contains("error: "));
}

/// A sendmail.mc that takes the lines.
pub fn mc(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let lines = "\ndnl mailca: begin\nline\ndnl mailca: end\n";
    let server = MailServer::Sendmail;
    let Ok(new) = put_into(server, text, lines) else {
        return;
    };
    assert_eq!(put_into(server, &new, lines).as_ref().ok(), Some(&new));
    assert!(new.contains(lines.trim_start()));
}

/// A sendmail.mc or a sendmail.cf that is looked at.
pub fn sendmail(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    let read = [Config::of_mc(data).ok(), Some(Config::of_cf(data))];
    for config in read.iter().flatten() {
        for value in Setting::ALL
            .iter()
            .filter_map(|setting| config.get(*setting))
        {
            assert!((1..=lines).contains(&value.line), "{value:?}");
            assert!(value.files().count() > 0 && !value.text().is_empty());
        }
    }
}

/// The command line, its words between NUL bytes; a command that makes sense does not run.
pub fn usage(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let words: Vec<&str> = text.split('\0').collect();
    let argv = ["mailca"].iter().chain(&words).map(OsString::from);
    let Err(error) = Cli::try_parse_from(argv) else {
        return;
    };
    let ran = world::run(&words, &[]);
    // A monitoring system is told that nobody knows.
    let wrong = if words.contains(&"--nagios") {
        Exit::Plugin(Plugin::Unknown)
    } else {
        Exit::Usage
    };
    assert!([wrong, Exit::Done].contains(&ran.exit), "{:?}", ran.exit);
    // `--json` and `--nagios` have their errors elsewhere, and where a command is missing there is
    // the help.
    let is_told = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ran.stderr.contains("\nUsage: mailca ")
        }
        _ => ran.stderr.starts_with("error: "),
    };
    assert!(ran.stderr.is_empty() || is_told, "{}", ran.stderr);
}
