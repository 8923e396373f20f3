//! What `mailca export` brings to a mail host, judged by OpenSSL and GNU tar.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::{Command, Stdio};

use super::support::{Ca, User, require, run, strace, users};

const HOST: &str = "mail.example.test";

fn ca_with_host(user: User) -> Ca {
    let ca = Ca::of(user, &[]);
    ca.ok(&["issue", HOST, "--yes"]);
    ca.ok(&["crl"]);
    ca
}

fn serial(ca: &Ca) -> String {
    ca.serials().pop().expect("a row")
}

/// The modes and links of an exported directory, path by path.
#[track_caller]
fn listed(ca: &Ca, dir: &str) -> Vec<String> {
    let find = ["-mindepth", "1", "-printf", "%M %P %l\n"];
    let ran = run(ca.dir.command("find").arg(dir).args(find)).exits(0);
    let mut lines: Vec<_> = ran.stdout.lines().map(|it| it.trim().to_owned()).collect();
    lines.sort_by_key(|line| line.split(' ').nth(1).unwrap_or_default().to_owned());
    lines
}

/// Whether it is what a server needs: the pair belongs together, verifies by the files beside it,
/// also by their hashes, and by the CRL.
#[track_caller]
fn assert_good(ca: &Ca, dir: &str) {
    let file = |name: &str| format!("{dir}/{name}");
    let cert = file(&format!("hosts/{HOST}/cert.pem"));
    let key = file(&format!("hosts/{HOST}/key.pem"));
    let public = ca.dir.openssl(&["pkey", "-in", &key, "-pubout"]);
    assert_eq!(ca.x509(&cert, &["-pubkey"]), public);
    let ca_file = file("cacert.pem");
    let both = file("crl/ca-crl.pem");
    for options in [
        &["-CAfile", &ca_file][..],
        &["-no-CAfile", "-CApath", dir],
        &["-crl_check", "-CAfile", &both],
        &[
            "-crl_check",
            "-CAfile",
            &ca_file,
            "-CRLfile",
            &file("crl/crl.pem"),
        ],
        &["-crl_check", "-CAfile", &ca_file, "-CApath", &file("crl")],
    ] {
        let purposes = ["-purpose", "sslserver", "-verify_hostname", HOST];
        let words = [&["verify", "-x509_strict"], options, &purposes, &[&cert]].concat();
        ca.dir.openssl(&words);
    }
    let chain = ca.dir.read(&file(&format!("hosts/{HOST}/chain.pem")));
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn a_directory_has_all_that_a_mail_host_needs_and_is_written_once() {
    if !require(&["openssl"]) {
        return;
    }
    for user in users() {
        let ca = ca_with_host(user);
        let hash = ca.x509(&ca.file("cacert.pem"), &["-hash"]);
        let hash = hash.trim();
        let serial = serial(&ca);
        let first = ca.json(&["export", HOST, "out"]);
        assert_eq!(
            (&first["changed"], &first["key"]),
            (&true.into(), &true.into())
        );
        let folder = format!("hosts/{HOST}.{serial}");
        let mut expected = vec![
            format!("lrwxrwxrwx {hash}.0 cacert.pem"),
            "-rw-r--r-- cacert.pem".into(),
            "drwxr-xr-x crl".into(),
            "-rw-r--r-- crl/ca-crl.pem".into(),
            "-rw-r--r-- crl/crl.pem".into(),
            format!("lrwxrwxrwx crl/{hash}.r0 crl.pem"),
            "drwxr-xr-x hosts".into(),
            format!("lrwxrwxrwx hosts/{HOST} {HOST}.{serial}"),
            format!("drwxr-xr-x {folder}"),
            format!("-rw-r--r-- {folder}/cert.pem"),
            format!("-rw-r--r-- {folder}/chain.pem"),
            format!("-rw------- {folder}/key.pem"),
        ];
        expected.sort_by_key(|line| line.split(' ').nth(1).unwrap_or_default().to_owned());
        assert_eq!(listed(&ca, "out"), expected);
        assert_good(&ca, "out");

        let before = ca.tree();
        let again = ca.ok(&["export", HOST, "out"]);
        assert!(again.stdout.ends_with("nothing changed\n"), "{again}");
        before.assert_unchanged(ca.dir.path(), "the second export");
        // The lines name what is there.
        let dir = ca.dir.file("out");
        for server in ["postfix", "exim", "dovecot", "opensmtpd"] {
            let lines = ca.ok(&["emit", server, HOST, "--dir", &dir]).stdout;
            let named = lines.split([' ', '"', '<', ',', '\n']);
            let named: Vec<_> = named.filter(|word| word.starts_with(&dir)).collect();
            assert!(named.len() >= 2, "{lines}");
            for path in named {
                assert!(fs::metadata(path).is_ok(), "{path}: {lines}");
            }
        }
    }
}

#[test]
fn what_has_changed_is_written_and_what_is_old_goes() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = ca_with_host(User::me());
    ca.ok(&["export", HOST, "out"]);
    ca.dir.write("out/hosts/README", "mine\n");
    ca.dir.write("out/note", "mine\n");
    let key = |ca: &Ca| ca.dir.read(&format!("out/hosts/{HOST}/key.pem"));
    let old = (serial(&ca), key(&ca));
    ca.ok(&["renew", HOST, "--new-key", "--yes"]);
    let report = ca.json(&["export", HOST, "out"]);
    let folder = format!("hosts/{HOST}.{}", old.0);
    assert_eq!(report["removed"], serde_json::json!([folder]));
    assert!(!ca.dir.path().join("out").join(folder).exists());
    assert_ne!(key(&ca), old.1);
    assert_good(&ca, "out");

    // A revocation of another host reaches the CRL alone.
    ca.ok(&["issue", "gone.example.test", "--yes"]);
    ca.ok(&["revoke", "gone.example.test", "--yes"]);
    let report = ca.json(&["export", HOST, "out"]);
    assert_eq!(
        report["written"],
        serde_json::json!(["crl/crl.pem", "crl/ca-crl.pem"])
    );
    // Another host shares the CA's files, whatever its name.
    for other in ["mx2.example.test", "mail.example.test.de"] {
        ca.ok(&["issue", other, "--yes"]);
        ca.ok(&["export", other, "out"]);
        ca.ok(&["renew", HOST, "--yes"]);
        ca.ok(&["export", HOST, "out"]);
        assert!(
            ca.dir
                .path()
                .join(format!("out/hosts/{other}/key.pem"))
                .exists()
        );
    }
    assert_good(&ca, "out");
    // What somebody opened or deleted is as it should be again.
    let file = ca.dir.path().join("out/crl/crl.pem");
    fs::remove_file(&file).unwrap();
    let cert = ca.dir.path().join(format!("out/hosts/{HOST}/cert.pem"));
    fs::set_permissions(&cert, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(ca.json(&["export", HOST, "out"])["changed"], true);
    assert_eq!(fs::metadata(&cert).unwrap().mode() & 0o7777, 0o644);
    assert_good(&ca, "out");
    assert_eq!(ca.dir.read("out/hosts/README"), "mine\n");
    assert_eq!(ca.dir.read("out/note"), "mine\n");
}

#[test]
fn a_tar_unpacks_to_the_same_also_over_an_older_one() {
    if !require(&["openssl", "tar"]) {
        return;
    }
    let ca = ca_with_host(User::me());
    let unpack = |ca: &Ca| {
        let tar = ca.dir.path().join("host.tar");
        let mut command = ca.command(&["export", HOST, "-"]);
        command.stdout(fs::File::create(&tar).unwrap());
        assert!(command.stderr(Stdio::null()).status().unwrap().success());
        let dir = ca.dir.file("unpacked");
        fs::create_dir_all(&dir).unwrap();
        run(Command::new("tar").args(["-C", &dir, "-xpf"]).arg(&tar)).exits(0);
        fs::read(tar).unwrap()
    };
    let one = unpack(&ca);
    assert_eq!(one, unpack(&ca), "the same files give the same tar");
    ca.ok(&["export", HOST, "out"]);
    assert_eq!(listed(&ca, "unpacked"), listed(&ca, "out"));
    assert_good(&ca, "unpacked");

    ca.ok(&["renew", HOST, "--new-key", "--yes"]);
    unpack(&ca);
    assert_good(&ca, "unpacked");
    let link = ca.dir.path().join(format!("unpacked/hosts/{HOST}"));
    let now = format!("{HOST}.{}", serial(&ca));
    assert_eq!(fs::read_link(link).unwrap().to_str(), Some(&*now));
    // Its owner stands there by name.
    let mut command = ca.command(&["export", HOST, "-", "--for", "exim"]);
    let tar = command.output().unwrap().stdout;
    fs::write(ca.dir.path().join("exim.tar"), tar).unwrap();
    let said = run(ca.dir.command("tar").args(["-tvf", "exim.tar"])).exits(0);
    let key = said.stdout.lines().find(|line| line.ends_with("/key.pem"));
    let key = key.expect("a key");
    assert!(key.starts_with("-rw-r----- root/"), "{key}");
    assert!(key.contains("exim"), "{key}");
}

#[test]
fn keys_get_the_owner_and_mode_that_was_said_and_keep_it() {
    let ca = ca_with_host(User::me());
    let key = format!("out/hosts/{HOST}/key.pem");
    let access = |ca: &Ca| {
        let it = fs::metadata(ca.dir.path().join(&key)).unwrap();
        (it.uid(), it.gid(), it.mode() & 0o7777)
    };
    for mode in ["644", "660", "604", "040", "700"] {
        ca.refuses(&["export", HOST, "out", "--mode", mode]);
    }
    for wrong in ["abc", "1640", "8"] {
        ca.mailca(&["export", HOST, "out", "--mode", wrong])
            .exits(2);
    }
    ca.refuses(&["export", HOST, "out", "--owner", "no-such-user"]);
    ca.refuses(&["export", HOST, "out", "--owner", "root:no-such-group"]);
    if !User::me().is_root() {
        let said = ca.refuses(&["export", HOST, "out", "--owner", "root:root"]);
        assert!(said.contains("only root can give"), "{said}");
        return;
    }
    ca.ok(&[
        "export",
        HOST,
        "out",
        "--owner",
        "daemon:mail",
        "--mode",
        "640",
    ]);
    let given = access(&ca);
    assert_eq!(given.2, 0o640);
    assert_ne!((given.0, given.1), (0, 0));
    // Whoever runs it as a deploy hook need not say it again.
    ca.ok(&[
        "renew",
        HOST,
        "--yes",
        "--deploy-hook",
        &format!(
            "{} export \"$MAILCA_HOST\" {}",
            ca.command(&[]).get_program().to_str().unwrap().to_owned() + " --ca " + &ca.file("."),
            ca.dir.file("out"),
        ),
    ]);
    assert_good(&ca, "out");
    assert_eq!(access(&ca), given);
    ca.ok(&["export", HOST, "out", "--for", "postfix"]);
    assert_eq!(access(&ca), (0, 0, 0o600));
}

#[test]
fn places_that_are_none_are_refused() {
    let ca = ca_with_host(User::me());
    for (dir, says) in [
        ("CA", "lies in the CA directory"),
        ("CA/hosts/x", "lies in the CA directory"),
        ("open", "is writable by others"),
        ("file", "file is not a directory"),
        ("blocked", "is a directory"),
        ("taken", "a directory is in its place"),
        ("foreign", "is of another CA: CN=Other, not "),
    ] {
        let at = |name: &str| ca.dir.path().join(name);
        match dir {
            "open" => {
                ca.dir.create_dir("open");
                fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
            }
            "file" => drop(ca.dir.write("file", "")),
            "blocked" => fs::create_dir_all(at("blocked/cacert.pem")).unwrap(),
            "taken" => fs::create_dir_all(at(&format!("taken/hosts/{HOST}"))).unwrap(),
            "foreign" => {
                let other = Ca::named("/CN=Other");
                let made = fs::read(other.file("cacert.pem")).unwrap();
                ca.dir.create_dir("foreign");
                fs::write(at("foreign/cacert.pem"), made).unwrap();
            }
            _ => {}
        }
        let said = ca.refuses(&["export", HOST, dir]);
        assert!(said.contains(says), "{dir}: {said}");
    }
    ca.refuses(&["export", "nobody.example.test", "out"]);
    ca.ok(&["issue", "gone.example.test", "--yes"]);
    ca.ok(&["export", "gone.example.test", "out"]);
}

#[test]
fn links_that_others_put_there_are_replaced_and_not_followed() {
    let ca = ca_with_host(User::me());
    let dir = ca.dir.create_dir("out");
    ca.dir.write("victim", "untouched\n");
    ca.dir.create_dir("elsewhere");
    let victim = ca.dir.file("victim");
    symlink(&victim, dir.join("cacert.pem")).unwrap();
    ca.ok(&["export", HOST, "out"]);
    assert_eq!(ca.dir.read("victim"), "untouched\n");
    assert!(!dir.join("cacert.pem").is_symlink());
    // A folder that is a link leads nowhere.
    fs::remove_dir_all(dir.join("crl")).unwrap();
    symlink(ca.dir.file("elsewhere"), dir.join("crl")).unwrap();
    ca.refuses(&["export", HOST, "out"]);
    assert_eq!(fs::read_dir(ca.dir.file("elsewhere")).unwrap().count(), 0);
    fs::remove_file(dir.join("crl")).unwrap();
    // A second name of the CA's own key is not given to a daemon.
    let own = ca.file(&format!("hosts/{HOST}/key.pem"));
    let key = dir.join(format!("hosts/{HOST}/key.pem"));
    fs::remove_file(&key).unwrap();
    fs::hard_link(&own, &key).unwrap();
    if User::me().is_root() {
        ca.ok(&[
            "export",
            HOST,
            "out",
            "--owner",
            "daemon:mail",
            "--mode",
            "640",
        ]);
        assert_eq!(fs::metadata(&own).unwrap().uid(), 0);
        chown(&key, Some(0), Some(0)).unwrap();
    }
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn of_a_key_that_lives_elsewhere_only_the_certificate_is_exported() {
    let ca = Ca::new();
    let request = ca.request(HOST, &[]);
    ca.ok(&["sign", &request, "--yes"]);
    let ran = ca.ok(&["export", HOST, "out"]);
    assert!(ran.stderr.contains("is not here"), "{ran}");
    let folder = ca.dir.path().join(format!("out/hosts/{HOST}"));
    assert!(folder.join("cert.pem").exists() && !folder.join("key.pem").exists());

    // Where its host keeps it, it stays through renewals.
    let key = folder.join("key.pem");
    fs::copy(ca.dir.path().join(format!("{HOST}.key")), &key).unwrap();
    let bytes = fs::read(&key).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    ca.ok(&["export", HOST, "out"]);
    ca.ok(&["renew", HOST, "--yes"]);
    let report = ca.json(&["export", HOST, "out"]);
    assert_eq!(report["removed"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read(&key).unwrap(), bytes);
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o7777, 0o640);
    ca.ok(&["crl"]);
    ca.ok(&["export", HOST, "out"]);
    assert_good(&ca, "out");
    // A key of another certificate is neither taken nor removed.
    let other = ca.request("other.example.test", &[]);
    ca.dir
        .write(&format!("{HOST}.csr"), &fs::read_to_string(other).unwrap());
    ca.ok(&[
        "sign",
        &format!("{HOST}.csr"),
        "--san",
        HOST,
        "--yes",
        "--out",
        "again.pem",
    ]);
    assert_eq!(fs::read(&key).unwrap(), bytes);

    for serial in ca.serials() {
        ca.ok(&["revoke", &serial, "--yes"]);
    }
    let said = ca.refuses(&["export", HOST, "out"]);
    assert!(said.contains("was revoked on"), "{said}");
}

#[test]
fn what_is_revoked_or_lies_in_another_users_directory_is_not_exported() {
    let ca = ca_with_host(User::me());
    ca.dir.write_secret("pass", "secret\n");
    if User::me().is_root() {
        // A key would go to whoever has prepared the place.
        ca.dir.create_dir("theirs");
        ca.dir.create_dir("theirs/hosts");
        ca.dir.create_dir("theirs/hosts/evil");
        ca.dir.write("theirs/hosts/evil/key.pem", "");
        let theirs = ca.dir.path().join("theirs");
        symlink("evil", theirs.join(format!("hosts/{HOST}"))).unwrap();
        for place in ["hosts/evil", "hosts", ""] {
            chown(theirs.join(place), Some(65534), None).unwrap();
            let said = ca.refuses(&["export", HOST, "theirs"]);
            assert!(said.contains("and is no place for a private key"), "{said}");
        }
    }
    ca.ok(&["revoke", HOST, "--yes"]);
    for words in [
        &["export", HOST, "out"][..],
        &["export", HOST, "-"],
        &[
            "export",
            HOST,
            "h.p12",
            "--pkcs12",
            "--pkcs12-passphrase-file",
            "pass",
        ],
    ] {
        let said = ca.refuses(words);
        assert!(said.contains("was revoked on"), "{said}");
        assert!(
            said.contains("issue mail.example.test --replace\n"),
            "{said}"
        );
    }
    let said = ca.ok(&["emit", "postfix", HOST]).stderr;
    assert!(said.contains("was revoked on"), "{said}");
}

#[test]
fn while_two_keys_of_the_ca_count_both_are_exported() {
    if !require(&["openssl"]) {
        return;
    }
    let ca = ca_with_host(User::me());
    ca.ok(&["renew-ca", "--new-key", "--no-passphrase", "--yes"]);
    ca.ok(&["issue", "new.example.test", "--yes"]);
    for host in [HOST, "new.example.test"] {
        ca.ok(&["export", host, "out"]);
        let cert = format!("out/hosts/{host}/cert.pem");
        for options in [
            &["-CAfile", "out/cacert.pem"][..],
            &["-no-CAfile", "-CApath", "out"],
            &["-crl_check", "-CAfile", "out/crl/ca-crl.pem"],
        ] {
            let words = [&["verify"], options, &[&*cert]].concat();
            ca.dir.openssl(&words);
        }
    }
    let said = ca.ok(&["export", HOST, "-"]).stderr;
    assert!(said.contains("is by the old key of the CA"), "{said}");
    // A file for a mail client holds the issuer of its certificate.
    ca.dir.write_secret("pass", "secret\n");
    let pass = ["--pkcs12", "--pkcs12-passphrase-file", "pass"];
    ca.ok(&[&["export", HOST, "old.p12"], &pass[..]].concat());
    let read = [
        "pkcs12",
        "-in",
        "old.p12",
        "-passin",
        "file:pass",
        "-nokeys",
    ];
    for (only, file) in [("-clcerts", "leaf.pem"), ("-cacerts", "issuer.pem")] {
        ca.dir.openssl(&[&read[..], &[only, "-out", file]].concat());
    }
    ca.dir
        .openssl(&["verify", "-CAfile", "issuer.pem", "leaf.pem"]);
}

#[test]
fn a_death_or_an_error_at_any_call_leaves_what_was_there_or_the_whole() {
    if !require(&["openssl", "strace"]) {
        return;
    }
    let template = ca_with_host(User::me());
    template.ok(&["export", HOST, "out"]);
    template.ok(&["renew", HOST, "--new-key", "--yes"]);
    let words = ["export", HOST, "out"];
    let whole = template.copy();
    let Some((ran, calls)) = strace::changes(&whole.dir, &whole.command(&words)) else {
        return;
    };
    ran.exits(0);
    assert!(calls.len() > 20, "{}", calls.len());
    for call in &calls {
        for what in ["signal=KILL", "error=ENOSPC"] {
            let ca = template.copy();
            let ran = strace::accident(&ca.dir, &ca.command(&words), call, what);
            if what.starts_with("error") && ran.code() != 0 {
                assert_eq!(ran.code(), 1, "{}: {ran}", call.text);
                assert!(ran.stderr.contains("out"), "{}: {ran}", call.text);
            }
            assert_good(&ca, "out");
            ca.ok(&words);
            assert_eq!(listed(&ca, "out"), listed(&whole, "out"), "{}", call.text);
        }
    }
}
