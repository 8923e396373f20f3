//! The command line: its words and its help, and nothing else.
#![allow(missing_docs, reason = "every doc comment here is a help text")]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

use crate::mta::{MailServer, Release};
use crate::pki::chain::Purpose;
use crate::pki::general_name::GeneralName;
use crate::pki::key::KeyType;
use crate::pki::name::Name;
use crate::pki::name_constraints::Subtree;
use crate::pki::profile::Profile;
use crate::pki::revocation::Reason;
use crate::pki::serial::SerialNumber;
use crate::store::register::State;

/// Where a CA is unless something else is said.
pub const STANDARD_CA: &str = "/etc/mail/CA";
/// How many days a CA certificate lives unless something else is said.
pub const CA_DAYS: u32 = 3650;
/// How many it may live at most.
pub const CA_MOST_DAYS: u32 = 36500;

/// A certificate authority for people who run mail servers
///
/// mailca makes a private CA, gives each mail host a key and a certificate, and prints the lines
/// that wire them into the mail server. Its directory is an `openssl ca` directory: both tools
/// work in it, side by side.
#[derive(Debug, Parser)]
#[command(
    name = "mailca",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "\
Examples:
  mailca init /etc/mail/CA
  mailca issue mail.example.com
  mailca emit-mc mail.example.com >> /etc/mail/sendmail.mc

Exit status: 0 done or nothing to do, 1 refused or failed and nothing changed,
2 wrong usage, 3 done in part or something needs attention."
)]
pub struct Cli {
    /// what every command takes
    #[command(flatten)]
    pub global: Global,
    /// what to do
    #[command(subcommand)]
    pub command: Command,
}

/// The options that every command takes, before or after its name.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The CA directory [default: /etc/mail/CA]
    #[arg(long, value_name = "DIR", env = "MAILCA_DIR", global = true, value_hint = ValueHint::DirPath, help_heading = "Common options", hide_env_values = true)]
    pub ca: Option<PathBuf>,
    /// Read the settings from FILE instead of openssl.cnf in the CA directory
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath, help_heading = "Common options")]
    pub config: Option<PathBuf>,
    /// Answer every question with yes
    #[arg(short, long, global = true, help_heading = "Common options")]
    pub yes: bool,
    /// Print the result as one JSON document
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,
    /// Print only warnings and errors
    #[arg(short, long, global = true, help_heading = "Common options")]
    pub quiet: bool,
    /// Wait this long for another mailca to finish
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        global = true,
        help_heading = "Common options"
    )]
    pub wait: u64,
    /// Read the CA key's passphrase from the first line of PATH, or of standard input (-)
    #[arg(long, value_name = "PATH|-", global = true, value_hint = ValueHint::FilePath, conflicts_with = "passphrase_fd", help_heading = "Common options")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the CA key's passphrase from the first line of file descriptor N
    #[arg(long, value_name = "N", global = true, help_heading = "Common options")]
    pub passphrase_fd: Option<u32>,
}

impl Global {
    /// The CA directory that the command works in.
    #[must_use]
    pub fn ca_dir(&self) -> PathBuf {
        let given = self.ca.clone();
        given.unwrap_or_else(|| PathBuf::from(STANDARD_CA))
    }
}

