//! docs/mail-servers/opensmtpd.md: its commands and lines lead to a relay by certificate.

use std::fs;
use std::os::unix::fs::chown;

use super::super::support::{Opensmtpd, Smtp, eventually, free_ports, require};
use super::operations::{program, served};
use super::{MailHost, Page};

const PAGE: &str = "docs/mail-servers/opensmtpd.md";

/// What stands in smtpd.conf before.
const CONF: &str = "listen on 0.0.0.0\n\n\
                    action \"local\" maildir\n\
                    match from any for domain \"example.com\" action \"local\"\n";

/// The lines of a section that are no commands.
fn lines(page: &Page, section: &str, which: usize) -> String {
    let (_, text) = page.section(section);
    let inside = text.split("```").skip(1).step_by(2);
    let mut blocks = inside.filter_map(|block| block.strip_prefix('\n'));
    blocks.nth(which).expect("lines").to_owned()
}

/// The same on 127.0.0.1, where mail goes to a mailbox.
fn private(conf: &str, [smtp, relays]: [u16; 2], mailbox: &str) -> String {
    let keep = format!("action \"out\" maildir \"{mailbox}\" virtual {{ \"@\" = vmail }}\n");
    conf.replace("0.0.0.0 port 2525", &format!("127.0.0.1 port {relays}"))
        .replace("0.0.0.0", &format!("127.0.0.1 port {smtp}"))
        .replace(":2525", &format!(":{relays}"))
        .replace("action \"out\" relay\n", &keep)
}

#[track_caller]
fn send(port: u16) {
    let mut smtp = Smtp::connect(port).expect("a connection");
    for line in [
        "EHLO x",
        "MAIL FROM:<a@example.com>",
        "RCPT TO:<b@example.net>",
        "DATA",
        "Subject: by certificate\r\n\r\n.",
    ] {
        let said = smtp.say(line).expect("an answer");
        assert!(said[0].starts_with(['2', '3']), "{line}: {said:?}");
    }
}

#[test]
fn the_page_on_opensmtpd_leads_to_a_relay_by_certificate() {
    if !require(&["setsid", "bash"]) {
        return;
    }
    let mut host = MailHost::new();
    let request = "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -subj /CN=Public 2>&1";
    let public = host.type_in(request);
    let new = || Opensmtpd::new(host.dir.path(), &public);
    let Some((mut smtpd, mut mx2)) = new().zip(new()) else {
        return;
    };
    let mut page = Page::read(PAGE);
    let ports = free_ports();
    host.port = Some(ports[0]);
    let conf = smtpd.etc() + "/smtpd.conf";
    host.places.push(["/etc/smtpd.conf".into(), conf.clone()]);
    host.hide_sendmail();
    program(&host, "smtpd", &smtpd.script());
    program(&host, "systemctl", "[ \"$*\" = 'restart opensmtpd' ]");
    let mailbox = host.dir.create_dir("mailbox");
    chown(&mailbox, Some(64905), Some(64905)).expect("chown");
    let mailbox = mailbox.to_str().expect("UTF-8 path");

    fs::write(&conf, CONF).expect("write a file");
    host.check(&mut page, "A verified handshake", 0);
    let listen = lines(&page, "A verified handshake", 0);
    let text = fs::read_to_string(&conf).expect("read a file");
    let text = text.replace("listen on 0.0.0.0\n", &listen);
    fs::write(&conf, &text).expect("write a file");
    host.check(&mut page, "A verified handshake", 1);
    smtpd.start(&private(&text, ports, mailbox), ports[0]);
    host.check(&mut page, "A verified handshake", 2);

    let text = text + &lines(&page, "Relay by certificate", 0);
    let text = private(&text, ports, mailbox);
    smtpd.start(&text, ports[0]);
    host.check(&mut page, "Relay by certificate", 0);
    host.type_in("mailca export mx2.example.com /etc/mail/mailca");
    let theirs =
        host.type_in("mailca emit opensmtpd mx2.example.com --dir /etc/mail/mailca 2>/dev/null");
    let theirs = theirs.replace("/etc/mail", host.dir.path().to_str().expect("UTF-8 path"));
    let [port] = free_ports();
    let theirs = theirs + "listen on 0.0.0.0\n" + &lines(&page, "Relay by certificate", 1);
    mx2.start(&private(&theirs, [port, ports[1]], mailbox), port);
    send(port);
    let arrived = || fs::read_dir(format!("{mailbox}/new")).is_ok_and(|it| it.count() == 1);
    eventually("the mail arrives", arrived);
    assert!(
        mx2.log().contains("cert-check result=\"valid\""),
        "{}",
        mx2.log()
    );

    let before = served(&host);
    host.check(&mut page, "Renewal", 0);
    smtpd.start(&text, ports[0]);
    assert_ne!(served(&host), before);
    let pair = ["cert", "key"].map(|it| {
        host.dir
            .file(&format!("mailca/hosts/mx2.example.com/{it}.pem"))
    });
    let answer = || {
        let relay = Smtp::starttls(ports[1], &["-cert", &pair[0], "-key", &pair[1]]);
        let mut relay = relay.expect("a connection");
        let said =
            ["EHLO x", "MAIL FROM:<>", "RCPT TO:<b@example.net>"].map(|line| relay.say(line));
        said.into_iter()
            .next_back()
            .expect("three")
            .expect("an answer")
            .remove(0)
    };
    host.check(&mut page, "Revocation", 0);
    smtpd.start(&text, ports[0]);
    assert!(answer().starts_with("250 "), "{}", smtpd.log());
    smtpd.start(&text.replace("{ 127.0.0.1 }", "{ 192.0.2.1 }"), ports[0]);
    assert!(answer().starts_with("550 "), "{}", smtpd.log());
    assert_eq!(page.count(), 6, "each block is run");
    page.finish();
}
