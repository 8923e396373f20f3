//! Transactions in a directory that `openssl ca` works in too.

use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration as Span, OffsetDateTime};

use super::*;
use crate::pki::extensions::of_end_entity;
use crate::pki::general_name::GeneralName;
use crate::pki::key::{EncodedKey, KeyType, PrivateKey};
use crate::pki::name::Name;
use crate::pki::profile::Profile;
use crate::pki::tbs::TbsCertificate;
use crate::pki::testing::Openssl;
use crate::store::index::Row;

const CNF: &str = "\
[ca]
default_ca = ours
[ours]
dir = .
certificate = $dir/cacert.pem
private_key = $dir/private/cakey.pem
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir/newcerts
default_md = sha256
default_days = 30
policy = anything
x509_extensions = ext
[anything]
C = optional
O = optional
CN = optional
emailAddress = optional
[ext]
basicConstraints = CA:FALSE
[req]
distinguished_name = dn
[dn]
";
const NOW: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);
// A child that another test forks holds our lock until it becomes openssl.
const WAIT: Duration = Duration::from_secs(10);

struct Dir {
    openssl: Openssl,
    unique: &'static str,
}

impl Dir {
    fn new(unique: &'static str) -> Self {
        let openssl = Openssl::new();
        for name in ["private", "newcerts"] {
            fs::create_dir(openssl.path(name)).unwrap();
        }
        openssl.write("openssl.cnf", CNF);
        openssl.write("index.txt", "");
        openssl.write("index.txt.attr", format!("unique_subject = {unique}\n"));
        openssl.write("serial", "0A\n");
        openssl.p256("private/cakey.pem");
        openssl.run_with(
            "req -x509 -config openssl.cnf -key private/cakey.pem -days 36500 -out cacert.pem",
            &["-subj", "/O=Example/CN=CA"],
        );
        Self { openssl, unique }
    }

    fn store(&self) -> Store {
        let store = Store::open(self.openssl.dir(), None, &|_| None).unwrap();
        assert_eq!(store.unique_subject, self.unique == "yes");
        store
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.openssl.read(name)).unwrap()
    }

    fn rows(&self) -> Vec<String> {
        self.text("index.txt").lines().map(str::to_owned).collect()
    }

    /// Lets `openssl ca` sign a request for `subject`.
    fn openssl_signs(&self, subject: &str, more: &str) {
        self.openssl.p256("theirs.key");
        self.openssl.run_with(
            "req -new -config openssl.cnf -utf8 -key theirs.key -out theirs.csr",
            &["-subj", subject],
        );
        self.openssl.run(&format!(
            "ca -batch -notext -config openssl.cnf -in theirs.csr -out theirs.pem {more}"
        ));
    }
}

fn certificate(store: &Store, serial: &SerialNumber, key: &PrivateKey, name: &str) -> Certificate {
    certificate_until(store, serial, key, name, NOW + Span::days(30))
}

fn certificate_until(
    store: &Store,
    serial: &SerialNumber,
    key: &PrivateKey,
    name: &str,
    not_after: OffsetDateTime,
) -> Certificate {
    let ca = EncodedKey::find(&fs::read(&store.settings.private_key).unwrap());
    let ca = ca.unwrap().unwrap().unlock(None).unwrap();
    let public_key = key.subject_public_key_info();
    let names = [GeneralName::parse(name).unwrap()];
    let tbs = TbsCertificate {
        serial,
        issuer: &store.certificate.subject,
        not_before: datetime!(2020-01-01 00:00 UTC),
        not_after,
        subject: &Name::common_name_only(name).unwrap(),
        subject_public_key_info: public_key,
        extensions: of_end_entity(
            Profile::Relay,
            public_key,
            &names,
            false,
            &store.certificate,
            None,
        )
        .unwrap(),
    };
    Certificate::from_der(&tbs.sign(&ca, ca.digest_for(None)).unwrap()).unwrap()
}

fn random() -> SerialNumber {
    "7000000000000000".parse().unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyType::P256).unwrap()
}