// Only the arguments of the command that is run are made; the rest is for the list of commands.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Make a CA: its directory, key, certificate and openssl.cnf
    ///
    /// The directory is one that `openssl ca -config openssl.cnf` works in as well. One that
    /// already holds a CA is refused and left as it is.
    Init(Init),
    /// Make a mail host's key and its certificate request
    ///
    /// In a CA directory the key waits in hosts/HOST.next until `mailca sign` makes it the host's
    /// current one, and the request is newreq.pem. With --out-dir no CA is needed: HOST.key and
    /// HOST.csr are made there, and only the request needs to travel to the CA.
    Req(Req),
    /// Sign certificate requests
    ///
    /// The request is PKCS#10 in PEM or DER, or the newreq.pem of the book: a self-signed
    /// certificate with its private key in the same file. What is certified is shown first: the
    /// subject as the policy leaves it, the names, the purposes of the profile. Of the request's
    /// extensions only the SubjectAltName counts.
    ///
    /// Several requests are signed by one command. One that is refused is named and does not spoil
    /// the others (exit status 3), unless --atomic says so. Their certificates are in newcerts/,
    /// and in --out-dir; newcert.pem is that of a single request only.
    Sign(Sign),
    /// Make sure that a mail host has a key and a certificate
    ///
    /// Does what `req` and `sign` do, for a host whose key lives in the CA directory. Run again, it
    /// changes nothing while the names and the profile are the same and the certificate is not
    /// about to expire.
    Issue(Issue),
    /// Revoke certificates and publish a new CRL
    ///
    /// CERT is a file, a serial number in hexadecimal digits, or a host, whose valid certificate is
    /// meant. The register, the CRL and the link by which mail servers find it change together. What
    /// each kind of mail server needs is printed, since Postfix and OpenSMTPD read no CRL.
    ///
    /// A key that was revoked as keyCompromise never gets a certificate again.
    Revoke(Revoke),
    /// Publish a new CRL
    ///
    /// It lists what the register has as revoked, and what the one before lists and the register has
    /// no row of. It takes that one's place in both forms, PEM and DER, and under its hash. A CRL that
    /// has expired makes mail servers that read it refuse every client certificate: run this once a
    /// day with --expiring.
    Crl(Crl),
    /// Renew certificates
    ///
    /// The new certificate has the subject, names, profile and key of the last one, so that
    /// fingerprints and TLSA records of the key stay true. A host whose key is here gets it in
    /// hosts/HOST, by one rename; of a host whose key lives elsewhere the certificate is in newcerts/,
    /// and in --out-dir.
    ///
    /// With --expiring, all are renewed that end within that time: of the hosts whose keys are here
    /// those that have ended too, of keys elsewhere those that ended no longer ago than that. Run it
    /// once a day.
    ///
    /// The deploy hook is run by a shell once for each renewed host, when all is written and nothing
    /// is locked. MAILCA_HOST, MAILCA_SERIAL and MAILCA_CERTIFICATE (its path) tell it what was
    /// renewed, and MAILCA_HOST_FILES is the host's folder where its key is here. What it prints goes
    /// to standard error.
    Renew(Renew),
    /// Renew the CA's own certificate
    ///
    /// The new one has the key, subject, key identifier, path length and name constraints of the old
    /// one, so that all certificates issued so far verify with it, and another serial number and
    /// other dates. It takes the place of cacert.pem and goes into the chain of each host; the old one
    /// is kept in certs/. One that has expired can be renewed too.
    ///
    /// Every host that trusts the CA needs the new cacert.pem before the old one ends.
    ///
    /// With --new-key the CA gets another key under the same name, also where nobody can use the old
    /// one: it is not asked for. It is kept as private/cakey-SERIAL.pem, by the serial number of the
    /// old CA certificate, which gets a link under its hash, so that a server that looks in the
    /// directory trusts both. A CRL by the new key is published where there was one or something is
    /// revoked, and the old one kept in crl/. Certificates issued so far verify with the old CA
    /// certificate only: give every host both, then renew each, and let nobody trust the old one
    /// any more.
    RenewCa(RenewCa),
    /// List the certificates in the register
    ///
    /// One a line, in the order in which they were issued: serial number, state, end, and subject as
    /// index.txt has it; of a revoked one, when and why too. With several options, those certificates
    /// that all of them mean.
    List(List),
    /// Show a certificate, request, CRL or key in words
    ///
    /// OBJECT is a file with one or several of them in PEM or DER, a serial number of the register,
    /// or a host, whose current certificate is meant, else its last. With SHA-256 digests of
    /// certificates and of public keys (SubjectPublicKeyInfo), as Postfix has them. Of a certificate
    /// that this CA issued, what the register says. Of a private key only what its public key tells,
    /// and no passphrase is asked for.
    Show(Show),
    /// Say what needs attention, and when
    ///
    /// The CA, the CRL and the current certificate of each host, the most urgent first, with the
    /// time that each has left, and for what needs attention the command that helps. Of the hosts
    /// whose keys live elsewhere, each is there with the last certificate of its subject; one that
    /// ended longer ago than 30 days, or --expiring, is taken for gone.
    ///
    /// Attention needs what has ended, was revoked, or is about to end: a host 30 days before, the
    /// CRL 7 days, or a third of default_days and default_crl_days where that is less, and the CA as
    /// soon as new certificates would not get their default_days. Less than a quarter of that time is
    /// critical.
    ///
    /// Exit status: 0 nothing needs attention, 3 something does, 1 it cannot be said.
    Status(Status),
    /// Audit a CA directory, also one that mailca never made
    ///
    /// Looked at: the register against the certificates in newcerts, the serial number and the CRL;
    /// what an interrupted command left; key and certificate of the CA and of each host; who may
    /// read and write them, as the mail servers judge it; what has ended or will; and whether
    /// sendmail.mc and sendmail.cf name files that work. Each finding has the command that helps;
    /// `mailca repair` does what needs no guess. Nothing is changed.
    ///
    /// Exit status: 0 nothing is wrong, 3 something is, 1 it cannot be said.
    Check(Check),
    /// Mend a CA directory, as far as that needs no guess
    ///
    /// Shows what it would do, and asks: give certificates in newcerts the rows that they lack; end,
    /// heal or leave out torn lines of the register; write rows anew that contradict their
    /// certificate or the CRL; finish an openssl ca that was interrupted; make a lost register of
    /// newcerts and the CRL; advance serial and crlnumber; set modes; relink hashes. Of each file that
    /// it changes a copy stays, under its name with the time behind it. Then it looks again, and goes
    /// on with what that brought to light.
    ///
    /// Where nothing proves that a certificate was not revoked, it is named, and a question of its
    /// own asked. What needs somebody who decides is left as it is.
    ///
    /// Exit status: 0 all is mended that check calls so, 3 something is left, 1 nothing was done.
    Repair(Repair),
    /// Print the lines that wire a host's certificate into sendmail.mc
    ///
    /// The lines go to standard output and nothing else does, so that they can be appended. They
    /// begin with an empty line and stand between two marks, by which --into finds them again.
    /// `emit sendmail` is the same.
    #[command(after_help = "\
