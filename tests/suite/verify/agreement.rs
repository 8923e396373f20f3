//! mailca, OpenSSL and GnuTLS say the same of a certificate, but for the cases that are listed
//! with their reason.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use super::lab::{LEAF, Lab, ROOT};
use super::{line, now, tools};
use crate::support::{Ran, run, tell};

/// The verifiers beside mailca.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    OpenSsl,
    GnuTls,
}
use Other::{GnuTls, OpenSsl};

/// A certificate and what mailca says of it.
struct Case {
    name: &'static str,
    /// the certificate, and options of `mailca verify`
    words: Vec<&'static str>,
    at: Option<OffsetDateTime>,
    /// the line that fails, a colon, and a part of its text; `None` where all is well
    fails: Option<&'static str>,
    /// who thinks otherwise, and why
    differs: Vec<(Other, &'static str)>,
}

/// A case whose trusted CA is `root` unless the words name another.
fn case(name: &'static str, words: &'static str) -> Case {
    let mut words: Vec<_> = words.split(' ').collect();
    if !words.contains(&"--ca-file") {
        words.extend(["--ca-file", "root.pem"]);
    }
    Case {
        name,
        words,
        at: None,
        fails: None,
        differs: Vec::new(),
    }
}

impl Case {
    fn at(mut self, at: OffsetDateTime) -> Self {
        self.at = Some(at);
        self
    }

    fn fails(mut self, told: &'static str) -> Self {
        self.fails = Some(told);
        self
    }

    fn differs(mut self, other: Other, reason: &'static str) -> Self {
        self.differs.push((other, reason));
        self
    }

    /// The values of an option.
    fn values(&self, option: &str) -> Vec<&'static str> {
        let pairs = self.words[1..].chunks(2);
        let found = pairs.filter(|pair| pair[0] == option);
        found.map(|pair| pair[1]).collect()
    }

    fn mailca(&self, lab: &Lab) -> Ran {
        let mut command = lab.dir.mailca(&["verify"]);
        command.args(&self.words);
        if let Some(at) = self.at {
            let at = at.format(&Rfc3339).expect("a time");
            command.args(["--at", &at]);
        }
        run(&mut command)
    }

    fn openssl(&self, lab: &Lab) -> Ran {
        let mut command = lab.dir.command("openssl");
        command.args(["verify", "-x509_strict", "-no-CApath", "-no-CAstore"]);
        for (option, theirs) in [
            ("--ca-file", "-CAfile"),
            ("--untrusted", "-untrusted"),
            ("--crl", "-CRLfile"),
        ] {
            for file in self.values(option) {
                command.args([theirs, file]);
            }
        }
        if !self.values("--crl").is_empty() {
            command.arg("-crl_check_all");
        }
        for host in self.values("--host") {
            command.arg(match host {
                _ if host.contains('@') => "-verify_email",
                _ if host.parse::<IpAddr>().is_ok() => "-verify_ip",
                _ => "-verify_hostname",
            });
            command.arg(host);
        }
        for purpose in self.values("--purpose") {
            command.args(["-purpose", &format!("ssl{purpose}")]);
        }
        if let Some(at) = self.at {
            command.args(["-attime", &at.unix_timestamp().to_string()]);
        }
        run(command.arg(self.words[0]))
    }

    /// certtool knows no other time than now, and looks at a CRL itself by another command.
    fn certtool(&self, lab: &Lab) -> Option<Ran> {
        if self.at.is_some() {
            return None;
        }
        let put = |name: &str, files: &[&str]| {
            let all: String = files.iter().map(|file| lab.dir.read(file)).collect();
            lab.dir.write(name, &all);
        };
        let anchor = self.values("--ca-file")[0];
        let (between, lists) = (self.values("--untrusted"), self.values("--crl"));
        put("certtool.pem", &[&[self.words[0]], &between[..]].concat());
        put("certtool.crl", &lists);
        let mut command = lab.dir.command("certtool");
        command.args(["--verify", "--infile", "certtool.pem"]);
        command.args(["--load-ca-certificate", anchor]);
        if !lists.is_empty() {
            command.args(["--load-crl", "certtool.crl"]);
        }
        for host in self.values("--host") {
            let is_mailbox = host.contains('@');
            let kind = if is_mailbox { "email" } else { "hostname" };
            command.arg(format!("--verify-{kind}={host}"));
        }
        for purpose in self.values("--purpose") {
            let last = if purpose == "server" { 1 } else { 2 };
            command.arg(format!("--verify-purpose=1.3.6.1.5.5.7.3.{last}"));
        }
        let ran = run(&mut command);
        if !ran.status.success() || !between.is_empty() || lists.len() != 1 {
            return Some(ran);
        }
        let mut command = lab.dir.command("certtool");
        command.args(["--verify-crl", "--infile", lists[0]]);
        Some(run(command.args(["--load-ca-certificate", anchor])))
    }
}

