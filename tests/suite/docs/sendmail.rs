//! docs/mail-servers/sendmail.md: its commands lead to a relay by certificate.

use super::super::support::{mc_with, require};
use super::operations::{served, start};
use super::{MailHost, Page, tools};

const PAGE: &str = "docs/mail-servers/sendmail.md";

#[test]
fn the_page_on_sendmail_leads_to_a_relay_by_certificate() {
    if !(tools() && require(&["makemap"])) {
        return;
    }
    let mut page = Page::read(PAGE);
    let mut host = MailHost::new();
    let map = host.dir.file("access");
    let access_db = format!("FEATURE(`access_db', `hash -T<TMPF> {map}')dnl\n");
    host.dir.write("sendmail.mc", &mc_with(&access_db));
    host.type_in("makemap hash /etc/mail/access </dev/null");
    let sendmail = start(&mut host);
    let pair = ["cert.pem", "key.pem"];
    let pair = pair.map(|name| host.dir.file(&format!("CA/hosts/mx2.example.com/{name}")));
    let answer = || sendmail.answer_to_relaying("127.0.0.2", Some([&pair[0], &pair[1]]));

    host.check(&mut page, "A verified handshake", 0);
    host.check(&mut page, "A verified handshake", 1);
    host.check(&mut page, "The other host", 0);
    let said = answer();
    assert!(
        said.contains("Relaying denied"),
        "{said}\n{}",
        sendmail.log()
    );
    host.check(&mut page, "Relay by certificate", 0);
    let said = answer();
    assert!(said.starts_with("250 "), "{said}\n{}", sendmail.log());
    let before = served(&host);
    host.check(&mut page, "Renewal", 0);
    assert_ne!(served(&host), before, "{}", sendmail.log());
    host.check(&mut page, "Revocation", 0);
    let said = answer();
    assert!(
        said.contains("Relaying denied"),
        "{said}\n{}",
        sendmail.log()
    );

    let blocks = page
        .sections()
        .iter()
        .map(|one| page.blocks(one).len())
        .sum::<usize>();
    assert_eq!(blocks, 6, "each block is run");
    page.finish();
}
