use std::fs;

use tempfile::TempDir;

use super::*;

/// The CA section of Debian's /usr/lib/ssl/openssl.cnf, OpenSSL 3.0.
const DEBIAN: &str = "\
[ ca ]
default_ca	= CA_default		# The default ca section
[ CA_default ]
dir		= ./demoCA		# Where everything is kept
certs		= $dir/certs		# Where the issued certs are kept
crl_dir		= $dir/crl		# Where the issued crl are kept
database	= $dir/index.txt	# database index file.
new_certs_dir	= $dir/newcerts		# default place for new certs.
certificate	= $dir/cacert.pem 	# The CA certificate
serial		= $dir/serial 		# The current serial number
crlnumber	= $dir/crlnumber	# the current crl number
crl		= $dir/crl.pem 		# The current CRL
private_key	= $dir/private/cakey.pem # The private key
x509_extensions	= usr_cert		# The extensions to add to the cert
name_opt 	= ca_default		# Subject Name options
cert_opt 	= ca_default		# Certificate field options
default_days	= 365			# how long to certify for
default_crl_days= 30			# how long before next CRL
default_md	= default		# use public key default MD
preserve	= no			# keep passed DN ordering
policy		= policy_match
[ policy_match ]
countryName		= match
commonName		= supplied
";

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn try_read(&self) -> Result<Settings, SettingsError> {
        Settings::read(self.0.path(), None, &|_| None)
    }

    fn read(&self) -> Settings {
        self.try_read().unwrap()
    }

    fn short(&self, text: &str) -> String {
        text.replace(&self.0.path().display().to_string(), "ROOT")
    }

    fn warnings(&self, settings: &Settings) -> Vec<String> {
        let all = settings.warnings.iter().chain(&settings.ignored);
        all.map(|text| self.short(text)).collect()
    }

    fn error(&self) -> String {
        self.short(&self.try_read().unwrap_err().to_string())
    }

    fn paths(&self, settings: &Settings) -> Vec<String> {
        let paths = [
            &settings.certificate,
            &settings.private_key,
            &settings.database,
            &settings.serial,
            &settings.crl_number,
            &settings.new_certs_dir,
            &settings.crl_dir,
            &settings.certs,
        ];
        let shown = paths
            .iter()
            .map(|path| self.short(&path.display().to_string()));
        shown.collect()
    }
}

const STANDARD: [&str; 8] = [
    "ROOT/cacert.pem",
    "ROOT/private/cakey.pem",
    "ROOT/index.txt",
    "ROOT/serial",
    "ROOT/crlnumber",
    "ROOT/newcerts",
    "ROOT/crl",
    "ROOT/certs",
];

fn section(lines: &str) -> String {
    format!("[ca]\ndefault_ca = ours\n[ours]\n{lines}")
}

#[test]
fn a_directory_without_the_file_has_the_standard_names() {
    let dir = Dir::new();
    let settings = dir.read();
    assert_eq!(dir.paths(&settings), STANDARD);
    assert_eq!(settings.warnings, [""; 0]);
    assert_eq!((settings.default_days, settings.digest), (365, None));
    assert!(settings.unique_subject().unwrap());
}

#[test]
fn a_file_that_is_a_dangling_link_is_not_a_missing_one() {
    let dir = Dir::new();
    std::os::unix::fs::symlink("gone.cnf", dir.path("openssl.cnf")).unwrap();
    let error = dir.error();
    assert!(error.contains("ROOT/openssl.cnf cannot be read"), "{error}");
}

#[test]
fn the_stock_file_of_debian_is_read_beside_the_books_files() {
    let dir = Dir::new()
        .with("openssl.cnf", DEBIAN)
        .with("cacert.pem", "");
    let settings = dir.read();
    assert_eq!(dir.paths(&settings), STANDARD);
    assert_eq!(
        dir.warnings(&settings),
        [
            "ROOT/openssl.cnf says dir = ./demoCA, which leads to ROOT/demoCA; the files in ROOT are used",
            "ROOT/openssl.cnf:14: x509_extensions = usr_cert is not used: mailca's profiles (relay, server, client) decide the extensions",
        ]
    );
    let (_, stricter) = settings.policy(None).unwrap();
    assert_eq!(stricter.as_deref(), Some("policy_match"));
}

#[test]
fn the_stock_file_of_debian_given_by_its_path_is_read_for_the_directory_given() {
    let dir = Dir::new()
        .with("ssl/openssl.cnf", DEBIAN)
        .with("CA/index.txt", "");
    let root = dir.path("CA");
    let settings = Settings::read(&root, Some(&dir.path("ssl/openssl.cnf")), &|_| None).unwrap();
    assert_eq!(settings.certificate, root.join("cacert.pem"));
    assert_eq!(settings.private_key, root.join("private/cakey.pem"));
    assert_eq!(settings.warnings.len() + settings.ignored.len(), 2);
}

#[test]
fn a_file_that_leads_elsewhere_is_refused_where_no_ca_is_beside_it() {
    let dir = Dir::new().with("openssl.cnf", DEBIAN);
    assert_eq!(
        dir.error(),
        "ROOT/openssl.cnf says dir = ./demoCA, which leads to ROOT/demoCA, and ROOT holds no CA"
    );
}