fn asn1(time: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day][hour][minute][second]Z");
    time.format(format).expect("a time")
}

/// Runs all three on each case, and prints how often they agreed.
#[track_caller]
fn compare(title: &str, lab: &Lab, cases: &[Case]) {
    let mut wrong = String::new();
    let (mut asked, mut agreed, mut listed) = ([0; 2], [0; 2], String::new());
    for case in cases {
        let own = case.mailca(lab);
        let expected = if case.fails.is_some() { 3 } else { 0 };
        let is_told = case.fails.is_none_or(|told| {
            let (check, text) = told.split_once(": ").expect("a check");
            let found = line(&own, check);
            found.starts_with("FAIL") && found.contains(text)
        });
        if own.code() != expected || !is_told {
            let _ = writeln!(wrong, "{}: expected {:?}\n{own}", case.name, case.fails);
        }
        let others = [
            (OpenSsl, Some(case.openssl(lab))),
            (GnuTls, case.certtool(lab)),
        ];
        for (place, (other, ran)) in others.into_iter().enumerate() {
            let Some(ran) = ran else { continue };
            asked[place] += 1;
            let reason = case.differs.iter().find(|(who, _)| *who == other);
            let same = ran.status.success() == (own.code() == 0);
            match reason {
                None if same => agreed[place] += 1,
                None => {
                    let _ = writeln!(wrong, "{}: {other:?} differs\n{own}\n{ran}", case.name);
                }
                Some(_) if same => {
                    let _ = writeln!(wrong, "{}: {other:?} agrees after all\n{ran}", case.name);
                }
                Some((_, reason)) => {
                    let _ = writeln!(listed, "  {other:?} differs on {}: {reason}", case.name);
                }
            }
        }
    }
    tell(&format!(
        "{title}: {} cases; openssl agrees in {} of {}, certtool in {} of {}\n{listed}",
        cases.len(),
        agreed[0],
        asked[0],
        agreed[1],
        asked[1]
    ));
    assert!(wrong.is_empty(), "{wrong}");
}

fn make_names(lab: &Lab) {
    let past = [
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20210101000000Z",
    ];
    lab.leaf_with("root", "expired", LEAF, &past);
    let future = [
        "-startdate",
        "20980101000000Z",
        "-enddate",
        "20990101000000Z",
    ];
    lab.leaf_with("root", "early", LEAF, &future);
    let named = |names: &str| LEAF.replace("DNS:mail.example.test", names);
    lab.leaf("root", "wildcard", &named("DNS:*.example.test"));
    lab.leaf("root", "address", &named("IP:192.0.2.25,IP:2001:db8::25"));
    lab.leaf("root", "mailbox", &named("email:postmaster@example.test"));
    let client = LEAF.replace("serverAuth,", "");
    lab.leaf("root", "client", &client);
    lab.leaf("root", "server", &LEAF.replace(",clientAuth", ""));
    lab.leaf(
        "root",
        "free",
        &LEAF.replace("extendedKeyUsage=serverAuth,clientAuth\n", ""),
    );
    lab.leaf(
        "root",
        "signer",
        &LEAF.replace("digitalSignature", "nonRepudiation"),
    );
    let no_names = LEAF.replace("subjectAltName=DNS:mail.example.test\n", "");
    lab.leaf("root", "nameless", &no_names);
    let long = [
        "-startdate",
        "20190101000000Z",
        "-enddate",
        "20350101000000Z",
    ];
    lab.renewal("old", ROOT, &long);
}