Examples:
  mailca emit-mc mail.example.com >> /etc/mail/sendmail.mc
  mailca emit-mc mail.example.com --into /etc/mail/sendmail.mc
  mailca emit-mc mail.example.com --dir /etc/mail/certs")]
    EmitMc(EmitServer),
    /// Print what makes a mail server or systemd work with the CA
    ///
    /// The lines of a mail server go to standard output and nothing else does. They begin with an
    /// empty line and stand between two marks, by which --into finds them again. What to run next,
    /// and what the server cannot do, is told on standard error.
    Emit(Emit),
    /// Print lines by which a mail server lets hosts relay that show their certificates
    ///
    /// They go to standard output and nothing else does, so that they can be appended to a table.
    /// What to run next is told on standard error.
    Access(Access),
    /// Bring what a mail host needs to where its mail server reads it
    ///
    /// Into DIR go the CA's certificate, the CRL, and the host's certificate and key, under the names
    /// that they have in the CA directory, so that `emit SERVER HOST --dir DIR` names them. With - for
    /// DIR, all that is a tar on standard output. Of a host whose key lives elsewhere, all but the key.
    ///
    /// Run again, only what has changed is written; certificate and key change by one rename. A key
    /// that is there keeps its owner and mode unless something else is said. It can be a deploy hook:
    /// `renew --deploy-hook 'mailca export "$MAILCA_HOST" DIR'`.
    ///
    /// With --pkcs12, the key and the certificates go into one file for a mail client instead.
    Export(Export),
    /// Say whether a certificate is good, and why not
    ///
    /// Looked at, a line each: the chain to a trusted CA and that CA itself, the validity, the host
    /// name, the purposes, the CRL, the register, and whether the host's private key belongs to it.
    /// The trusted CA and the CRL are those of the CA directory unless --ca-file and --crl name others.
    /// Nothing is changed.
    ///
    /// Exit status: 0 all is well, 3 something is wrong with the certificate, 1 it cannot be read.
    Verify(Verify),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Write the manual pages into a directory
    Man(Man),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca init /etc/mail/CA
  mailca init /etc/mail/CA --subject '/O=Example/CN=Example Mail CA' --permit example.com
  mailca init ./CA --subject '/CN=Test CA' --no-passphrase --yes")]
