//! Exim and the lines that `emit exim` prints.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::support::{
    BASE_MC, Ca, DebianExim, Exim, Sendmail, User, require, run, s_client_starttls,
};

const HOST: &str = "mail.example.test";
const RELAY: &str = "mx2.example.test";
const OTHER: &str = "mx3.example.test";

/// A CA with a host and two relays, of whom Exim's group may read the host's key.
fn ca() -> Ca {
    let ca = Ca::new();
    for host in [HOST, RELAY, OTHER] {
        ca.ok(&["issue", host, "--yes"]);
    }
    ca.ok(&["crl"]);
    Exim::may_read(&ca.file(&format!("hosts/{HOST}/key.pem")));
    ca
}

/// The lines with an ACL, as they say it, that lets `RELAY` send mail on.
#[track_caller]
fn with_acl(lines: &str) -> String {
    let (_, acl) = lines.split_once("# In the ACL for RCPT").expect(lines);
    let acl: Vec<_> = acl
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .collect();
    let acl = acl.join("\n  ").replace("mx2.example.com", RELAY);
    assert!(acl.contains(RELAY), "{acl}");
    format!(
        "{lines}acl_smtp_rcpt = rcpt\nbegin acl\nrcpt:\n  {acl}\n  deny message = no relaying\n"
    )
}

/// What a client of a host's name gets for an answer when it wants to relay.
fn answer(exim: &Exim, ca: &Ca, host: &str) -> String {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| ca.file(&format!("hosts/{host}/{name}")));
    exim.answer_to_relaying(Some([&cert, &key]))
}