#[test]
fn validity_and_names_are_judged_as_openssl_and_gnutls_do() {
    if !tools() {
        return;
    }
    let lab = Lab::new();
    make_names(&lab);
    let soon = now() + Duration::days(10);
    let cases = [
        case(
            "good",
            "good.pem --crl root.crl --host mail.example.test --purpose server",
        ),
        case(
            "good as a client",
            "good.pem --crl root.crl --purpose client",
        ),
        case("good in ten days", "good.pem --crl root.crl").at(soon),
        case(
            "good, name in capitals",
            "good.pem --host MAIL.example.TEST",
        ),
        case("expired", "expired.pem").fails("validity: ended on 2021-01-01, "),
        case("expired, but not then", "expired.pem --ca-file old.pem")
            .at(OffsetDateTime::from_unix_timestamp(1_590_000_000).expect("a time")),
        case("not yet valid", "early.pem").fails("validity: begins only on 2098-01-01, in "),
        case("too late", "good.pem")
            .at(now() + Duration::days(400))
            .fails("validity: ended on "),
        case("too early", "good.pem")
            .at(now() - Duration::days(3))
            .fails("validity: begins only on "),
        case("wrong name", "good.pem --host mx1.example.test")
            .fails("host name: it is for mail.example.test, not mx1.example.test"),
        case("part of the name", "good.pem --host example.test")
            .fails("host name: not example.test"),
        case("wildcard", "wildcard.pem --host mail.example.test"),
        case(
            "wildcard for two labels",
            "wildcard.pem --host a.mail.example.test",
        )
        .fails("host name: it is for *.example.test, not a.mail.example.test"),
        case("wildcard for none", "wildcard.pem --host example.test").fails("host name: *."),
        case("address", "address.pem --host 192.0.2.25"),
        case("address of version 6", "address.pem --host 2001:db8:0::25"),
        case("wrong address", "address.pem --host 192.0.2.26")
            .fails("host name: it is for 192.0.2.25, 2001:db8::25, not 192.0.2.26"),
        case("mailbox", "mailbox.pem --host postmaster@example.test"),
        case(
            "mailbox, domain in capitals",
            "mailbox.pem --host postmaster@EXAMPLE.test",
        ),
        case("wrong mailbox", "mailbox.pem --host root@example.test").fails("host name: not root@"),
        case("CN only", "nameless.pem --host mail.example.test")
            .fails("host name: it has the name mail.example.test in its CN only")
            .differs(
                OpenSsl,
                "it looks into the CN where there is no SubjectAltName",
            )
            .differs(
                GnuTls,
                "it looks into the CN where there is no SubjectAltName",
            ),
        case("client as a server", "client.pem --purpose server")
            .fails("server: its purposes are clientAuth, not serverAuth"),
        case("client as a client", "client.pem --purpose client"),
        case("client as anything", "client.pem"),
        case("server as a client", "server.pem --purpose client")
            .fails("client: its purposes are serverAuth, not clientAuth"),
        case("server without purposes", "free.pem --purpose server"),
        case(
            "keyUsage without digitalSignature",
            "signer.pem --purpose client",
        )
        .fails("client: its keyUsage has no digitalSignature")
        .differs(
            GnuTls,
            "certtool looks at no keyUsage of the last certificate",
        ),
    ];
    compare("validity, names, purposes", &lab, &cases);
}

