//! docs/mail-servers/postfix.md: its commands lead to a relay by certificate.

use super::super::support::{Postfix, eventually, require};
use super::operations::{program, served};
use super::{MailHost, Page};

const PAGE: &str = "docs/mail-servers/postfix.md";

#[test]
fn the_page_on_postfix_leads_to_a_relay_by_certificate() {
    if !require(&["setsid", "bash", "sed"]) {
        return;
    }
    let mut host = MailHost::new();
    let Some(mut postfix) = Postfix::new("mail.example.com", host.dir.path()) else {
        return;
    };
    let mut page = Page::read(PAGE);
    host.port = Some(postfix.port);
    for [name, real] in [
        ["/etc/postfix/mailca", &host.dir.file("exported")],
        ["/etc/postfix", &postfix.etc()],
    ] {
        host.places.push([name.into(), real.into()]);
    }
    postfix.start();
    host.hide_sendmail();
    for name in ["postfix", "postmap", "postconf"] {
        program(&host, name, &postfix.script(name));
    }

    host.check(&mut page, "A verified handshake", 0);
    eventually("it has a certificate", || {
        served(&host).starts_with("serial=")
    });
    host.check(&mut page, "A verified handshake", 1);

    host.check(&mut page, "Relay by certificate", 0);
    let files =
        ["cert", "key"].map(|it| host.dir.file(&format!("CA/hosts/mx2.example.com/{it}.pem")));
    let options = ["-cert", &files[0], "-key", &files[1]];
    let answer = |options: &[&str]| postfix.answer_to_relaying(options);
    eventually("its certificate counts", || {
        answer(&options).starts_with("250")
    });
    assert!(
        answer(&[]).contains("Relay access denied"),
        "{}",
        postfix.log()
    );
    host.check(&mut page, "Relay by certificate", 1);

    let before = served(&host);
    host.check(&mut page, "Renewal", 0);
    eventually("the new one is served", || served(&host) != before);
    host.check(&mut page, "Revocation", 0);
    eventually("it is refused", || answer(&options).contains("is revoked"));
    assert_eq!(page.count(), 6, "each block is run");
    page.finish();
}
