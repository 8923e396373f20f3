//! docs/mail-servers/dovecot.md: its commands lead to a login by certificate, in Dovecot 2.4.

use super::super::support::{Dovecot, DovecotVersion, eventually, require};
use super::operations::program;
use super::{MailHost, Page};

const PAGE: &str = "docs/mail-servers/dovecot.md";

#[test]
fn the_page_on_dovecot_leads_to_a_login_by_certificate() {
    if !require(&["setsid", "bash"]) {
        return;
    }
    let mut host = MailHost::new();
    let Some(mut dovecot) = Dovecot::new(DovecotVersion::New, host.dir.path()) else {
        return;
    };
    let mut page = Page::read(PAGE);
    for [name, real] in [
        ["/etc/dovecot/mailca", &host.dir.file("exported")],
        ["/etc/dovecot", &dovecot.etc()],
        ["localhost:143", &format!("127.0.0.1:{}", dovecot.imap)],
        ["localhost:993", &format!("127.0.0.1:{}", dovecot.imaps)],
    ] {
        host.places.push([name.into(), real.into()]);
    }
    dovecot.start();
    host.hide_sendmail();
    program(&host, "doveadm", &dovecot.doveadm_script());
    program(&host, "dovecot", "echo '2.4.1-4 (7d8c0e5759)'");

    let served = || {
        host.type_in(
            "openssl s_client -connect localhost:993 </dev/null 2>/dev/null \
             | openssl x509 -noout -serial 2>/dev/null",
        )
    };
    host.check(&mut page, "A verified handshake", 0);
    eventually("it has a certificate", || served().starts_with("serial="));
    host.check(&mut page, "A verified handshake", 1);

    let answer = |options: &str| dovecot.login(&options.split(' ').collect::<Vec<_>>());
    host.check(&mut page, "Log in by certificate", 0);
    host.check(&mut page, "Log in by certificate", 1);
    eventually("it refuses", || answer("-ign_eof").contains("a NO"));
    host.check(&mut page, "Log in by certificate", 2);

    let before = served();
    host.check(&mut page, "Renewal", 0);
    eventually("the new one is served", || served() != before);

    let phone = host.dir.file("CA/hosts/phone.example.com");
    let phone = format!("-cert {phone}/cert.pem -key {phone}/key.pem");
    assert!(answer(&phone).contains("a OK"), "{}", dovecot.log());
    host.check(&mut page, "Revocation", 0);
    eventually("it refuses", || answer(&phone).contains("a NO"));
    host.check(&mut page, "Revocation", 1);
    assert_eq!(page.count(), 8, "each block is run");
    page.finish();
}