fn make_lists(lab: &Lab) {
    lab.renewal(
        "rekeyed",
        &ROOT
            .replace("=hash", "=00112233")
            .replace("authorityKeyIdentifier=keyid\n", ""),
        &[],
    );
    lab.leaf(
        "root",
        "keyless",
        &LEAF.replace("authorityKeyIdentifier=keyid\n", ""),
    );
    lab.leaf("root", "revoked", LEAF);
    lab.leaf("root", "held", LEAF);
    let begun = asn1(now() - Duration::hours(1));
    let end = asn1(now() + Duration::days(30));
    let same_second = ["-crl_lastupdate", &begun, "-crl_nextupdate", &end];
    lab.crl_as("root", "before", &same_second);
    lab.revoke("root", "revoked", "keyCompromise");
    lab.revoke("root", "held", "certificateHold");
    lab.crl_as("root", "after", &same_second);
    let past = [
        "-crl_lastupdate",
        "20200101000000Z",
        "-crl_nextupdate",
        "20210101000000Z",
    ];
    lab.crl_as("root", "expired", &past);
    let future = [
        "-crl_lastupdate",
        "20980101000000Z",
        "-crl_nextupdate",
        "20990101000000Z",
    ];
    lab.crl_as("root", "early", &future);
    lab.alter("after.crl", "altered.crl", "X509 CRL", &[0x02, 0x02, 0x10]);
    lab.ca("other", ROOT);
    lab.crl("other", &[]);
    lab.ca_with("twin", "/O=Lab/CN=root", ROOT, &[]);
    lab.crl("twin", &[]);
    lab.ca("mute", &ROOT.replace(",cRLSign", ""));
    lab.leaf("mute", "muted", LEAF);
    lab.crl("mute", &[]);
    lab.intermediate("root", "sub", ROOT);
    lab.leaf("sub", "deep", LEAF);
    lab.crl("sub", &[]);
    lab.intermediate("root", "gone", ROOT);
    lab.leaf("gone", "orphan", LEAF);
    lab.crl("gone", &[]);
    lab.revoke("root", "gone", "CACompromise");
    lab.crl("root", &[]);
}

#[test]
fn crls_are_judged_as_openssl_and_gnutls_do() {
    if !tools() {
        return;
    }
    let lab = Lab::new();
    make_lists(&lab);
    let cases = [
        case("not revoked", "good.pem --crl root.crl"),
        case("revoked", "revoked.pem --crl root.crl").fails("CRL: (keyCompromise)"),
        case("on hold", "held.pem --crl root.crl").fails("CRL: (certificateHold)"),
        case("revoked, by an older CRL", "revoked.pem --crl before.crl"),
        case(
            "revoked, by the higher number of two",
            "revoked.pem --crl after.crl --crl before.crl",
        )
        .fails("CRL: (keyCompromise)")
        .differs(
            GnuTls,
            "of two CRLs of one second it takes the last that it is given",
        ),
        case(
            "revoked, by the newer of two",
            "revoked.pem --crl root.crl --crl before.crl",
        )
        .fails("CRL: (keyCompromise)"),
        case("without a CRL", "revoked.pem"),
        case("expired CRL", "good.pem --crl expired.crl").fails("CRL: ended on 2021-01-01, "),
        case("revoked by an expired CRL", "revoked.pem --crl expired.crl").fails("CRL: (keyComp"),
        case("CRL not yet valid", "good.pem --crl early.crl")
            .fails("CRL: begins only on 2098-01-01"),
        case("CRL too old then", "good.pem --crl root.crl")
            .at(now() + Duration::days(31))
            .fails("CRL: ended at"),
        case("CRL by another CA", "good.pem --crl other.crl")
            .fails("CRL: it needs a CRL by O=Lab, CN=root, and there is one by O=Lab, CN=other"),
        case(
            "CRL of its CA among others",
            "good.pem --crl other.crl --crl root.crl",
        ),
        case("CRL by a CA of the same name", "good.pem --crl twin.crl")
            .fails("CRL: the signature does not match the key of O=Lab, CN=root"),
        case(
            "CRL of the same name beside the right one",
            "revoked.pem --crl twin.crl --crl root.crl",
        )
        .fails("CRL: (keyCompromise)"),
        case(
            "CRL for another key identifier",
            "keyless.pem --crl root.crl --ca-file rekeyed.pem",
        )
        .fails("CRL: but that of O=Lab, CN=root is 00112233"),
        case("altered CRL", "good.pem --crl altered.crl")
            .fails("CRL: the signature does not match the key of O=Lab, CN=root"),
        case(
            "CA without cRLSign",
            "muted.pem --ca-file mute.pem --crl mute.crl",
        )
        .fails("CRL: O=Lab, CN=mute may not sign CRL 01 of "),
        case(
            "chain with a CRL each",
            "deep.pem --untrusted sub.pem --crl root.crl --crl sub.crl",
        ),
        case(
            "chain, CRL of the CA missing",
            "deep.pem --untrusted sub.pem --crl sub.crl",
        )
        .fails("CRL: it needs a CRL by O=Lab, CN=root, and there is one by O=Lab, CN=sub")
        .differs(GnuTls, "it does without a CRL"),
        case(
            "revoked CA in the chain",
            "orphan.pem --untrusted gone.pem --crl root.crl --crl gone.crl",
        )
        .fails("CRL: O=Lab, CN=gone, which is in the chain, was revoked on "),
    ];
    compare("CRLs", &lab, &cases);
}