fn take_serial(transaction: &mut Transaction<'_>) -> Result<SerialNumber, TransactionError> {
    let mut taken = transaction.take_serials(1, &random())?;
    Ok(taken.remove(0))
}

fn holders(store: &Store, certificates: &[&Certificate]) -> Holders {
    let subjects = certificates
        .iter()
        .map(|certificate| certificate.subject.oneline());
    store.holders(subjects, NOW).unwrap()
}

/// Issues a certificate without a host's key.
fn issue(
    store: &Store,
    name: &str,
    not_after: OffsetDateTime,
) -> Result<Certificate, TransactionError> {
    let mut transaction = store.begin(WAIT)?;
    let serial = take_serial(&mut transaction)?;
    let settled = transaction.settle()?;
    let certificate = certificate_until(store, &serial, &key(), name, not_after);
    let issued = Issued {
        certificate: &certificate,
        copy_to: None,
        host: None,
    };
    let holders = holders(store, &[&certificate]);
    holders.check(&certificate.subject.oneline(), None)?;
    settled.commit(&[issued], &holders)?;
    Ok(certificate)
}

/// Takes a serial, stages a host's key and writes the commit's record, and then dies.
fn commit_and_die(store: &Store) -> (Certificate, Vec<Step>) {
    let mut transaction = store.begin(WAIT).unwrap();
    let serial = take_serial(&mut transaction).unwrap();
    let key = key();
    let host = transaction
        .stage_key("mail.example.org", &serial, &key.to_pem().unwrap())
        .unwrap();
    let certificate = certificate(store, &serial, &key, "mail.example.org");
    let issued = Issued {
        certificate: &certificate,
        copy_to: Some(store.last_certificate_path()),
        host: Some(host),
    };
    let steps = transaction
        .steps(&[issued], &holders(store, &[&certificate]))
        .unwrap();
    transaction.journal.commit(&steps).unwrap();
    transaction.keeps_staged = true;
    (certificate, steps)
}

#[track_caller]
fn assert_published(dir: &Dir, certificate: &Certificate) {
    let pem = certificate.to_pem();
    let serial = certificate.serial.to_string();
    let line = index::line_of(certificate);
    let index = dir.text("index.txt");
    assert_eq!(index.matches(&line).count(), 1, "{index}");
    assert!(
        index.lines().all(|line| Row::parse(line).is_some()),
        "{index:?}"
    );
    assert_eq!(dir.text(&format!("newcerts/{serial}.pem")), pem);
    assert_eq!(dir.text("newcert.pem"), pem);
    let folder = fs::read_link(dir.openssl.path("hosts/mail.example.org")).unwrap();
    assert_eq!(folder, Path::new(&format!("mail.example.org.{serial}")));
    assert_eq!(dir.text("hosts/mail.example.org/cert.pem"), pem);
    assert_eq!(
        dir.text("hosts/mail.example.org/chain.pem"),
        format!("{pem}{}", dir.store().certificate.to_pem())
    );
    let public_key = dir.openssl.public_key("hosts/mail.example.org/key.pem");
    assert_eq!(public_key, certificate.subject_public_key_info);
    assert_eq!(
        files::mode(&dir.openssl.path("hosts/mail.example.org/key.pem")).unwrap(),
        0o600
    );
    assert!(!files::exists(&dir.openssl.path("hosts/.pending")));
}