pub struct Init {
    /// The directory to make [default: --ca, MAILCA_DIR, /etc/mail/CA]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// The CA's own name, as /C=US/O=Example/CN=Example Mail CA
    #[arg(long, value_name = "SUBJECT", value_parser = Name::from_oneline)]
    pub subject: Option<Name>,
    /// Lifetime of the CA certificate in days
    #[arg(long, value_name = "DAYS", default_value_t = CA_DAYS, value_parser = clap::value_parser!(u32).range(1..=i64::from(CA_MOST_DAYS)))]
    pub days: u32,
    /// Type of the CA's key: p256, p384, ed25519, rsa2048, rsa3072, rsa4096
    #[arg(long, value_name = "TYPE", default_value_t = KeyType::P256)]
    pub key_type: KeyType,
    /// Store the CA's key unencrypted
    #[arg(long, conflicts_with_all = ["passphrase_file", "passphrase_fd"])]
    pub no_passphrase: bool,
    /// Confine the CA to a domain or network; may be given several times
    #[arg(long, value_name = "DOMAIN|CIDR", num_args = 1)]
    pub permit: Vec<Subtree>,
    /// First serial number, in hexadecimal [default: random]
    #[arg(long, value_name = "HEX")]
    pub serial: Option<SerialNumber>,
    /// Where clients find the CRL; goes into every certificate
    #[arg(long, value_name = "URL", value_parser = url)]
    pub crl_url: Option<String>,
    /// Do nothing, successfully, where there is a CA already
    #[arg(long)]
    pub if_missing: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca req mail.example.com
  mailca req mail.example.com --san smtp.example.com --san 192.0.2.25
  mailca req mail.example.com --out-dir .")]
pub struct Req {
    /// who it is
    #[command(flatten)]
    pub host: Host,
    /// Type of the key: p256, p384, ed25519, rsa2048, rsa3072, rsa4096 [default: p256]
    #[arg(long, value_name = "TYPE", conflicts_with = "key")]
    pub key_type: Option<KeyType>,
    /// Use the existing key in FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// Make HOST.key and HOST.csr in DIR; needs no CA
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out_dir: Option<PathBuf>,
    /// Do nothing, successfully, where the host has a key already
    #[arg(long)]
    pub if_missing: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca sign
  mailca sign mx1.csr --out mx1.pem
  mailca sign requests/ --out-dir certificates/
  ssh mx1 cat mx1.csr | mailca sign - --out - --yes | ssh mx1 'cat > mx1.pem'")]
pub struct Sign {
    /// The requests: files, folders of *.csr files, or - for standard input [default: newreq.pem in the CA directory]
    #[arg(value_name = "REQUEST", value_hint = ValueHint::AnyPath)]
    pub requests: Vec<PathBuf>,
    /// Write the certificate to FILE, or to standard output (-), instead of newcert.pem
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// Write each certificate to DIR, named as its request: a.csr gives a.pem
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "out")]
    pub out_dir: Option<PathBuf>,
    /// Of several requests, sign all or none
    #[arg(long)]
    pub atomic: bool,
    /// The certificate's names instead of the request's; may be given several times
    #[arg(long, value_name = "NAME", value_parser = GeneralName::parse)]
    pub san: Vec<GeneralName>,
    /// The policy section of openssl.cnf to sign under [default: policy_anything]
    #[arg(long, value_name = "SECTION")]
    pub policy: Option<String>,
    /// Keep the request's subject exactly as it is
    #[arg(long)]
    pub preserve_dn: bool,
    /// Accept SHA-1 signatures and RSA keys from 1024 bits
    #[arg(long)]
    pub allow_legacy: bool,
    /// what the certificate is for, and how long
    #[command(flatten)]
    pub terms: Terms,
    /// First moment of validity, as 2027-01-31T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = rfc3339)]
    pub not_before: Option<OffsetDateTime>,
    /// Last moment of validity, as 2028-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = rfc3339, conflicts_with = "days")]
    pub not_after: Option<OffsetDateTime>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca issue mail.example.com
  mailca issue mail.example.com --san smtp.example.com --replace
  mailca issue mail.example.com --yes --json --passphrase-file /root/ca.pass
  mailca issue --from hosts.txt")]
pub struct Issue {
    /// who it is
    #[command(flatten)]
    pub host: Host,
    /// Type of the key: p256, p384, ed25519, rsa2048, rsa3072, rsa4096 [default: the present one's, or p256]
    #[arg(long, value_name = "TYPE")]
    pub key_type: Option<KeyType>,
    /// what the certificate is for, and how long
    #[command(flatten)]
    pub terms: Terms,
    /// Issue another certificate where the present one differs
    #[arg(long)]
    pub replace: bool,
    /// Do it for every host in FILE: one a line, with its other names behind it
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath, conflicts_with_all = ["name", "san", "subject"])]
    pub from: Option<PathBuf>,
    /// Of several hosts, issue for all or none
    #[arg(long, requires = "from")]
    pub atomic: bool,
}

// Who a certificate is for. (A doc comment would replace the description of the command.)
#[derive(Clone, Debug, Args)]
pub struct Host {
    /// The mail host's full name [default: this machine's]
    #[arg(value_name = "HOST")]
    pub name: Option<String>,
    /// Another name of the host: DNS name, IP address or e-mail address; may be given several times
    #[arg(long, value_name = "NAME", value_parser = GeneralName::parse)]
    pub san: Vec<GeneralName>,
    /// The subject [default: /CN=HOST]
    #[arg(long, value_name = "SUBJECT", value_parser = Name::from_oneline)]
    pub subject: Option<Name>,
}