fn make_chains(lab: &Lab) {
    lab.alter(
        "good.pem",
        "altered.pem",
        "CERTIFICATE",
        b"mail.example.tes",
    );
    lab.ca("other", ROOT);
    lab.ca_with("twin", "/O=Lab/CN=root", ROOT, &[]);
    let keyless = LEAF.replace("authorityKeyIdentifier=keyid\n", "");
    lab.leaf("twin", "double", LEAF);
    lab.leaf("twin", "anonymous", &keyless);
    lab.intermediate("root", "sub", ROOT);
    lab.leaf("sub", "deep", LEAF);
    lab.intermediate("sub", "subsub", ROOT);
    lab.leaf("subsub", "deeper", LEAF);
    lab.intermediate("root", "weak", &ROOT.replace("keyCertSign,", ""));
    lab.leaf("weak", "weakly", LEAF);
    lab.intermediate("root", "host", LEAF);
    lab.leaf("host", "hosted", LEAF);
    lab.intermediate(
        "root",
        "clients",
        &format!("{ROOT}extendedKeyUsage=clientAuth\n"),
    );
    lab.leaf("clients", "narrow", LEAF);
    fs::copy(lab.dir.file("clients.csr"), lab.dir.file("clients-bad.csr")).expect("copy");
    lab.sign(
        "root",
        "clients-bad",
        &ROOT.replace("keyCertSign,", ""),
        &[],
    );
    lab.intermediate(
        "root",
        "short",
        &ROOT.replace("CA:TRUE", "CA:TRUE,pathlen:0"),
    );
    lab.intermediate("short", "long", ROOT);
    lab.leaf("long", "longer", LEAF);
    lab.ca("low", &ROOT.replace("CA:TRUE", "CA:TRUE,pathlen:0"));
    lab.intermediate("low", "under", ROOT);
    lab.leaf("under", "lower", LEAF);
    lab.request("late", "/O=Lab/CN=late");
    lab.become_ca("late");
    let past = [
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20210101000000Z",
    ];
    lab.sign("root", "late", ROOT, &past);
    lab.leaf("late", "survivor", LEAF);
    lab.leaf("root", "boss", &LEAF.replace("CA:FALSE", "CA:TRUE"));
    lab.leaf(
        "root",
        "strange",
        &format!("{LEAF}1.2.3.4=critical,ASN1:NULL\n"),
    );
    lab.dir
        .write("empty.cnf", "[req]\ndistinguished_name=n\n[n]\n");
    for (name, is_ca) in [("selfmade", "FALSE"), ("selfmade-ca", "TRUE")] {
        lab.request(name, "/CN=mail.example.test");
        let (request, key) = (format!("{name}.csr"), format!("{name}.key"));
        let out = format!("{name}.pem");
        let extension = format!("basicConstraints=critical,CA:{is_ca}");
        lab.dir.openssl(&[
            "req",
            "-x509",
            "-in",
            &request,
            "-key",
            &key,
            "-out",
            &out,
            "-days",
            "30",
            "-config",
            "empty.cnf",
            "-addext",
            &extension,
            "-addext",
            "subjectKeyIdentifier=hash",
        ]);
    }
    // The same CA renewed with another key identifier, with another number, and long ago.
    let changed = ROOT.replace("=hash", "=00112233");
    let changed = changed.replace("authorityKeyIdentifier=keyid\n", "");
    lab.renewal("renewed", &changed, &[]);
    lab.leaf(
        "root",
        "numbered",
        &LEAF.replace("=keyid", "=issuer:always"),
    );
    lab.renewal("again", ROOT, &[]);
    lab.renewal("ended", ROOT, &past);
    let bundle = lab.dir.read("ended.pem") + &lab.dir.read("again.pem");
    lab.dir.write("bundle.pem", &bundle);
}

