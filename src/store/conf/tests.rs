use std::process::Command;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A directory with an openssl.cnf in it and perhaps others.
struct Files(TempDir);

impl Files {
    fn new(text: impl AsRef<[u8]>) -> Files {
        let files = Files(tempfile::tempdir().expect("a temporary directory"));
        files.with("openssl.cnf", text)
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Files {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directory created");
        fs::write(path, text).expect("file written");
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn try_read(&self) -> Result<Conf, ConfError> {
        Conf::read(&self.path("openssl.cnf"), &env)
    }

    fn read(&self) -> Conf {
        self.try_read().expect("a good file")
    }

    /// The error, with the directory left out.
    fn error(&self) -> String {
        let error = self.try_read().expect_err("a bad file").to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn env(name: &str) -> Option<String> {
    (name == "CITY").then(|| "Praha".to_owned())
}

fn value_of(text: &str, section: &str, name: &str) -> String {
    let conf = Files::new(text).read();
    conf.get(section, name).expect("a value").to_owned()
}

fn names(conf: &Conf, section: &str) -> Vec<String> {
    let entries = conf.section(section).expect("a section").entries();
    entries
        .map(|entry| format!("{}={}", entry.name, entry.value))
        .collect()
}

#[test]
fn a_value_is_looked_up_in_its_section_and_then_in_default() {
    let conf = Files::new("days = 1\nbits = 2\n[ ca ]\ndays = 3\n").read();
    assert_eq!(conf.get("ca", "days"), Some("3"));
    assert_eq!(conf.get("ca", "bits"), Some("2"));
    assert_eq!(conf.get("nowhere", "bits"), Some("2"));
    assert_eq!(conf.get("ca", "hours"), None);
    assert_eq!(conf.section("ca").and_then(|ca| ca.get("bits")), None);
}

#[test]
fn an_empty_section_is_there() {
    assert!(Files::new("[ empty ]\n").read().section("empty").is_some());
}

#[test]
fn a_section_that_is_opened_again_goes_on() {
    let conf = Files::new("[p]\nC=1\n[q]\nx=1\np::O=2\n[p]\nCN=3\n").read();
    assert_eq!(names(&conf, "p"), ["C=1", "O=2", "CN=3"]);
}

#[test]
fn the_last_of_two_equal_names_wins_at_its_own_place() {
    let conf = Files::new("[p]\nC=1\nO=2\nC=3\n").read();
    assert_eq!(names(&conf, "p"), ["O=2", "C=3"]);
}

#[test]
fn a_variable_takes_the_value_it_has_at_that_line() {
    assert_eq!(value_of("a=1\nb=$a\na=2\n", "default", "b"), "1");
}

#[test]
fn the_environment_comes_before_default_and_after_a_section_env() {
    let line = "x = $ENV::CITY/${ENV::VILLAGE}\n";
    let text = format!("CITY=Brno\nVILLAGE=Lhota\n[c]\n{line}[ENV]\nCITY=Plzen\n[d]\n{line}");
    let conf = Files::new(text).read();
    assert_eq!(conf.get("c", "x"), Some("Praha/Lhota"));
    assert_eq!(conf.get("d", "x"), Some("Plzen/Lhota"));
}

#[test]
fn every_value_knows_its_file_and_line() {
    let text = "\n# comment\n[ca]\ndir = \\\n  /etc\r\n.include more.cnf\ndays = 3";
    let files = Files::new(text).with("more.cnf", "\nbits = 1");
    let conf = files.read();
    let origin = |name| conf.origin("ca", name).expect("an origin").clone();
    assert_eq!(origin("dir").line, 4);
    assert_eq!(origin("days").line, 7);
    let more = files.path("more.cnf");
    assert_eq!(origin("bits").to_string(), format!("{}:2", more.display()));
}

#[test]
fn an_include_leaves_its_section_open() {
    let conf = Files::new("[a]\n.include b.cnf\nx = $y\n")
        .with("b.cnf", "[b]\ny = 1\n")
        .read();
    assert_eq!(names(&conf, "b"), ["y=1", "x=1"]);
}

#[test]
fn an_include_is_looked_for_beside_the_file_that_names_it() {
    let files = Files::new("name = inner\n.include = \"sub\"/$name.cnf\n")
        .with("sub/inner.cnf", ".include innermost.cnf\n")
        .with("sub/innermost.cnf", "found = yes\n");
    assert_eq!(files.read().get("default", "found"), Some("yes"));
}

#[test]
fn the_working_directory_comes_second() {
    // Tests run beside Cargo.lock, which is not quite an openssl.cnf.
    let error = Files::new(".include Cargo.lock\n").error();
    assert!(error.starts_with("Cargo.lock:"), "{error}");
    let files = Files::new(".include Cargo.lock\n").with("Cargo.lock", "a = 1\n");
    assert_eq!(files.read().get("default", "a"), Some("1"));
}

#[test]
fn includedir_and_its_variable_name_the_directory_of_includes() {
    let files = Files::new(".pragma includedir:sub\n.include a.cnf\n")
        .with("sub/a.cnf", "a = sub\n")
        .with("env/a.cnf", "a = env\n");
    assert_eq!(files.read().get("default", "a"), Some("sub"));
    let env = |name: &str| (name == "OPENSSL_CONF_INCLUDE").then(|| "env".to_owned());
    let conf = Conf::read(&files.path("openssl.cnf"), &env).expect("a good file");
    assert_eq!(conf.get("default", "a"), Some("env"));
}

#[test]
fn a_directory_is_included_by_name_and_never_within_another() {
    let files = Files::new("[x]\n.include conf.d\n")
        .with("conf.d/20.CNF", "b = 2\n.include ../more.d\n")
        .with("conf.d/10.conf", "a = 1\n")
        .with("conf.d/30.conf~", "c = 3\n")
        .with("more.d/40.conf", "d = 4\n");
    let conf = files.read();
    assert_eq!(names(&conf, "x"), ["a=1", "b=2"]);
    assert_eq!(conf.skipped().len(), 1);
    assert_eq!(conf.skipped()[0].origin.line, 2);
}

#[test]
fn a_missing_include_is_passed_over_and_reported() {
    let conf = Files::new("a = 1\n.include /does/not/exist\n.include =\nb = 2\n").read();
    assert_eq!(names(&conf, "default"), ["a=1", "b=2"]);
    assert_eq!(conf.skipped()[0].path, Path::new("/does/not/exist"));
    assert_eq!(conf.skipped()[0].origin.line, 2);
    assert_eq!(conf.skipped()[1].path, Path::new(""));
}

#[test]
fn each_fault_names_the_place_and_the_thing() {
    let long = format!("v=1\nw={}$v", "x".repeat(MAX_VALUE));
    for (text, message) in [
        (
            "a = 1\nb = $dirr/x",
            "openssl.cnf:2: the variable $dirr has no value",
        ),
        (
            "b = $ENV::NONE",
            "openssl.cnf:1: the variable $ENV::NONE has no value",
        ),
        (
            "b = ${a::b",
            "openssl.cnf:1: the variable $a::b has no closing \"}\"",
        ),
        (
            "b = $(a}",
            "openssl.cnf:1: the variable $a has no closing \")\"",
        ),
        (
            "[ ca\nx=1",
            "openssl.cnf:1: the section name has no closing \"]\"",
        ),
        (
            "[ $a ]",
            "openssl.cnf:1: the section name has no closing \"]\"",
        ),
        (
            "\n\nno equals",
            "openssl.cnf:3: there is no \"=\" after \"no\"",
        ),
        (
            ".include",
            "openssl.cnf:1: there is no \"=\" after \".include\"",
        ),
        ("é = 1", "openssl.cnf:1: there is no \"=\" after \"\""),
        (&long, "openssl.cnf:2: the value is longer than 64 KiB"),
        (
            ".pragma x",
            "openssl.cnf:1: the pragma \"x\" does not have the form NAME:VALUE",
        ),
        (
            ".pragma abspath:ja",
            "openssl.cnf:1: the pragma abspath is \"ja\", neither on nor off",
        ),
        (
            ".pragma abspath:on\n.include x.cnf",
            "openssl.cnf:2: the include x.cnf is not an absolute path, as abspath demands",
        ),
        (
            ".include openssl.cnf",
            "openssl.cnf:1: openssl.cnf includes itself",
        ),
        (".include .", "openssl.cnf:1: ./openssl.cnf includes itself"),
        ("a=1\nb=\0", "openssl.cnf:2: the line holds a NUL byte"),
    ] {
        assert_eq!(Files::new(text).error(), message);
    }
}

#[test]
fn other_character_sets_matter_only_in_what_is_used() {
    let files =
        Files::new(b"# f\xfcr uns\n[a]\nb = M\xfcller\n[c]\nd = ${a::b}\n[e]\nf = \xc3\xbc\n");
    let conf = files.read();
    assert_eq!(conf.get("e", "f"), Some("ü"));
    assert!(conf.check_text("e").is_ok() && conf.check_text("none").is_ok());
    for (section, line) in [("a", 3), ("c", 5)] {
        let error = conf.check_text(section).unwrap_err().to_string();
        let place = format!("openssl.cnf:{line}: the value is not UTF-8 text");
        assert!(error.ends_with(&place), "{error}");
    }
    for line in [&b".include \xfc.cnf"[..], b".pragma includedir:\xfc"] {
        let error = Files::new(line).error();
        assert_eq!(error, "openssl.cnf:1: the value is not UTF-8 text");
    }
}

#[test]
fn a_loop_of_two_files_is_refused_in_the_second() {
    let files = Files::new(".include b.cnf").with("b.cnf", "\n.include openssl.cnf");
    assert_eq!(files.error(), "b.cnf:2: openssl.cnf includes itself");
}

#[test]
fn sixteen_nested_includes_are_enough() {
    let chain = |depth: usize| {
        let files = Files::new(".include 1.cnf\n");
        (1..=depth).fold(files, |files, n| {
            files.with(&format!("{n}.cnf"), format!(".include {}.cnf\n", n + 1))
        })
    };
    assert_eq!(chain(16).read().skipped().len(), 1);
    let message = "16.cnf:1: 17.cnf is included more than 16 files deep";
    assert_eq!(chain(17).error(), message);
}

#[test]
fn values_that_double_soon_come_to_an_end() {
    let text = (0..40).fold("a=x\n".to_owned(), |text, _| text + "a=$a$a\n");
    assert!(
        Files::new(text)
            .error()
            .ends_with("the value is longer than 64 KiB")
    );
    let many = (0..1000).fold(format!("a={}\n", "x".repeat(60_000)), |text, n| {
        text + &format!("n{n}=$a\n")
    });
    assert!(Files::new(many).error().ends_with("exceed 16 MiB"));
}

#[test]
fn files_that_include_each_other_many_times_soon_come_to_an_end() {
    let files = (0..16).fold(Files::new(".include 0.cnf\n"), |files, n| {
        let text = format!(".include {}.cnf\n", n + 1).repeat(10);
        files.with(&format!("{n}.cnf"), text)
    });
    let files = files.with("16.cnf", "#".repeat(50_000));
    assert!(files.try_read().is_err());
}

#[test]
fn only_regular_files_of_a_sane_size_are_read() {
    let files = Files::new("")
        .with("large", "#".repeat(MAX_FILE + 1))
        .with("dir/x", "");
    let fifo = files.path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).expect("a named pipe");
    let error = |path: &Path| Conf::read(path, &env).expect_err("no file").to_string();
    for (path, reason) in [
        (files.path("large"), "is larger than 1 MiB"),
        (files.path("dir"), "is not a regular file"),
        (fifo, "is not a regular file"),
        (PathBuf::from("/dev/zero"), "is not a regular file"),
        (files.path("missing"), "cannot be read"),
        (files.path("missing/x"), "cannot be read"),
    ] {
        assert_eq!(error(&path), format!("{} {reason}", path.display()));
    }
    let files = files.with("openssl.cnf", ".include fifo\n.include x\n");
    assert_eq!(files.error(), "fifo is not a regular file");
}

#[test]
fn debians_own_file_is_read() {
    let Ok(text) = fs::read_to_string("/etc/ssl/openssl.cnf") else {
        return;
    };
    let conf = Files::new(text).read();
    assert_eq!(conf.get("ca", "default_ca"), Some("CA_default"));
    assert_eq!(
        conf.get("CA_default", "certificate"),
        Some("./demoCA/cacert.pem")
    );
    assert_eq!(
        conf.get("CA_default", "private_key"),
        Some("./demoCA/private/cakey.pem")
    );
    assert_eq!(names(&conf, "policy_match")[0], "countryName=match");
}

#[test]
fn what_red_hats_file_uses_is_read() {
    let text = "
openssl_conf = openssl_init
HOME = .
[openssl_init]
providers = provider_sect
ssl_conf = ssl_module
[ evp_properties ]
#This section is intentionally added empty here
[ ssl_module ]
system_default = crypto_policy
[ crypto_policy ]
.include = /etc/crypto-policies/back-ends/opensslcnf-that-is-not-here.config
[ ca ]
default_ca	= CA_default		# The default ca section
[ CA_default ]
dir		= $ENV::CITY/pki/CA	# Where everything is kept
database	= $dir/index.txt	# database index file.
[ req_distinguished_name ]
0.organizationName_default	= Default Company Ltd
organizationalUnitName		= Organizational Unit Name (eg, section)
#1.organizationName		= Second Company Ltd
[ tsa_config1 ]
accuracy	= secs:1, millisecs:500, microsecs:100
";
    let conf = Files::new(text).read();
    assert_eq!(
        conf.get("CA_default", "database"),
        Some("Praha/pki/CA/index.txt")
    );
    assert_eq!(
        conf.get("tsa_config1", "accuracy"),
        Some("secs:1, millisecs:500, microsecs:100")
    );
    assert_eq!(names(&conf, "req_distinguished_name").len(), 2);
    assert_eq!(conf.skipped().len(), 1);
}

/// What OpenSSL makes of `[t] v` in a file, if it reads the file at all.
fn openssl(text: &[u8]) -> Option<Vec<u8>> {
    let files = Files::new(text)
        .with("empty.cnf", "")
        .with("more.cnf", MORE);
    let der = files.path("value.der");
    let status = Command::new("openssl")
        .args(["asn1parse", "-noout", "-genconf", "openssl.cnf", "-out"])
        .arg(&der)
        .current_dir(files.0.path())
        .env("OPENSSL_CONF", files.path("empty.cnf"))
        .env("CITY", "Praha")
        .env_remove("OPENSSL_CONF_INCLUDE")
        .output()
        .expect("the openssl command")
        .status;
    let der = status
        .success()
        .then(|| fs::read(der).expect("the value"))?;
    let header = if der[1] < 0x80 {
        2
    } else {
        2 + usize::from(der[1] & 0x7f)
    };
    Some(der[header..].to_vec())
}

const MORE: &str = "w = more\n[u]\nw = of u";

/// Reads `text` both ways. The brackets keep blanks at the ends of the value.
fn assert_as_openssl(text: impl AsRef<[u8]>) {
    let asn1 = b"\n[default]\nasn1 = FORMAT:ASCII,OCT:<${t::v}>\n";
    let text = [text.as_ref(), asn1].concat();
    let files = Files::new(&text)
        .with("empty.cnf", "")
        .with("more.cnf", MORE);
    let conf = files.try_read().ok();
    let ours = conf.and_then(|conf| Some(conf.get("default", "asn1")?[17..].to_owned()));
    let theirs = openssl(&text).map(|value| String::from_utf8_lossy(&value).into_owned());
    assert_eq!(ours, theirs, "{}", text.escape_ascii());
}

#[test]
fn tricky_lines_mean_what_they_mean_to_openssl() {
    for line in [
        "v = plain  ",
        "v=",
        "= empty name\nv=${}",
        "v = a b\t c \t# comment",
        "v = a#b",
        "v = a\\#b",
        "v = \"a # b\" # c",
        "v = it's # no comment",
        "v = 'a\"b' `c'd` \"e`f\"",
        "v = \" blanks \"",
        "v = \"a\\\"b\\nc\"",
        "v = 'unclosed \\",
        "v = a\\nb\\tc\\bd\\\\e\\x\\$f",
        "v = a \\\n  b \\\r\n c",
        "v = a\\\\\nw = 1",
        "v = a\\\\\\\nw = 1",
        "v = a # comment \\\nw = 1",
        "# comment \\\nv = 1\nv = 2",
        "\\\nv = 1",
        "v = a\\ ",
        "v = crlf\r\nw = 1\r",
        "v = cr\r\r\nw = 1",
        "v = a\rb",
        "w = 1\nv = $w$w-$w.${w}$(w)x",
        "w = 1\nv = \"$w\" '$w' \\$w",
        "w = 1\nv = ${w)",
        "w = 1\nv = ${w",
        "w = 1\nv = ${ w }",
        "v = $",
        "v = $w",
        "v = $t::w",
        "w = 1\nv = $t::w:x::y",
        "w = 1\nv = ${t::w}$(t::w)",
        "w = 1\nv = $none::w",
        "default::w = 1\nv = $none::w",
        "v = 1\nv = $v$v",
        "w\\ x = 1\nv = 2",
        "w x = 1\nv = 2",
        "a.b,c;d-e/f@g = 1\nv = 2",
        "a:b = 1\nv = 2",
        "\"v\" = 1",
        "v == 1",
        "v",
        "other::v = 1\nv = $other::v",
        "other:: v = 1",
        "[other]\nw=1\nt::v = $w",
        "[other]\nw=1\nt::w=2\nt::v = $w",
        "[ two  words ] rest\nv = 1\n[t]\nv = $v",
        "[a\\]b]\n[t]\nv = 1",
        "[a$b]\nv=1",
        "[]\nv=1\n[t]\nv=2",
        "[t] # again\nv=2",
        "[t",
        "[t]]\nv=2",
        "[\"t\"]\nv=2",
        "v = $ENV::CITY ${ENV::CITY}",
        "v = $ENV::NO_SUCH_VARIABLE",
        ".pragma dollarid:on\na$b = 1\nv = $x ${a$b} $(a$b)",
        ".pragma = dollarid : TRUE \nv = $x",
        ".pragma dollarid:on\n.pragma dollarid:off\nv = $x",
        ".pragma dollarid:on\n[$x]\nv=1\n[t]\nv=2",
        ".pragma dollarid:yes\nv = 1",
        ".pragma dollarid\nv = 1",
        ".pragma :on\nv = 1",
        ".pragma unknown:on\nv = 1",
        ".pragma abspath:on\nv = 1\n.include empty.cnf",
        ".pragma\nv = 1",
        ".include\nv = 1",
        ".include \nv = 1",
        ".include = \nv = 1",
        ".include=empty.cnf\nv = 1",
        ".includes empty.cnf\nv = 1",
        ".include\"empty.cnf\"\nv = 1",
        ".include nowhere.cnf\nv = 1",
        ".include $nowhere\nv = 1",
        "x::.include = empty.cnf\nv = 1",
        "v = žluťoučký \\ů \"ň\"",
        "v = $w\n.include more.cnf\nv = ${t::w}$w",
        "[ u ]\nw = 1\n[t]\nv = ${u::w}",
        "v = 1\u{feff}",
        "v = 1\n\u{feff}w = 1",
    ] {
        assert_as_openssl(format!("[t]\n{line}"));
    }
    assert_as_openssl("\u{feff}[t]\nv = mark");
    for line in [
        &b"# f\xfcr uns\nv = 1"[..],
        b"v = f\xfcr\\\xfc '\xfc'",
        b"\xfc = 1\nv = 1",
        b"[\xfc]\nv = 1",
        b"w = \xfc\nv = $w$\xfc",
        b"v = ${\xfc}",
    ] {
        assert_as_openssl([b"[t]\n", line].concat());
    }
}

#[test]
fn a_value_may_be_as_long_as_openssl_lets_it() {
    for length in [MAX_VALUE - 2, MAX_VALUE - 1] {
        let x = "x".repeat(length);
        let text = format!("[t]\nv=1\nw={x}${{v}}\nv=ok");
        assert_as_openssl(text);
    }
    let text = format!("[t]\nv=1\nw={}${{v}}", "x".repeat(MAX_VALUE));
    assert_as_openssl(text);
}

#[test]
fn entries_stand_in_the_order_openssl_has_them() {
    let text = "asn1=SEQUENCE:s\n[s]\na=UTF8:1\nb=UTF8:2\n[x]\ns::c=UTF8:3\n[s]\na=UTF8:4\n";
    let values = openssl(text.as_bytes()).expect("a sequence");
    assert_eq!(values, b"\x0c\x012\x0c\x013\x0c\x014");
    assert_eq!(
        names(&Files::new(text).read(), "s"),
        ["b=UTF8:2", "c=UTF8:3", "a=UTF8:4"]
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
        let _ = Files::new(bytes).try_read();
    }

    #[test]
    fn no_text_makes_it_panic(text in "([\\[\\]$#'\"`\\\\=:{}() \r\nva.é\0]|::|\\.include|\\.pragma){0,60}") {
        let _ = Files::new(text).try_read();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_line_means_what_it_means_to_openssl(
        lines in "(((v|v|w|t::v) ?= ?|#)([#'\"`\\\\:(} \tvn.=]|\\$w|\\$\\{t::w\\}|\\$\\(v\\)|\\\\\r?\n|\\\\[$#\\\\ ]|\r){0,12}\n){1,4}"
    ) {
        assert_as_openssl(format!("[t]\nw = 1\nv = 2\n{lines}"));
    }

    #[test]
    fn sections_directives_and_other_character_sets_mean_what_they_mean_to_openssl(
        lines in "(((v|w|u::w|t::v|default::x) ?= ?(a|¤|ü|#|'|\"|\\\\| |\\$x|\\$u::w|\\$\\{u::w\\}|\\$ENV::CITY|\\$t::v){0,4}\
                  |\\[ ?(t|u|t u|¤|\\$x|x\\\\]) ?\\]( ?#?¤)?\
                  |\\.include ?=? ?(more|empty|none|¤)?\\.cnf\
                  |\\.pragma ?=? ?(dollarid ?: ?(on|off|¤)|abspath:(off|true)|other:x|¤)\
                  |[#¤ ]?)\r?\n){1,8}"
    ) {
        // A path that is not UTF-8 is an error to mailca even where no such file is there.
        prop_assume!(!lines.contains("¤.cnf"));
        let text = format!("x = 0\n[u]\nw = 1\n[t]\nw = 2\nv = 3\n{lines}");
        // Each ¤ stands for a byte of Latin-1.
        let bytes = text.split('¤').map(str::as_bytes).collect::<Vec<_>>();
        assert_as_openssl(bytes.join(&b'\xfc'));
    }
}