#[test]
fn a_commit_puts_everything_in_its_place_and_openssl_goes_on_from_there() {
    let dir = Dir::new("no");
    let store = dir.store();
    let mut transaction = store.begin(WAIT).unwrap();
    let serial = take_serial(&mut transaction).unwrap();
    assert_eq!(serial.to_string(), "0A");
    assert_eq!(dir.text("serial"), "0B\n");
    let key = key();
    let host = transaction
        .stage_key("mail.example.org", &serial, &key.to_pem().unwrap())
        .unwrap();
    let settled = transaction.settle().unwrap();
    let certificate = certificate(&store, &serial, &key, "mail.example.org");
    let issued = Issued {
        certificate: &certificate,
        copy_to: Some(store.last_certificate_path()),
        host: Some(host),
    };
    settled
        .commit(&[issued], &holders(&store, &[&certificate]))
        .unwrap();
    assert_published(&dir, &certificate);
    dir.openssl.run("verify -CAfile cacert.pem newcerts/0A.pem");

    dir.openssl_signs("/CN=theirs", "");
    assert_eq!(dir.text("serial"), "0C\n");
    assert_eq!(dir.rows().len(), 2);
    issue(&store, "third.example.org", NOW).unwrap();
    assert_eq!(dir.rows().len(), 3);
    dir.openssl
        .run("ca -config openssl.cnf -revoke newcerts/0A.pem");
    dir.openssl
        .run("ca -config openssl.cnf -gencrl -crldays 30 -out crl.pem");
    let statuses: Vec<_> = dir.rows().iter().map(|row| row[..1].to_owned()).collect();
    assert_eq!(statuses, ["R", "V", "V"]);
}

#[test]
fn rows_are_those_that_openssl_ca_writes_for_the_same_certificate() {
    let dir = Dir::new("no");
    let cases = [
        ("/CN=mail.example.org", "-days 30"),
        (
            "/C=US/O=Example/CN=a/emailAddress=a@example.org",
            "-days 30",
        ),
        ("/O=Exämple/CN=Größe 日本 😀", "-days 30"),
        ("/CN=a\\/b\\+c\\\\d=e", "-days 30"),
        ("/CN=tab\there", "-days 30"),
        ("/CN=b+O=a", "-days 30"),
        ("/CN=b+O=a", "-days 30 -preserveDN"),
        ("/OU=dropped", "-days 30"),
        ("/UID=u/DC=x/2.5.4.45=q/CN=a", "-days 30 -preserveDN"),
        ("/CN=2049", "-enddate 20491231235959Z"),
        ("/CN=2050", "-enddate 20500101000000Z"),
        ("/CN=2121", "-enddate 21210630120000Z"),
    ];
    for (at, (subject, more)) in cases.into_iter().enumerate() {
        dir.openssl_signs(subject, more);
        let row = dir.rows().remove(at);
        let issued = dir.openssl.certificate("theirs.pem");
        assert_eq!(index::line_of(&issued), format!("{row}\n"), "{subject}");
    }
}

#[test]
fn numbers_that_newcerts_has_are_skipped_and_never_given_twice() {
    let dir = Dir::new("no");
    dir.openssl.write("newcerts/0A.pem", "");
    dir.openssl.write("newcerts/0B.pem", "");
    let store = dir.store();
    let mut transaction = store.begin(WAIT).unwrap();
    assert_eq!(take_serial(&mut transaction).unwrap().to_string(), "0C");
    assert_eq!(take_serial(&mut transaction).unwrap().to_string(), "0D");
    drop(transaction);
    assert_eq!(dir.text("serial"), "0E\n");
    let own = store.certificate.serial.to_string();
    dir.openssl.write("serial", format!("{own}\n"));
    let taken = take_serial(&mut store.begin(WAIT).unwrap()).unwrap();
    assert_eq!(taken, store.certificate.serial.next().unwrap());
    dir.openssl.write("serial", "xyz\n");
    let error = take_serial(&mut store.begin(WAIT).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}: \"xyz\" is not a serial number in hexadecimal digits",
            dir.openssl.path("serial").display()
        )
    );
}

#[test]
fn a_commit_that_nothing_was_done_of_is_finished_by_the_next_writer() {
    let dir = Dir::new("no");
    let store = dir.store();
    let (certificate, _) = commit_and_die(&store);
    assert_eq!(dir.text("index.txt"), "");
    drop(store.begin(WAIT).unwrap());
    assert_published(&dir, &certificate);
    drop(store.begin(WAIT).unwrap());
    assert_published(&dir, &certificate);
    dir.openssl_signs("/CN=theirs", "");
    assert_published(&dir, &certificate);
}

#[test]
fn a_commit_is_finished_whatever_was_done_of_it_already() {
    for done in 0..=4 {
        let dir = Dir::new("no");
        let store = dir.store();
        let (certificate, steps) = commit_and_die(&store);
        for step in &steps[..done] {
            step.carry_out(&store).unwrap();
        }
        drop(store.begin(WAIT).unwrap());
        assert_published(&dir, &certificate);
    }
}