#[test]
fn chains_are_judged_as_openssl_and_gnutls_do() {
    if !tools() {
        return;
    }
    let lab = Lab::new();
    make_chains(&lab);
    let cases = [
        case("altered", "altered.pem")
            .fails("chain: the signature does not match the key of O=Lab, CN=root"),
        case("wrong CA", "good.pem --ca-file other.pem").fails("chain: it is signed by O=Lab, CN=root, whose certificate is not here; trusted is O=Lab, CN=other"),
        case("wrong CA of the same name", "double.pem")
            .fails("chain: the signature does not match the key of O=Lab, CN=root"),
        case("the same without a key identifier", "anonymous.pem")
            .fails("chain: the signature does not match the key of O=Lab, CN=root"),
        case("intermediate", "deep.pem --untrusted sub.pem --purpose server"),
        case("two intermediates", "deeper.pem --untrusted subsub.pem --untrusted sub.pem"),
        case("missing intermediate", "deep.pem")
            .fails("chain: it is signed by O=Lab, CN=sub, whose certificate is not here"),
        case("missing second intermediate", "deeper.pem --untrusted subsub.pem").fails("chain: O=Lab, CN=subsub, which is in the chain, is signed by O=Lab, CN=sub, whose certificate"),
        case("intermediate without keyCertSign", "weakly.pem --untrusted weak.pem")
            .fails("chain: O=Lab, CN=weak may not sign certificates"),
        case("a host's certificate as a CA", "hosted.pem --untrusted host.pem")
            .fails("chain: O=Lab, CN=host signed it and is not a CA"),
        case("a CA for clients, as a server", "narrow.pem --untrusted clients.pem --purpose server")
            .fails("server: the purposes of O=Lab, CN=clients, which is in the chain, are clientAuth"),
        case("a CA for clients, as a client", "narrow.pem --untrusted clients.pem --purpose client"),
        case("more CAs than allowed", "longer.pem --untrusted long.pem --untrusted short.pem")
            .fails("chain: O=Lab, CN=short allows 0 CAs below it (pathLenConstraint), and here are 1"),
        case("more CAs than the trusted one allows", "lower.pem --ca-file low.pem --untrusted under.pem")
            .fails("chain: O=Lab, CN=low allows 0 CAs below it (pathLenConstraint), and here are 1"),
        case("expired intermediate", "survivor.pem --untrusted late.pem")
            .fails("validity: O=Lab, CN=late, which is in the chain, ended on 2021-01-01"),
        case("self-signed", "selfmade.pem")
            .fails("chain: it is self-signed; trusted is O=Lab, CN=root"),
        case("self-signed as a CA", "selfmade-ca.pem")
            .fails("chain: it is self-signed; trusted is O=Lab, CN=root"),
        case("self-signed and trusted", "selfmade.pem --ca-file selfmade.pem").differs(GnuTls, "it trusts nothing but CAs"),
        case("self-signed and trusted as a CA", "selfmade-ca.pem --ca-file selfmade-ca.pem"),
        case("the CA itself", "root.pem"),
        case("a CA as a host", "boss.pem --purpose server")
            .fails("chain: it is a CA's certificate (CA:TRUE), not a host's").differs(OpenSsl, "it takes a CA's certificate for a server's; webpki does not").differs(GnuTls, "it takes a CA's certificate for a server's"),
        case("unknown critical extension", "strange.pem")
            .fails("chain: it has the critical extension 1.2.3.4, which mailca does not know"),
        case("CA with another key identifier", "good.pem --ca-file renewed.pem")
            .fails("chain: but that of O=Lab, CN=root is 00112233"),
        case("CA with another number", "numbered.pem --ca-file again.pem")
            .fails("chain: it names its issuer's certificate 1001, but that of O=Lab, CN=root is 1").differs(GnuTls, "it does not compare the issuer's number"),
        case("renewed CA", "good.pem --ca-file again.pem"),
        case("two of a name, the wrong one first", "narrow.pem --untrusted clients-bad.pem --untrusted clients.pem --purpose client")
        .differs(OpenSsl, "it tries the first of a name only")
        .differs(GnuTls, "it tries the first of a name only"),
        case("renewed CA beside the expired one", "good.pem --ca-file bundle.pem"),
    ];
    compare("chains", &lab, &cases);
}

