//! What is compared with what, and what is hoped for.

use std::env;
use std::ffi::OsString;

use clap::ValueEnum;

use crate::bare::BARE;
use crate::data::{Ca, ISSUED, MAILCA, request_name};
use crate::table::{Figure, Line};

/// A comparison.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Row {
    /// sign one request, index.txt is empty
    One,
    /// the same with 1,000,000 rows in index.txt
    Million,
    /// the same under `unique_subject = yes`
    Unique,
    /// sign 10,000 requests with one command
    Many,
    /// revoke one of 1,000,000 certificates and publish the CRL
    Revoke,
    /// publish a CRL with 1,000,000 entries
    Crl,
    /// list 1,000,000 certificates
    List,
    /// tell how one of 100,000 certificates is
    Show,
    /// tell what of 100,000 hosts needs attention
    Status,
    /// audit 1,000,000 rows and 100,000 certificates
    Check,
}

/// A command that takes part in a row.
pub struct Case {
    /// the CA directory it runs in
    pub ca: Ca,
    /// the program and its arguments
    pub command: Vec<OsString>,
    /// how many certificates it makes
    pub makes: usize,
}

/// How many requests `many` has.
pub const MANY: usize = 10_000;

const EMPTY: Ca = Ca {
    rows: 0,
    kept: 0,
    unique: false,
    revoked: false,
};
const MILLION: Ca = Ca {
    rows: 1_000_000,
    ..EMPTY
};
const HUNDRED_THOUSAND: Ca = Ca {
    rows: 100_000,
    ..EMPTY
};
const UNIQUE: Ca = Ca {
    unique: true,
    ..MILLION
};
const KEPT: Ca = Ca {
    rows: 900_000,
    kept: 100_000,
    ..EMPTY
};
const REVOKED: Ca = Ca {
    revoked: true,
    ..MILLION
};

impl Row {
    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::One => "one: sign one request",
            Self::Million => "million: the same, 1,000,000 rows in index.txt",
            Self::Unique => "unique: the same, unique_subject = yes",
            Self::Many => "many: sign 10,000 requests, index.txt is empty",
            Self::Revoke => "revoke: revoke one and publish the CRL, 1,000,000 rows in index.txt",
            Self::Crl => "crl: publish a CRL with 1,000,000 entries",
            Self::List => "list: list 1,000,000 certificates",
            Self::Show => "show: tell how one of 100,000 certificates is",
            Self::Status => "status: tell what of 100,000 hosts needs attention",
            Self::Check => "check: audit 1,000,000 rows and 100,000 certificates",
        }
    }

    /// How often each command runs.
    pub fn rounds(self, quick: bool) -> usize {
        match (self, quick) {
            (Self::One, false) => 25,
            (Self::One, true) => 9,
            (Self::Many, true) => 1,
            (Self::Many, false) | (_, true) => 3,
            (_, false) => 5,
        }
    }

    /// How many requests there are to sign.
    pub fn requests(self) -> usize {
        match self {
            Self::Many => MANY,
            _ => 1,
        }
    }

    /// `openssl ca`, mailca, and what else mailca is held against.
    pub fn cases(self) -> Vec<Case> {
        match self {
            Self::One => vec![openssl_one(EMPTY), mailca_one(EMPTY)],
            Self::Million => vec![openssl_one(MILLION), mailca_one(MILLION), mailca_one(EMPTY)],
            Self::Unique => vec![openssl_one(UNIQUE), mailca_one(UNIQUE), read(UNIQUE)],
            Self::Many => vec![openssl_many(), mailca_many(), bare()],
            Self::Revoke => vec![openssl_revoke(), mailca_revoke()],
            Self::Crl => vec![openssl_crl(), mailca_crl()],
            Self::List => vec![openssl_status(MILLION), mailca_list(), first_line()],
            Self::Show => vec![openssl_status(HUNDRED_THOUSAND), mailca_show()],
            Self::Status => vec![openssl_status(HUNDRED_THOUSAND), mailca_status()],
            Self::Check => vec![openssl_status(KEPT), mailca_check(), read_kept()],
        }
    }

    /// The figures to show, with their targets.
    pub fn lines(self) -> Vec<Line> {
        let [wall, cpu, memory] = [Figure::Wall, Figure::Cpu, Figure::Memory].map(Line::of);
        match self {
            Self::One => vec![wall.target(2.0), cpu.target(0.5), memory.target(15.0)],
            Self::Million => vec![
                wall.target(1.0 / 100.0),
                cpu,
                memory.target(20.0),
                wall.against("empty index.txt").target(1.5),
            ],
            Self::Unique => vec![
                wall.target(1.0 / 20.0),
                cpu,
                memory.target(20.0),
                wall.against("cat index.txt"),
            ],
            Self::Many => vec![
                wall.target(1.0 / 3.0),
                cpu,
                memory,
                wall.against("bare cost").target(2.0),
            ],
            Self::Revoke => vec![wall.target(1.0 / 3.0), cpu, memory.target(20.0)],
            Self::Crl => vec![wall.target(1.0 / 5.0), cpu, memory.ratio(0.5)],
            Self::List => vec![
                wall,
                cpu,
                memory.target(20.0),
                wall.against("its first line"),
            ],
            Self::Show | Self::Status => vec![wall.within(500.0), cpu, memory],
            Self::Check => vec![
                wall,
                cpu,
                memory,
                wall.against("reading the certificates").target(2.0),
            ],
        }
    }
}