#[test]
fn a_host_whose_folder_was_renamed_but_not_linked_is_finished() {
    let dir = Dir::new("no");
    let store = dir.store();
    let (certificate, _) = commit_and_die(&store);
    let folder = format!("mail.example.org.{}", certificate.serial);
    fs::rename(
        dir.openssl.path("hosts/.pending").join(&folder),
        dir.openssl.path("hosts").join(&folder),
    )
    .unwrap();
    drop(store.begin(WAIT).unwrap());
    assert_published(&dir, &certificate);
}

#[test]
fn readers_see_what_is_committed_whatever_is_written_of_it() {
    let dir = Dir::new("yes");
    issue(&dir.store(), "first.example.org", NOW + Span::days(9)).unwrap();
    let before = dir.text("index.txt");
    let (certificate, steps) = commit_and_die(&dir.store());
    let row = index::line_of(&certificate);
    let check = || {
        let tree = dir.text("index.txt");
        let store = dir.store();
        assert_eq!(store.hosts.list().unwrap(), ["mail.example.org"]);
        let (found, key) = store.hosts.pair("mail.example.org").unwrap().unwrap();
        assert_eq!(found.serial, certificate.serial);
        assert_eq!(
            key.subject_public_key_info(),
            certificate.subject_public_key_info
        );
        let subject = "/CN=mail.example.org".to_owned();
        let holders = store.holders([subject.clone()], NOW).unwrap();
        assert!(holders.check(&subject, None).is_err());
        // The torn subject of a row is nobody's.
        let torn = "/CN=mail.exam".to_owned();
        let holders = store.holders([torn.clone()], NOW).unwrap();
        holders.check(&torn, None).unwrap();
        assert_eq!(store.revocation(&certificate.serial).unwrap(), None);
        assert_eq!(dir.text("index.txt"), tree);
    };
    for length in 0..=row.len() {
        dir.openssl
            .write("index.txt", format!("{before}{}", &row[..length]));
        check();
    }
    for step in &steps {
        step.carry_out(&dir.store()).unwrap();
        check();
    }
    drop(dir.store().begin(WAIT).unwrap());
    check();
    assert_published(&dir, &certificate);
}

#[test]
fn a_request_that_is_committed_waits_for_its_certificate() {
    let dir = Dir::new("no");
    let store = dir.store();
    let key = key();
    let mut transaction = store.begin(WAIT).unwrap();
    let from = transaction
        .stage("mail.example.org", &key.to_pem().unwrap(), None)
        .unwrap();
    let steps = [Step::AwaitCertificate {
        host: "mail.example.org".into(),
        from: transaction.relative(&from),
    }];
    transaction.journal.commit(&steps).unwrap();
    transaction.keeps_staged = true;
    drop(transaction);
    let next = store.hosts.next("mail.example.org");
    assert!(!files::exists(&next));
    let waiting = dir.store().hosts.key(&next).unwrap().unwrap();
    assert_eq!(
        waiting.subject_public_key_info(),
        key.subject_public_key_info()
    );
    drop(store.begin(WAIT).unwrap());
    assert!(files::exists(&next));
    assert!(dir.store().hosts.key(&next).unwrap().is_some());
}

#[test]
fn a_row_torn_anywhere_is_made_whole() {
    for before in ["", "V\t300101000000Z\t\t09\tunknown\t/CN=unterminated"] {
        let dir = Dir::new("no");
        let store = dir.store();
        dir.openssl.write("index.txt", before);
        let (certificate, steps) = commit_and_die(&store);
        let end = if before.is_empty() { "" } else { "\n" };
        let added = format!("{end}{}", index::line_of(&certificate));
        for length in 0..=added.len() {
            for zeros in [0, added.len() - length] {
                let torn = [
                    before.as_bytes(),
                    &added.as_bytes()[..length],
                    &vec![0; zeros],
                ];
                dir.openssl.write("index.txt", torn.concat());
                let mut journal =
                    Journal::open(&dir.openssl.path("index.txt.journal"), 0o644).unwrap();
                journal.commit(&steps).unwrap();
                drop(store.begin(WAIT).unwrap());
                assert_eq!(
                    dir.text("index.txt"),
                    format!("{before}{added}"),
                    "{length} {zeros}"
                );
            }
        }
        assert_published(&dir, &certificate);
    }
}