// What a certificate is for, and how long.
#[derive(Clone, Debug, Args)]
pub struct Terms {
    /// What the certificate is for: relay (server and client), server, client [default: relay]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<Profile>,
    /// Lifetime in days [default: default_days of openssl.cnf]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub days: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca revoke mx1.example.com --reason superseded
  mailca revoke 1A2B --reason keyCompromise --compromised-at 2027-01-31T00:00:00Z
  mailca revoke --key stolen.pem --reason keyCompromise")]
pub struct Revoke {
    /// The certificates: files, serial numbers or hosts
    #[arg(value_name = "CERT", required_unless_present = "key", value_hint = ValueHint::AnyPath)]
    pub certificates: Vec<String>,
    /// Why: unspecified, keyCompromise, CACompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold [default: unspecified]
    #[arg(long, value_name = "REASON")]
    pub reason: Option<Reason>,
    /// Since when the private key may be in other hands, as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = rfc3339)]
    pub compromised_at: Option<OffsetDateTime>,
    /// Of a host with several valid certificates, revoke all
    #[arg(long)]
    pub all: bool,
    /// Revoke every valid certificate of the key in FILE: a key, a certificate or a request
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// Publish no CRL now
    #[arg(long)]
    pub no_crl: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca crl
  mailca crl --expiring 30d --passphrase-file /root/ca.pass
  mailca crl --days 30 --out /var/www/html/crl.der")]
pub struct Crl {
    /// Valid for so many days [default: default_crl_days of openssl.cnf]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub days: Option<u32>,
    /// Only if the present one ends within this time, as 7d or 12h, or lacks a revocation
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub expiring: Option<Duration>,
    /// Copy it to FILE too, in DER if that ends in .der, or to standard output (-)
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca renew mail.example.com
  mailca renew --expiring 35d --yes --passphrase-file /root/ca.pass \\
      --deploy-hook 'systemctl reload sendmail'
  mailca renew mail.example.com --new-key --revoke-old
  mailca renew mx2.example.com --out-dir .")]
pub struct Renew {
    /// The mail hosts
    #[arg(
        value_name = "HOST",
        required_unless_present = "expiring",
        conflicts_with = "expiring"
    )]
    pub hosts: Vec<String>,
    /// Renew all that end within this time, as 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub expiring: Option<Duration>,
    /// Make another key, of the same type; only where the host's key is here
    #[arg(long)]
    pub new_key: bool,
    /// Revoke the old certificate as superseded, and publish a new CRL
    #[arg(long)]
    pub revoke_old: bool,
    /// Lifetime in days [default: default_days of openssl.cnf]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub days: Option<u32>,
    /// Run COMMAND by a shell for each host afterwards
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    pub deploy_hook: Option<OsString>,
    /// Write each certificate to DIR too, as HOST.pem
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca renew-ca
  mailca renew-ca --days 7300 --yes --passphrase-file /root/ca.pass
  mailca renew-ca --new-key
  mailca renew-ca --new-key --key-type p384")]
pub struct RenewCa {
    /// Make another key for the CA; every host needs a new certificate then
    #[arg(long)]
    pub new_key: bool,
    /// Type of the new key: p256, p384, ed25519, rsa2048, rsa3072, rsa4096 [default: p256]
    #[arg(long, value_name = "TYPE", requires = "new_key")]
    pub key_type: Option<KeyType>,
    /// Store the new key unencrypted
    #[arg(long, requires = "new_key", conflicts_with_all = ["passphrase_file", "passphrase_fd"])]
    pub no_passphrase: bool,
    /// Lifetime of the new CA certificate in days
    #[arg(long, value_name = "DAYS", default_value_t = CA_DAYS, value_parser = clap::value_parser!(u32).range(1..=i64::from(CA_MOST_DAYS)))]
    pub days: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca list
  mailca list --host mail.example.com
  mailca list --state valid --expiring 60d
  mailca list --state revoked --json | jq -r '.certificates[].serial'")]
pub struct List {
    /// Those of a host
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Those in a state: valid, expired or revoked; may be given several times
    #[arg(long, value_name = "STATE", num_args = 1)]
    pub state: Vec<State>,
    /// Those valid now that end within this time, as 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub expiring: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca show mail.example.com
  mailca show 765D48FAD58FD22F
  mailca show /etc/mail/CA/crl/crl.pem
  openssl s_client -starttls smtp -connect mx1:25 </dev/null | mailca show -")]
pub struct Show {
    /// A file, - for standard input, a serial number, or a host
    #[arg(value_name = "OBJECT", value_hint = ValueHint::FilePath)]
    pub object: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca status
  mailca status --expiring 60d
  mailca status --json | jq -r '.. | .remedy? // empty'
  mailca status --nagios
  mailca status --prometheus >/var/lib/node_exporter/mailca.tmp &&
      mv /var/lib/node_exporter/mailca.tmp /var/lib/node_exporter/mailca.prom")]
pub struct Status {
    /// What ends within this time needs attention, as 60d or 12h [default: 30d for a host, 7d for the CRL, default_days of openssl.cnf for the CA]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub expiring: Option<Duration>,
    /// One line for Nagios and what understands its plugins; exit status 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    #[arg(long, conflicts_with_all = ["json", "prometheus"])]
    pub nagios: bool,
    /// Metrics for the textfile collector of Prometheus' node_exporter; exit status 0
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca check
  mailca check --ca ./demoCA --for sendmail,exim
  mailca check --sendmail /etc/mail/sendmail.mc
  mailca check --json | jq -r '.findings[].problem'")]
pub struct Check {
    /// Judge who may read and write the files as these mail servers do: sendmail, postfix, exim, dovecot, opensmtpd [default: those on this machine, else sendmail]
    #[arg(long = "for", value_name = "SERVER", value_delimiter = ',')]
    pub servers: Vec<MailServer>,
    /// Look at all that this sendmail.mc or sendmail.cf names [default: those in /etc/mail, as far as they name files of this CA]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub sendmail: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca repair
  mailca repair --dry-run
  mailca repair --yes --assume-valid --json")]
pub struct Repair {
    /// Let certificates count as valid of which nothing proves that they were not revoked
    #[arg(long)]
    pub assume_valid: bool,
    /// Show what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

// For which host a mail server's lines are, and of what form.
#[derive(Debug, Args)]
pub struct EmitServer {
    /// The mail host [default: this machine, or the only host whose key is here]
    #[arg(value_name = "HOST")]
    pub host: Option<String>,
    /// The version of the mail server, as dovecot-2.3 [default: the one on this machine, else the newest]
    #[arg(long = "for", value_name = "SERVER-VERSION")]
    pub release: Option<Release>,
    /// On the mail host the files lie in DIR, under the names they have in the CA directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The host's private key is FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// Put the lines into FILE, in place of those of before
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub into: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca emit postfix mail.example.com >> /etc/postfix/main.cf
  mailca emit exim mx2.example.com --dir /etc/exim4/mailca
  mailca emit dovecot imap.example.com --for dovecot-2.3 --dir /etc/dovecot/mailca
  mailca emit systemd --into /etc/systemd/system")]
pub struct Emit {
    /// for which program
    #[command(subcommand)]
    pub target: EmitTarget,
}

#[derive(Debug, Subcommand)]
pub enum EmitTarget {
    /// Print the lines for Sendmail's sendmail.mc
    #[command(after_help = "\
Examples:
  mailca emit sendmail mail.example.com --into /etc/mail/sendmail.mc
  mailca emit sendmail mail.example.com --for sendmail-8.15 --dir /etc/mail/certs")]
    Sendmail(EmitServer),
    /// Print the lines for Postfix's main.cf
    #[command(after_help = "\
Examples:
  mailca emit postfix mail.example.com >> /etc/postfix/main.cf
  mailca emit postfix mail.example.com --into /etc/postfix/main.cf
  mailca emit postfix mx2.example.com --for postfix-3.3 --dir /etc/postfix/mailca")]
    Postfix(EmitServer),
    /// Print the lines for the main section of Exim's configuration
    #[command(after_help = "\
Examples:
  mailca emit exim mail.example.com > /etc/exim4/conf.d/main/00_mailca
  mailca emit exim mx2.example.com --dir /etc/exim4/mailca")]
    Exim(EmitServer),
    /// Print the lines for Dovecot's dovecot.conf
    #[command(after_help = "\
Examples:
  mailca emit dovecot imap.example.com --dir /etc/dovecot/mailca > /etc/dovecot/conf.d/99-mailca.conf
  mailca emit dovecot imap.example.com --for dovecot-2.3")]
    Dovecot(EmitServer),
    /// Print the lines for OpenSMTPD's smtpd.conf
    #[command(after_help = "\
Examples:
  mailca emit opensmtpd mail.example.com
  mailca emit opensmtpd mx2.example.com --dir /etc/mail/mailca --into /etc/mail/smtpd.conf")]
    Opensmtpd(EmitServer),
    /// Print a service and a timer that keep the CA alive
    ///
    /// Once a day mailca.timer starts mailca.service, which publishes a new CRL where the present one
    /// ends within 30 days, and renews the certificates that end within 35. Without --into, both are
    /// printed, each behind a comment with its path. What to run next is printed too.
    ///
    /// The service gets the CA key's passphrase from a file that systemd-creds has encrypted for this
    /// machine. It runs as the owner of the CA directory.
    Systemd(EmitSystemd),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca emit systemd
  mailca emit systemd --into /etc/systemd/system --deploy-hook 'systemctl reload sendmail'
  mailca --ca /srv/otherCA emit systemd --name mailca-other --into /etc/systemd/system")]
pub struct EmitSystemd {
    /// Write them to DIR, in place of those of before
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub into: Option<PathBuf>,
    /// Run COMMAND by a shell for each renewed host, as renew --deploy-hook does
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    pub deploy_hook: Option<OsString>,
    /// Call them NAME.service and NAME.timer, where another CA has the name mailca
    #[arg(long, value_name = "NAME", default_value = "mailca", value_parser = unit_name)]
    pub name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca access sendmail mx1.example.com mx2.example.com >> /etc/mail/access
  mailca access postfix mx1.example.com >> /etc/postfix/relay_clientcerts
  mailca access postfix --reject >> /etc/postfix/revoked")]
pub struct Access {
    /// for which mail server
    #[command(subcommand)]
    pub target: AccessTarget,
}

#[derive(Debug, Subcommand)]
pub enum AccessTarget {
    /// Print lines for Sendmail's access map
    Sendmail(AccessSendmail),
    /// Print lines for Postfix's tables of client certificates
    Postfix(AccessPostfix),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca access sendmail mx1.example.com mx2.example.com >> /etc/mail/access
  mailca access sendmail --whole-ca >> /etc/mail/access")]
pub struct AccessSendmail {
    /// The hosts that may relay, or serial numbers or files of certificates
    #[arg(value_name = "HOST", required_unless_present = "whole_ca")]
    pub hosts: Vec<String>,
    /// Let everybody relay whom this CA certified
    #[arg(long, conflicts_with = "hosts")]
    pub whole_ca: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca access postfix mx1.example.com mx2.example.com >> /etc/postfix/relay_clientcerts
  mailca access postfix --reject >> /etc/postfix/revoked")]
pub struct AccessPostfix {
    /// The hosts that may relay, or serial numbers or files of certificates; with --reject, those whose revoked certificates are meant [default: all]
    #[arg(value_name = "HOST", required_unless_present = "reject")]
    pub hosts: Vec<String>,
    /// Print lines for check_ccert_access that refuse revoked certificates
    #[arg(long)]
    pub reject: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca export mail.example.com /etc/exim4/mailca --for exim
  mailca export mx2.example.com - | ssh root@mx2 tar -C /etc/mail/CA -xpf -
  mailca export alice.example.com alice.p12 --pkcs12")]
pub struct Export {
    /// The mail host
    #[arg(value_name = "HOST")]
    pub host: String,
    /// The directory, made where it is missing; - for a tar on standard output; with --pkcs12 the file to be made
    #[arg(value_name = "DIR|-", value_hint = ValueHint::AnyPath)]
    pub to: PathBuf,
    /// Give the key the owner and mode that this mail server needs: sendmail, postfix, exim, dovecot or opensmtpd
    #[arg(long = "for", value_name = "SERVER")]
    pub server: Option<MailServer>,
    /// Whose the key is [default: as it is there, else yours]
    #[arg(long, value_name = "USER[:GROUP]", value_parser = owner)]
    pub owner: Option<String>,
    /// The key's mode, such as 640 [default: as it is there, else 600]
    #[arg(long, value_name = "MODE", value_parser = octal)]
    pub mode: Option<u32>,
    /// Make a PKCS#12 file with the key and the certificates
    #[arg(long, conflicts_with_all = ["server", "owner", "mode"])]
    pub pkcs12: bool,
    /// Protect it by what old programs know: 3DES and SHA-1
    #[arg(long, requires = "pkcs12")]
    pub legacy: bool,
    /// Read its passphrase from the first line of PATH, or of standard input (-)
    #[arg(long, value_name = "PATH|-", requires = "pkcs12", value_hint = ValueHint::FilePath)]
    pub pkcs12_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca verify mail.example.com --host mail.example.com
  mailca verify 765D48FAD58FD22F --at 2027-06-01T00:00:00Z
  mailca verify mx1.pem --key mx1.key --purpose server
  openssl s_client -starttls smtp -connect mx1:25 </dev/null | mailca verify - --host mx1.example.com
  mailca verify mx1.pem --ca-file ca.pem --untrusted chain.pem --crl crl.pem")]
pub struct Verify {
    /// The certificate: a file with the certificates of its chain behind it, - for standard input, a serial number of the register, or a host
    #[arg(value_name = "CERT", value_hint = ValueHint::FilePath)]
    pub certificate: PathBuf,
    /// Trust the CAs in FILE instead of the CA directory's own; may be given several times
    #[arg(long, value_name = "FILE", num_args = 1, value_hint = ValueHint::FilePath)]
    pub ca_file: Vec<PathBuf>,
    /// Certificates of CAs between it and a trusted one; may be given several times
    #[arg(long, value_name = "FILE", num_args = 1, value_hint = ValueHint::FilePath)]
    pub untrusted: Vec<PathBuf>,
    /// Use the CRL in FILE instead of the CA directory's own; may be given several times
    #[arg(long, value_name = "FILE", num_args = 1, value_hint = ValueHint::FilePath)]
    pub crl: Vec<PathBuf>,
    /// The host name, IP address or e-mail address that the certificate shall be for
    #[arg(long, value_name = "NAME", value_parser = reference_name)]
    pub host: Option<GeneralName>,
    /// What the certificate shall be good for: server, client or any
    #[arg(long, value_name = "PURPOSE", default_value_t = Purpose::Any)]
    pub purpose: Purpose,
    /// The time that it shall be good at, as 2027-01-31T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = rfc3339)]
    pub at: Option<OffsetDateTime>,
    /// The private key in FILE shall belong to the certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca completions bash > /etc/bash_completion.d/mailca
  mailca completions zsh > /usr/share/zsh/site-functions/_mailca")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailca man /usr/local/share/man/man1")]
pub struct Man {
    /// The directory, made where it is missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

fn rfc3339(text: &str) -> Result<OffsetDateTime, String> {
    // The last hours of the year 9999 elsewhere are in no year that certificates have.
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    time.and_then(|time| time.checked_to_offset(UtcOffset::UTC))
        .ok_or_else(|| "times are written as 2027-01-31T00:00:00Z (RFC 3339)".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "durations are written as 30d or 12h".into())
}

fn owner(text: &str) -> Result<String, String> {
    let is_said = !text.is_empty() && !text.ends_with(':');
    is_said
        .then(|| text.to_owned())
        .ok_or_else(|| "owners are written as USER, USER:GROUP or :GROUP".into())
}

fn octal(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "modes are written as 640".into())
}

fn unit_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let well_formed = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_plain)
        && text.len() <= 200;
    well_formed
        .then(|| text.to_owned())
        .ok_or_else(|| "it is made of letters, digits, hyphens, underscores and dots".into())
}

fn reference_name(text: &str) -> Result<GeneralName, String> {
    match GeneralName::parse(text) {
        Ok(GeneralName::Dns(name)) if name.starts_with("*.") => Err(format!(
            "{name} is a wildcard; name a host that it shall stand for"
        )),
        other => other.map_err(|error| error.to_string()),
    }
}

fn url(text: &str) -> Result<String, String> {
    let known = ["http://", "https://", "ldap://", "ldaps://"];
    let well_formed = known.iter().any(|scheme| text.starts_with(scheme))
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    well_formed
        .then(|| text.to_owned())
        .ok_or_else(|| "it is not a URL such as http://ca.example.com/crl.der".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    // What the arguments say of their command replaces what the list of commands says.
    #[test]
    fn a_command_is_described_alike_in_the_list_of_commands_and_in_its_own_help() {
        let mut built = Cli::command();
        built.build();
        for command in Cli::command().get_subcommands() {
            let own = built.find_subcommand(command.get_name()).unwrap();
            assert_eq!(command.get_about(), own.get_about());
            assert_eq!(command.get_long_about(), own.get_long_about());
        }
    }

    #[test]
    fn every_command_and_every_one_below_it_is_described() {
        let mut built = Cli::command();
        built.build();
        let mut waiting: Vec<_> = built.get_subcommands().collect();
        let mut count = 0;
        while let Some(command) = waiting.pop() {
            assert!(command.get_about().is_some(), "{command}");
            count += 1;
            waiting.extend(command.get_subcommands());
        }
        assert!(count > Cli::command().get_subcommands().count());
    }
}