fn make_trusted_cas(lab: &Lab) {
    let ca = |name: &str, extensions: &str, options: &[&str]| {
        lab.ca_with(name, &format!("/O=Lab/CN={name}"), extensions, options);
        lab.leaf(name, &format!("by-{name}"), LEAF);
    };
    ca("silent", &ROOT.replace("keyCertSign,", ""), &[]);
    ca("nobody", &ROOT.replace("CA:TRUE", "CA:FALSE"), &[]);
    ca("bare", "subjectKeyIdentifier=hash\n", &[]);
    let past = [
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20210101000000Z",
    ];
    ca("late", ROOT, &past);
    ca(
        "book",
        "basicConstraints=CA:TRUE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
        &[],
    );
    ca("odd", &format!("{ROOT}1.2.3.4=critical,ASN1:NULL\n"), &[]);
    ca(
        "clients",
        &format!("{ROOT}extendedKeyUsage=clientAuth\n"),
        &[],
    );
    lab.alter(
        "root.pem",
        "altered.pem",
        "CERTIFICATE",
        &[0x30, 0x03, 0x01, 0x01],
    );
    lab.request("first", "/O=Lab/CN=first");
    let sign = [
        "x509",
        "-req",
        "-in",
        "first.csr",
        "-signkey",
        "first.key",
        "-out",
        "first.pem",
    ];
    lab.dir.openssl(&[&sign[..], &["-days", "30"]].concat());
    lab.become_ca("first");
    lab.leaf(
        "first",
        "by-first",
        &LEAF.replace("authorityKeyIdentifier=keyid\n", ""),
    );
    let old = [
        "x509", "-req", "-in", "good.csr", "-CA", "root.pem", "-CAkey", "root.key",
    ];
    lab.dir.openssl(
        &[
            &old[..],
            &["-CAcreateserial", "-out", "plain.pem", "-days", "30"],
        ]
        .concat(),
    );
    let constrained = |name: &str, constraints: &str| {
        let extensions = format!("{ROOT}nameConstraints=critical,{constraints}\n");
        lab.ca(name, &extensions);
    };
    constrained(
        "bound",
        "permitted;DNS:example.test,permitted;email:example.test,permitted;email:.example.test,\
         excluded;IP:0.0.0.0/0.0.0.0",
    );
    let named = |names: &str| LEAF.replace("DNS:mail.example.test", names);
    for (name, names) in [
        ("inside", "DNS:mail.example.test,DNS:example.test"),
        ("outside", "DNS:mail.example.test,DNS:mail.example.org"),
        (
            "mailbox-inside",
            "DNS:mail.example.test,email:a@example.test,email:a@b.example.test",
        ),
        (
            "mailbox-outside",
            "DNS:mail.example.test,email:a@example.org",
        ),
        ("address-outside", "DNS:mail.example.test,IP:192.0.2.1"),
        ("wild-inside", "DNS:*.example.test"),
    ] {
        lab.leaf("bound", name, &named(names));
    }
    lab.request("by-cn", "/CN=mail.example.org");
    lab.sign(
        "bound",
        "by-cn",
        &LEAF.replace("subjectAltName=DNS:mail.example.test\n", ""),
        &[],
    );
}