#[test]
fn a_certificate_torn_in_newcerts_is_made_whole_but_a_foreign_one_is_kept() {
    let dir = Dir::new("no");
    let store = dir.store();
    let (certificate, steps) = commit_and_die(&store);
    let pem = certificate.to_pem();
    for torn in [&b""[..], &pem.as_bytes()[..100], &[0; 64]] {
        dir.openssl.write("newcerts/0A.pem", torn);
        drop(store.begin(WAIT).unwrap());
        assert_published(&dir, &certificate);
        let mut journal = Journal::open(&dir.openssl.path("index.txt.journal"), 0o644).unwrap();
        journal.commit(&steps).unwrap();
    }
    dir.openssl.write("newcerts/0A.pem", "another");
    let error = store.begin(WAIT).unwrap_err().to_string();
    let path = dir.openssl.path("newcerts/0A.pem");
    assert_eq!(
        error,
        format!(
            "what an earlier command recorded cannot be finished: {} holds another certificate",
            path.display()
        )
    );
    assert_eq!(dir.text("newcerts/0A.pem"), "another");
}

#[test]
fn a_register_that_openssl_rewrote_meanwhile_gets_the_row_once() {
    let dir = Dir::new("no");
    dir.openssl_signs("/CN=theirs", "");
    let store = dir.store();
    let (certificate, steps) = commit_and_die(&store);
    drop(store.begin(WAIT).unwrap());
    dir.openssl
        .run("ca -config openssl.cnf -revoke newcerts/0A.pem");
    let before = dir.text("index.txt");
    let mut journal = Journal::open(&dir.openssl.path("index.txt.journal"), 0o644).unwrap();
    journal.commit(&steps).unwrap();
    drop(store.begin(WAIT).unwrap());
    assert_eq!(dir.text("index.txt"), before);
    assert_published(&dir, &certificate);
}

#[test]
fn a_host_removed_since_keeps_nobody_from_writing() {
    let dir = Dir::new("no");
    let store = dir.store();
    let (_, steps) = commit_and_die(&store);
    drop(store.begin(WAIT).unwrap());
    let mut journal = Journal::open(&dir.openssl.path("index.txt.journal"), 0o644).unwrap();
    journal.commit(&steps).unwrap();
    fs::remove_dir_all(dir.openssl.path("hosts")).unwrap();
    issue(&store, "b.example.org", NOW).unwrap();
    assert_eq!(dir.rows().len(), 2);
    assert!(!files::exists(&dir.openssl.path("hosts/mail.example.org")));
}

#[test]
fn a_last_row_without_its_end_is_ended_first() {
    let dir = Dir::new("no");
    dir.openssl_signs("/CN=theirs", "");
    let row = dir.text("index.txt");
    dir.openssl.write("index.txt", row.trim_end());
    let issued = issue(&dir.store(), "b.example.org", NOW).unwrap();
    assert_eq!(
        dir.text("index.txt"),
        format!("{row}{}", index::line_of(&issued))
    );
}

#[test]
fn unique_subject_permits_one_valid_certificate_and_marks_those_past_their_date() {
    let dir = Dir::new("yes");
    let store = dir.store();
    issue(&store, "a.example.org", NOW - Span::days(1)).unwrap();
    issue(&store, "b.example.org", NOW - Span::days(1)).unwrap();
    issue(&store, "a.example.org", NOW + Span::days(9)).unwrap();
    let error = issue(&store, "a.example.org", NOW + Span::days(9)).unwrap_err();
    assert!(matches!(error, TransactionError::Register(_)));
    assert_eq!(
        error.to_string(),
        "/CN=a.example.org already has the valid certificate 0C, and unique_subject = yes permits one"
    );
    let rows: Vec<_> = dir.rows().iter().map(|row| row[..7].to_owned()).collect();
    assert_eq!(rows, ["E\t29123", "V\t29123", "V\t30011"]);
    assert!(!files::exists(&dir.openssl.path("newcerts/0D.pem")));
    dir.openssl_signs("/CN=theirs", "");
    assert_eq!(dir.rows().len(), 4);
}