const OPENSSL_CA: &str = "ca -batch -notext -config openssl.cnf";

fn openssl_one(ca: Ca) -> Case {
    let request = request_path(1);
    let arguments = format!("{OPENSSL_CA} -in {request} -out certs/mx1.pem");
    Case {
        ca,
        command: command("openssl", &arguments),
        makes: 1,
    }
}

fn mailca_one(ca: Ca) -> Case {
    let request = request_path(1);
    let arguments = format!("--ca . sign {request} --yes --out certs/mx1.pem");
    Case {
        ca,
        command: command(MAILCA, &arguments),
        makes: 1,
    }
}

fn read(ca: Ca) -> Case {
    Case {
        ca,
        command: command("cat", "index.txt"),
        makes: 0,
    }
}

fn openssl_many() -> Case {
    let mut command = command("openssl", &format!("{OPENSSL_CA} -infiles"));
    command.extend((1..=MANY).map(|number| request_path(number).into()));
    Case {
        ca: EMPTY,
        command,
        makes: MANY,
    }
}

fn mailca_many() -> Case {
    Case {
        ca: EMPTY,
        command: command(MAILCA, "--ca . sign ../requests --yes"),
        makes: MANY,
    }
}

fn openssl_revoke() -> Case {
    let script = format!(
        "openssl {OPENSSL_CA} -revoke {ISSUED} && openssl {OPENSSL_CA} -gencrl -out crl/crl.pem"
    );
    Case {
        ca: MILLION,
        command: ["sh", "-c", &script].map(OsString::from).to_vec(),
        makes: 0,
    }
}

fn mailca_revoke() -> Case {
    Case {
        ca: MILLION,
        command: command(MAILCA, &format!("--ca . revoke {ISSUED} --yes")),
        makes: 0,
    }
}

fn openssl_crl() -> Case {
    Case {
        ca: REVOKED,
        command: command("openssl", &format!("{OPENSSL_CA} -gencrl -out crl/crl.pem")),
        makes: 0,
    }
}

fn mailca_crl() -> Case {
    Case {
        ca: REVOKED,
        command: command(MAILCA, "--ca . crl"),
        makes: 0,
    }
}

// It reads the register as a whole, and its exit status is that of a failure.
fn openssl_status(ca: Ca) -> Case {
    let script = format!("openssl {OPENSSL_CA} -status 10000000 2>/dev/null; :");
    Case {
        ca,
        command: ["sh", "-c", &script].map(OsString::from).to_vec(),
        makes: 0,
    }
}

fn mailca_list() -> Case {
    Case {
        ca: MILLION,
        command: command(MAILCA, "--ca . list"),
        makes: 0,
    }
}

fn first_line() -> Case {
    let script = format!("'{MAILCA}' --ca . list | head -n 1");
    Case {
        ca: MILLION,
        command: ["sh", "-c", &script].map(OsString::from).to_vec(),
        makes: 0,
    }
}

fn mailca_show() -> Case {
    Case {
        ca: HUNDRED_THOUSAND,
        command: command(MAILCA, "--ca . show 10000000"),
        makes: 0,
    }
}

fn mailca_status() -> Case {
    Case {
        ca: HUNDRED_THOUSAND,
        command: command(MAILCA, "--ca . status"),
        makes: 0,
    }
}

fn mailca_check() -> Case {
    Case {
        ca: KEPT,
        command: command(MAILCA, "--ca . check --for sendmail"),
        makes: 0,
    }
}

fn read_kept() -> Case {
    let script = "find newcerts -name '*.pem' -exec cat {} + >/dev/null";
    Case {
        ca: KEPT,
        command: ["sh", "-c", script].map(OsString::from).to_vec(),
        makes: 0,
    }
}

fn bare() -> Case {
    let program = env::current_exe().expect("this program has a path");
    Case {
        ca: EMPTY,
        command: command(program, BARE),
        makes: MANY,
    }
}

fn command(program: impl Into<OsString>, arguments: &str) -> Vec<OsString> {
    let mut command = vec![program.into()];
    command.extend(arguments.split(' ').map(OsString::from));
    command
}

// As seen from the CA directory.
fn request_path(number: usize) -> String {
    format!("../requests/{}", request_name(number))
}