#[test]
fn exim_relays_by_certificate_and_notices_what_is_new_by_itself() {
    let Some(mut exim) = Exim::new() else {
        return;
    };
    let ca = ca();
    exim.start(&with_acl(&ca.ok(&["emit", "exim", HOST]).stdout));
    let port = exim.port;
    let connect = |host| s_client_starttls(port, &ca.file("cacert.pem"), host, &["-showcerts"]);
    let seen = connect(HOST);
    assert!(seen.verified, "{}\n{}", seen.ran, exim.log());
    let before = seen.ran.stdout.split("-----BEGIN").map(str::to_owned);
    let before: Vec<_> = before.collect();
    assert_eq!(before.len(), 1 + 2, "not the chain: {}", seen.ran);
    assert_eq!(connect(OTHER).verify, "62 (hostname mismatch)");

    let said = answer(&exim, &ca, RELAY);
    assert!(said.starts_with("250 OK id="), "{said}\n{}", exim.log());
    assert!(exim.log().contains(" CV=yes "), "{}", exim.log());
    let refused = "550 no relaying";
    assert_eq!(answer(&exim, &ca, OTHER), refused, "{}", exim.log());
    assert_eq!(exim.answer_to_relaying(None), refused, "{}", exim.log());

    // Nobody tells Exim.
    ca.ok(&["renew", HOST, "--yes"]);
    ca.ok(&["revoke", RELAY, "--yes"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_new = || {
        let seen = connect(HOST);
        assert!(seen.verified, "{}\n{}", seen.ran, exim.log());
        !seen.ran.stdout.contains(&before[1])
    };
    while !(is_new() && answer(&exim, &ca, RELAY) == refused) {
        assert!(Instant::now() < deadline, "{}", exim.log());
        sleep(Duration::from_millis(200));
    }
    assert!(exim.log().contains(" CV=no "), "{}", exim.log());
}

#[test]
fn exim_takes_the_paths_that_are_not_refused() {
    let Some(mut exim) = Exim::new() else {
        return;
    };
    let ca = ca();
    let odd = ca.dir.file("a !\"#%&'()*+,-.;<=>?@[]^_`{|}~ ü x");
    run(Command::new("cp").args(["-a", &ca.file("."), &odd])).exits(0);
    exim.start(&with_acl(
        &ca.ok(&["emit", "exim", HOST, "--dir", &odd]).stdout,
    ));
    let seen = s_client_starttls(exim.port, &ca.file("cacert.pem"), HOST, &[]);
    assert!(seen.verified, "{}\n{}", seen.ran, exim.log());
    let said = answer(&exim, &ca, RELAY);
    assert!(said.starts_with("250 OK id="), "{said}\n{}", exim.log());
    for odd in ["a$b", "a\\b", "a:b"] {
        let odd = ca.dir.file(odd);
        let said = ca.refuses(&["emit", "exim", HOST, "--dir", &odd]);
        assert!(
            said.contains("which Exim would not leave as it is"),
            "{said}"
        );
    }
}

#[test]
fn debians_configuration_takes_the_lines_split_or_not() {
    let Some(exim) = Exim::new() else {
        return;
    };
    let ca = ca();
    let Some(debian) = DebianExim::new() else {
        return;
    };
    let emitted = ca.ok(&["emit", "exim", HOST]).stdout;
    for (split, file) in [
        (true, "conf.d/main/000_mailca"),
        (false, "exim4.conf.localmacros"),
    ] {
        let lines = debian.dir.write(file, &emitted);
        let made = debian.update(&exim, split);
        let of = |what: &[&str]| {
            exim.say(&[&["-C", made.to_str().expect("UTF-8"), "-bP"], what].concat())
                .exits(0)
                .stdout
        };
        let chain = format!(
            "tls_certificate = {}\n",
            ca.file(&format!("hosts/{HOST}/chain.pem"))
        );
        let key = format!(
            "tls_privatekey = {}\n",
            ca.file(&format!("hosts/{HOST}/key.pem"))
        );
        let main = of(&["tls_certificate", "tls_privatekey"]);
        assert_eq!(main, [&*chain, &key].concat());
        for transport in ["remote_smtp", "remote_smtp_smarthost"] {
            let said = of(&["transport", transport]);
            assert!(said.contains(&chain) && said.contains(&key), "{said}");
        }
        fs::remove_file(lines).expect("remove a file");
    }
}

/// A router and a transport that takes the macros, as Debian's do.
const SMARTHOST: &str = "
begin routers
smarthost:
  driver = manualroute
  transport = remote_smtp_smarthost
  route_list = * 127.0.0.1::PORT
  self = send
begin transports
remote_smtp_smarthost:
  driver = smtp
  tls_certificate = REMOTE_SMTP_SMARTHOST_TLS_CERTIFICATE
  tls_privatekey = REMOTE_SMTP_SMARTHOST_PRIVATEKEY
  tls_verify_certificates = REMOTE_SMTP_SMARTHOST_TLS_VERIFY_CERTIFICATES
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
  hosts_require_tls = *
";

#[test]
fn exim_relays_to_sendmail_by_certificate() {
    let Some(mut exim) = Exim::new() else {
        return;
    };
    if !require(&["sendmail", "makemap", "m4", "cc"]) {
        return;
    }
    let ca = ca();
    let sendmail = Sendmail::start(
        User::me(),
        &(BASE_MC.to_owned() + &ca.ok(&["emit", "sendmail", OTHER]).stdout),
    );
    let lines = ca.ok(&["emit", "exim", HOST]).stdout;
    let commented = "#   REMOTE_SMTP_SMARTHOST_TLS_VERIFY";
    assert!(lines.contains(commented), "{lines}");
    let lines = lines.replace(commented, &commented[4..]);
    let smarthost = SMARTHOST.replace("PORT", &sendmail.port.to_string());
    exim.start(&(with_acl(&lines) + &smarthost));
    assert!(
        answer(&exim, &ca, RELAY).starts_with("250 "),
        "{}",
        exim.log()
    );
    exim.run_queue();
    let arrived = sendmail.queue().concat();
    assert!(
        arrived.contains("verify=OK"),
        "{}\n{}",
        exim.log(),
        sendmail.log()
    );
}