#[test]
fn a_second_writer_waits_and_then_names_the_lock() {
    let dir = Dir::new("no");
    let store = dir.store();
    let first = store.begin(WAIT).unwrap();
    let error = store.begin(Duration::from_millis(50)).unwrap_err();
    let path = dir.openssl.path("index.txt.lock");
    assert_eq!(
        error.to_string(),
        format!(
            "another mailca holds the lock {} (waited 0 s)",
            path.display()
        )
    );
    assert_eq!(files::mode(&path).unwrap(), 0o600);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| store.begin(Duration::from_secs(10)).map(|_| ()));
        std::thread::sleep(Duration::from_millis(50));
        drop(first);
        second.join().unwrap().unwrap();
    });
}

#[test]
fn a_key_staged_without_a_commit_is_gone_with_the_transaction() {
    let dir = Dir::new("no");
    let store = dir.store();
    let stage = |transaction: &Transaction<'_>| {
        let serial = "0A".parse().unwrap();
        let key = key().to_pem().unwrap();
        transaction
            .stage_key("mail.example.org", &serial, &key)
            .unwrap()
            .folder
    };
    let transaction = store.begin(WAIT).unwrap();
    let staged = stage(&transaction);
    assert!(files::exists(&staged));
    drop(transaction);
    assert!(!files::exists(&staged));

    let mut killed = store.begin(WAIT).unwrap();
    let staged = stage(&killed);
    killed.keeps_staged = true;
    drop(killed);
    assert!(files::exists(&staged));
    drop(store.begin(WAIT).unwrap());
    assert!(!files::exists(&staged));
}

#[test]
fn a_second_certificate_of_a_host_switches_its_link() {
    let dir = Dir::new("no");
    let store = dir.store();
    let (first, _) = commit_and_die(&store);
    let (second, _) = commit_and_die(&store);
    drop(store.begin(WAIT).unwrap());
    assert_published(&dir, &second);
    assert_ne!(first.serial, second.serial);
    assert_eq!(store.hosts.list().unwrap(), ["mail.example.org"]);
    let current = store
        .hosts
        .certificate("mail.example.org")
        .unwrap()
        .unwrap();
    assert_eq!(current.serial, second.serial);
}

#[test]
fn a_name_that_another_host_has_is_refused() {
    let dir = Dir::new("no");
    let store = dir.store();
    commit_and_die(&store);
    drop(store.begin(WAIT).unwrap());
    let hosts = &store.hosts;
    hosts
        .check_name("mail.example.org", "Mail.Example.org")
        .unwrap();
    hosts
        .check_name("new.example.org", "new.example.org")
        .unwrap();
    let error = hosts
        .check_name("mail.example.org", "mail/example.org")
        .unwrap_err();
    assert!(error.to_string().ends_with(
        "hosts/mail.example.org belongs to mail.example.org, and mail/example.org would need the same name"
    ));
    fs::create_dir(hosts.current("folder")).unwrap();
    assert!(hosts.check_name("folder", "folder").is_err());
    let key = hosts
        .key(&hosts.current("mail.example.org"))
        .unwrap()
        .unwrap();
    assert_eq!(
        key.to_pem().unwrap().as_bytes(),
        dir.openssl.read("hosts/mail.example.org/key.pem")
    );
    assert!(hosts.key(&hosts.current("folder")).unwrap().is_none());
    fs::write(hosts.current("folder").join(KEY), "x").unwrap();
    let error = hosts.key(&hosts.current("folder")).unwrap_err();
    assert!(error.to_string().ends_with("key.pem holds no private key"));
}

proptest! {
    #[test]
    fn any_text_is_a_row_or_none(text in any::<String>()) {
        let _ = Row::parse(&text).map(|row| row.is_past(NOW));
    }
}
