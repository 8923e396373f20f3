use proptest::prelude::*;

use super::*;

fn dns(name: &str) -> GeneralName {
    GeneralName::Dns(name.into())
}

fn ip(address: &str) -> GeneralName {
    GeneralName::Ip(address.parse().unwrap())
}

fn email(mailbox: &str) -> GeneralName {
    GeneralName::Email(mailbox.into())
}

fn domain_of(length: usize) -> String {
    let labels = format!("{}.", "a".repeat(61)).repeat(4);
    format!("{labels}{}", "b".repeat(length - labels.len()))
}

#[test]
fn names_are_told_apart_by_themselves() {
    let label = "a".repeat(63);
    let cases = [
        ("mail.example.org", dns("mail.example.org")),
        ("Mail.EXAMPLE.org.", dns("mail.example.org")),
        ("localhost", dns("localhost")),
        ("*.example.org", dns("*.example.org")),
        ("bücher.example", dns("xn--bcher-kva.example")),
        ("BÜCHER.example.", dns("xn--bcher-kva.example")),
        ("*.bücher.example", dns("*.xn--bcher-kva.example")),
        ("例え.テスト", dns("xn--r8jz45g.xn--zckzah")),
        ("_smtp.example.org", dns("_smtp.example.org")),
        ("1.example.org", dns("1.example.org")),
        ("3com.example", dns("3com.example")),
        (&label, dns(&label)),
        (&domain_of(253), dns(&domain_of(253))),
        ("192.0.2.1", ip("192.0.2.1")),
        ("2001:DB8::1", ip("2001:db8::1")),
        ("::ffff:192.0.2.1", ip("::ffff:192.0.2.1")),
        ("postmaster@example.org", email("postmaster@example.org")),
        (
            "Post.Master+x@Example.ORG.",
            email("Post.Master+x@example.org"),
        ),
        ("a@bücher.example", email("a@xn--bcher-kva.example")),
        ("dns:mail.example.org", dns("mail.example.org")),
        ("DNS:mail.example.org", dns("mail.example.org")),
        ("ip:192.0.2.1", ip("192.0.2.1")),
        ("ip:2001:db8::1", ip("2001:db8::1")),
        ("email:a@example.org", email("a@example.org")),
        ("Email:a@localhost", email("a@localhost")),
    ];
    for (text, name) in cases {
        assert_eq!(GeneralName::parse(text), Ok(name), "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_no_name_is_refused_with_the_reason() {
    let long = "a".repeat(64);
    let cases = [
        ("", r#""" is not a host name: it is empty"#),
        (".", r#""" is not a host name: it is empty"#),
        (
            "a..b",
            r#""a..b" is not a host name: it has an empty label"#,
        ),
        (".a", r#"".a" is not a host name: it has an empty label"#),
        ("a..", r#""a." is not a host name: it has an empty label"#),
        (
            "-a",
            r#""-a" is not a host name: a label begins or ends with a hyphen"#,
        ),
        (
            "a-.b",
            r#""a-.b" is not a host name: a label begins or ends with a hyphen"#,
        ),
        (
            "*",
            r#""*" is not a host name: a label has other characters than letters, digits and hyphens"#,
        ),
        (
            "a.*.b",
            r#""a.*.b" is not a host name: a label has other characters than letters, digits and hyphens"#,
        ),
        (
            "*a.b",
            r#""*a.b" is not a host name: a label has other characters than letters, digits and hyphens"#,
        ),
        (
            "*.",
            r#""*" is not a host name: a label has other characters than letters, digits and hyphens"#,
        ),
        (
            "a b",
            r#""a b" is not a host name: a label has other characters than letters, digits and hyphens"#,
        ),
        (
            "a/b",
            r#""a/b" is not a host name: a label has other characters than letters, digits and hyphens"#,
        ),
        (
            "a\nb",
            r#""a\nb" is not a host name: a label has other characters than letters, digits and hyphens"#,
        ),
        (
            "bü cher",
            r#""bü cher" is not a host name: it has no form in A-labels (RFC 5891)"#,
        ),
        (
            "bü..x",
            r#""bü..x" is not a host name: it has no form in A-labels (RFC 5891)"#,
        ),
        (
            "192.0.2.256",
            r#""192.0.2.256" is not a host name: its last label is a number, as in an IP address"#,
        ),
        (
            "192.0.2.1.",
            r#""192.0.2.1" is not a host name: it is an IP address"#,
        ),
        (
            "*.192.0.2.1",
            r#""*.192.0.2.1" is not a host name: its last label is a number, as in an IP address"#,
        ),
        (
            "dns:192.0.2.1",
            r#""192.0.2.1" is not a host name: it is an IP address"#,
        ),
        (
            "mail.example.org:25",
            r#""mail.example.org:25" is not a host name: it has a colon, and the kinds of names are dns:, ip: and email:"#,
        ),
        (
            "uri:x",
            r#""uri:x" is not a host name: it has a colon, and the kinds of names are dns:, ip: and email:"#,
        ),
        (
            "[2001:db8::1]",
            r#""[2001:db8::1]" is not a host name: it has a colon, and the kinds of names are dns:, ip: and email:"#,
        ),
        ("ip:mail", r#""mail" is not an IP address"#),
        ("ip:192.0.2.0/24", r#""192.0.2.0/24" is not an IP address"#),
        (
            "email:mail",
            r#""mail" is not an e-mail address that a certificate can hold"#,
        ),
        (
            "@example.org",
            r#""@example.org" is not an e-mail address that a certificate can hold"#,
        ),
        (
            "a@",
            r#""a@" is not an e-mail address that a certificate can hold"#,
        ),
        (
            "a@*.b",
            r#""a@*.b" is not an e-mail address that a certificate can hold"#,
        ),
        (
            "a@b@c",
            r#""a@b@c" is not an e-mail address that a certificate can hold"#,
        ),
        (
            "a..b@c",
            r#""a..b@c" is not an e-mail address that a certificate can hold"#,
        ),
        (
            ".a@c",
            r#"".a@c" is not an e-mail address that a certificate can hold"#,
        ),
        (
            "ü@c",
            r#""ü@c" is not an e-mail address that a certificate can hold"#,
        ),
        (
            "\"a b\"@c",
            r#""\"a b\"@c" is not an e-mail address that a certificate can hold"#,
        ),
    ];
    for (text, message) in cases {
        assert_eq!(GeneralName::parse(text).unwrap_err().to_string(), message);
    }
    let error = GeneralName::parse(&long).unwrap_err().to_string();
    assert!(
        error.ends_with("a label is longer than 63 characters"),
        "{error}"
    );
    let error = GeneralName::parse(&domain_of(254)).unwrap_err().to_string();
    assert!(
        error.ends_with("it is longer than 253 characters"),
        "{error}"
    );
    assert_eq!(domain_of(254).len(), 254);
}

#[test]
fn names_of_a_request_keep_their_case_but_are_checked() {
    assert_eq!(GeneralName::requested_dns("Mail.B"), Ok(dns("Mail.B")));
    assert_eq!(dns("Mail.B").folded(), dns("mail.b"));
    for name in ["", "a.", "a..b", "bücher.example", "192.0.2.1", "a\0b"] {
        assert!(GeneralName::requested_dns(name).is_err(), "{name}");
    }
    assert_eq!(GeneralName::requested_email("A@B.c"), Ok(email("A@B.c")));
    for name in ["", "a", "a@", "@b", "a@*.b", "a b@c", "a@b\0"] {
        assert!(GeneralName::requested_email(name).is_err(), "{name}");
    }
    assert_eq!(
        GeneralName::requested_ip(&[192, 0, 2, 1]),
        Ok(ip("192.0.2.1"))
    );
    let error = GeneralName::requested_ip(&[1; 8]).unwrap_err();
    assert_eq!(error.to_string(), "\"8 octets\" is not an IP address");
}

#[test]
fn names_are_shown_as_openssl_shows_them() {
    assert_eq!(dns("a.b").to_string(), "DNS:a.b");
    assert_eq!(ip("192.0.2.1").to_string(), "IP:192.0.2.1");
    assert_eq!(email("a@b").to_string(), "email:a@b");
}

proptest! {
    #[test]
    fn any_text_is_a_name_or_refused(text in any::<String>()) {
        let _ = GeneralName::parse(&text);
    }

    #[test]
    fn what_is_read_once_is_read_again(text in "(ip:|dns:|email:)?[a-zA-Z0-9ü*@._:-]{0,12}") {
        if let Ok(name) = GeneralName::parse(&text) {
            let again = GeneralName::parse(&name.to_string().replace("IP:", "ip:"));
            prop_assert_eq!(again, Ok(name));
        }
    }
}