#[test]
fn trusted_cas_are_judged_as_openssl_and_gnutls_do() {
    if !tools() {
        return;
    }
    let lab = Lab::new();
    make_trusted_cas(&lab);
    let cases = [
        case(
            "CA without keyCertSign",
            "by-silent.pem --ca-file silent.pem",
        )
        .fails("CA: O=Lab, CN=silent may not sign certificates"),
        case("CA:FALSE", "by-nobody.pem --ca-file nobody.pem")
            .fails("CA: O=Lab, CN=nobody is not a CA: its basicConstraints do not say CA:TRUE"),
        case("no basicConstraints", "by-bare.pem --ca-file bare.pem")
            .fails("CA: is not a CA")
            .differs(GnuTls, "it takes a self-signed CA without basicConstraints"),
        case("version 1", "by-first.pem --ca-file first.pem").differs(
            OpenSsl,
            "-x509_strict wants a CA of version 3, and without that it takes this one",
        ),
        case("expired CA", "by-late.pem --ca-file late.pem").fails("CA: ended on 2021-01-01"),
        case("CA without keyUsage", "by-book.pem --ca-file book.pem").differs(
            OpenSsl,
            "-x509_strict wants keyUsage and critical basicConstraints in a CA",
        ),
        case(
            "CA with an unknown critical extension",
            "by-odd.pem --ca-file odd.pem",
        )
        .fails("CA: the critical extension 1.2.3.4"),
        case(
            "CA for clients, as a server",
            "by-clients.pem --ca-file clients.pem --purpose server",
        )
        .fails("server: the purposes of O=Lab, CN=clients")
        .differs(GnuTls, "it does not look at the purposes of a trusted CA"),
        case("altered CA", "good.pem --ca-file altered.pem")
            .fails("CA: O=Lab, CN=root was altered")
            .differs(
                OpenSsl,
                "it looks at the signature of a trusted CA with -check_ss_sig only",
            )
            .differs(GnuTls, "it does not look at the signature of a trusted CA"),
        case("host's certificate of version 1", "plain.pem")
            .fails("chain: it is of version 1, which has neither names nor purposes")
            .differs(OpenSsl, "it takes a host's certificate of version 1")
            .differs(GnuTls, "it takes a host's certificate of version 1"),
        case(
            "name inside",
            "inside.pem --ca-file bound.pem --host mail.example.test",
        ),
        case(
            "wildcard inside",
            "wild-inside.pem --ca-file bound.pem --host mail.example.test",
        ),
        case("name outside", "outside.pem --ca-file bound.pem").fails(
            "chain: the name constraints of O=Lab, CN=bound do not permit DNS:mail.example.org",
        ),
        case("CN outside", "by-cn.pem --ca-file bound.pem").fails(
            "chain: the name constraints of O=Lab, CN=bound do not permit CN=mail.example.org",
        ),
        case(
            "mailbox inside",
            "mailbox-inside.pem --ca-file bound.pem --host a@example.test",
        ),
        case("mailbox outside", "mailbox-outside.pem --ca-file bound.pem").fails(
            "chain: the name constraints of O=Lab, CN=bound do not permit email:a@example.org",
        ),
        case("address outside", "address-outside.pem --ca-file bound.pem")
            .fails("chain: the name constraints of O=Lab, CN=bound exclude IP:192.0.2.1"),
    ];
    compare("trusted CAs", &lab, &cases);
}

#[test]
fn signatures_that_cannot_be_checked_are_named() {
    if !tools() {
        return;
    }
    let lab = Lab::new();
    let ca = |name: &str, algorithm: &[&str], options: &[&str]| {
        lab.key(name, algorithm);
        lab.ca_with(name, &format!("/O=Lab/CN={name}"), ROOT, options);
        lab.leaf_with(name, &format!("by-{name}"), LEAF, options);
    };
    ca("p521", &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], &[]);
    ca(
        "sha1",
        &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        &["-md", "sha1"],
    );
    ca("short", &["RSA", "-pkeyopt", "rsa_keygen_bits:1024"], &[]);
    ca("ed448", &["ED448"], &[]);
    ca(
        "pss",
        &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        &[
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            "rsa_pss_saltlen:digest",
        ],
    );
    let cannot = "neither ring nor the curves that mailca knows have the algorithm";
    let cases = [
        case("P-521", "by-p521.pem --ca-file p521.pem"),
        case("Ed448", "by-ed448.pem --ca-file ed448.pem")
            .fails("chain: its signature is made with id-Ed448, which mailca cannot verify")
            .differs(OpenSsl, cannot)
            .differs(GnuTls, cannot),
        case("SHA-1", "by-sha1.pem --ca-file sha1.pem")
            .fails("chain: its signature is made with sha1WithRSAEncryption, which is broken")
            .differs(
                OpenSsl,
                "openssl verify takes SHA-1 at its security level 0",
            ),
        case("RSA 1024", "by-short.pem --ca-file short.pem")
            .fails("chain: its RSA key has 1024 bits, but 2048 are the least that is safe")
            .differs(
                OpenSsl,
                "openssl verify takes 1024 bits at its security level 0",
            )
            .differs(
                GnuTls,
                "certtool takes 1024 bits where no profile is selected",
            ),
        case("RSA-PSS", "by-pss.pem --ca-file pss.pem"),
    ];
    compare("signatures", &lab, &cases);
}
