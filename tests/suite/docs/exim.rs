//! docs/mail-servers/exim.md: its commands lead to a relay by certificate, in Debian's own
//! configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::support::{DebianExim, Exim, require};
use super::operations::{program, served};
use super::{MailHost, Page};

const PAGE: &str = "docs/mail-servers/exim.md";

/// A mail host whose commands see Exim's user.
fn mail_host(exim: &Exim, debian: &DebianExim) -> MailHost {
    let mut host = MailHost::new();
    let real = debian.dir.path().to_str().expect("UTF-8 path");
    host.places.push(["/etc/exim4".into(), real.to_owned()]);
    host.port = Some(exim.port);
    let shell = host.dir.write("bin/sh", &exim.shell());
    fs::set_permissions(shell, fs::Permissions::from_mode(0o755)).expect("chmod");
    program(&host, "systemctl", "[ \"$*\" = 'restart exim4' ]");
    program(&host, "exim4", &Exim::run_script());
    let settings = format!(
        "{}SPOOLDIR = {}\nMAIN_HARDCODE_PRIMARY_HOSTNAME = mail.example.com\n",
        exim.settings(),
        exim.spool()
    );
    debian.dir.write("conf.d/main/000_private", &settings);
    let options = "conf.d/main/01_exim4-config_listmacrosdefs";
    let theirs = debian
        .dir
        .read(options)
        .replace("\nexim_path =", "\n#exim_path =");
    debian.dir.write(options, &theirs);
    host
}

/// Puts the lines of the page where it says.
#[track_caller]
fn put_into_acl(page: &Page, debian: &DebianExim) {
    let (_, text) = page.section("Relay by certificate");
    let (_, rest) = text.split_once("\n```\n").expect("lines");
    let (lines, _) = rest.split_once("```").expect("an end");
    let acl = "conf.d/acl/30_exim4-config_check_rcpt";
    let old = debian.dir.read(acl);
    let place = "\n  require\n    message = relay not permitted\n";
    assert_eq!(old.matches(place).count(), 1, "{old}");
    debian
        .dir
        .write(acl, &old.replace(place, &format!("\n{lines}{place}")));
}

#[test]
fn the_page_on_exim_leads_to_a_relay_by_certificate() {
    if !require(&["setsid", "bash"]) {
        return;
    }
    let Some(mut exim) = Exim::new() else {
        return;
    };
    let Some(debian) = DebianExim::new() else {
        return;
    };
    exim.choose_port();
    let mut page = Page::read(PAGE);
    let host = mail_host(&exim, &debian);
    host.check(&mut page, "A verified handshake", 0);
    exim.start_from(&debian.update(&exim, true));
    host.check(&mut page, "A verified handshake", 1);

    host.check(&mut page, "Relay by certificate", 0);
    let pair = ["cert.pem", "key.pem"];
    let pair = pair.map(|name| host.dir.file(&format!("CA/hosts/mx2.example.com/{name}")));
    let answer = |exim: &Exim| exim.answer_to_relaying(Some([&pair[0], &pair[1]]));
    let denied = "550 relay not permitted";
    assert_eq!(answer(&exim), denied, "{}", exim.log());
    put_into_acl(&page, &debian);
    exim.start_from(&debian.update(&exim, true));
    let said = answer(&exim);
    assert!(said.starts_with("250 OK id="), "{said}\n{}", exim.log());
    assert_eq!(exim.answer_to_relaying(None), denied, "{}", exim.log());

    let before = served(&host);
    host.check(&mut page, "Renewal", 0);
    host.check(&mut page, "Revocation", 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while served(&host) == before || answer(&exim) != denied {
        assert!(Instant::now() < deadline, "{}", exim.log());
        sleep(Duration::from_millis(200));
    }
    let blocks = page
        .sections()
        .into_iter()
        .map(|one| page.blocks(&one).len());
    assert_eq!(blocks.sum::<usize>(), 5, "each block is run");
    page.finish();
}