#[test]
fn a_demo_ca_below_the_directory_is_used_where_it_is() {
    let dir = Dir::new()
        .with("openssl.cnf", DEBIAN)
        .with("demoCA/cacert.pem", "");
    let settings = dir.read();
    assert_eq!(settings.certificate, dir.path("demoCA/cacert.pem"));
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn a_moved_ca_finds_its_own_files_and_leaves_those_that_lie_outside() {
    let old = Dir::new();
    fs::create_dir(old.path("CA")).unwrap();
    let from = old.path("CA");
    let from = from.display();
    let dir = Dir::new().with("index.txt", "").with(
        "openssl.cnf",
        &section(&format!(
            "dir = {from}/\ncertificate = $dir/ca.crt\nprivate_key = {from}-keys/ca.key\n\
             database = {from}/index.txt\nserial = {from}/./serial.hex\nnew_certs_dir = $dir\n"
        )),
    );
    let settings = dir.read();
    assert_eq!(settings.certificate, dir.path("ca.crt"));
    assert_eq!(settings.private_key, old.path("CA-keys/ca.key"));
    assert_eq!(settings.database, dir.path("index.txt"));
    assert_eq!(settings.serial, dir.path("serial.hex"));
    assert_eq!(settings.new_certs_dir, dir.path(""));
    assert_eq!(settings.warnings.len(), 1);
}

#[test]
fn other_file_names_are_found_as_the_file_has_them() {
    let dir = Dir::new().with(
        "openssl.cnf",
        &section(
            "dir = .\ncertificate = $dir/ca.crt\nprivate_key = /secure/ca.key\n\
             database = db/register\nserial = ${dir}/db/next\ndefault_md = SHA384\n\
             default_days = 90\nunique_subject = no\ncerts = trusted\n\
             [mailca]\nprofile = server\ncrl_url = http://a/crl\n",
        ),
    );
    let settings = dir.read();
    assert_eq!(
        dir.paths(&settings),
        [
            "ROOT/ca.crt",
            "/secure/ca.key",
            "ROOT/db/register",
            "ROOT/db/next",
            "ROOT/crlnumber",
            "ROOT/newcerts",
            "ROOT/crl",
            "ROOT/trusted",
        ]
    );
    assert_eq!(settings.digest, Some(Digest::Sha384));
    assert_eq!(settings.default_days, 90);
    assert_eq!(settings.profile, Profile::Server);
    assert_eq!(settings.crl_url.as_deref(), Some("http://a/crl"));
    assert!(!settings.unique_subject().unwrap());
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn index_txt_attr_wins_over_the_file() {
    for (attributes, setting, unique) in [
        ("unique_subject = no\n", "unique_subject = yes", false),
        ("unique_subject = yes\n", "unique_subject = no", true),
        ("unique_subject = 0\n", "", false),
        ("unique_subject = perhaps\n", "", true),
        ("other = 1\n", "unique_subject = No", false),
        ("", "", true),
    ] {
        let dir = Dir::new()
            .with("openssl.cnf", &section(&format!("dir = .\n{setting}\n")))
            .with("index.txt.attr", attributes);
        assert_eq!(
            dir.read().unique_subject().unwrap(),
            unique,
            "{attributes}{setting}"
        );
    }
}

#[test]
fn preserve_is_switched_on_by_a_y_only_as_in_openssl() {
    for (value, wanted) in [
        ("yes", true),
        ("Y", true),
        ("no", false),
        ("1", false),
        ("true", false),
    ] {
        let dir = Dir::new().with(
            "openssl.cnf",
            &section(&format!("dir = .\n[ ca ]\npreserve = {value}\n")),
        );
        assert_eq!(dir.read().preserve, wanted, "{value}");
    }
}

#[test]
fn preserve_beside_the_paths_is_said_to_count_for_neither_tool() {
    let dir = Dir::new().with("openssl.cnf", &section("dir = .\npreserve = yes\n"));
    let settings = dir.read();
    assert!(!settings.preserve);
    assert!(settings.ignored[0].contains("preserve = yes is not used"));
}

#[test]
fn what_means_nothing_is_refused_with_its_place() {
    let cases = [
        (
            "default_days = soon",
            "ROOT/openssl.cnf:4: default_days = soon, but it takes a number of days",
        ),
        (
            "default_days = 0",
            "ROOT/openssl.cnf:4: default_days = 0, but it takes a number of days",
        ),
        (
            "default_days = -1",
            "ROOT/openssl.cnf:4: default_days = -1, but it takes a number of days",
        ),
        (
            "[mailca]\nprofile = relays",
            "ROOT/openssl.cnf:5: profile = relays, but it takes relay, server or client",
        ),
    ];
    for (lines, wanted) in cases {
        let dir = Dir::new().with("openssl.cnf", &section(lines));
        assert_eq!(dir.error(), wanted);
    }
    let dir = Dir::new().with("openssl.cnf", "[ca]\n");
    assert_eq!(
        dir.error(),
        "ROOT/openssl.cnf names no default_ca in its section [ ca ]"
    );
    let error = Dir::new().read().policy(Some("policy_x")).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/openssl.cnf has no section [ policy_x ]"),
        "{error}"
    );
}

#[test]
fn values_that_are_not_honoured_are_named() {
    let dir = Dir::new().with(
        "openssl.cnf",
        &section("dir = .\ncopy_extensions = copy\nrand_serial = yes\ndefault_md = md5\nmsie_hack = no\n[mailca]\ncolour = red\n"),
    );
    let settings = dir.read();
    assert_eq!(
        dir.warnings(&settings),
        [
            "ROOT/openssl.cnf:7: default_md = md5 is not used: mailca signs with sha256, sha384 or sha512",
            "ROOT/openssl.cnf:5: copy_extensions = copy is not used: mailca copies the SubjectAltName of a request and nothing else",
            "ROOT/openssl.cnf:6: rand_serial = yes is not used: mailca counts on from the file serial",
            "ROOT/openssl.cnf:10: [ mailca ] has no setting colour",
        ]
    );
}
