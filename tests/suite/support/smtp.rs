//! Talking to a mail server: the plain dialogue, and TLS through `openssl`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use super::{PATIENCE, Ran, run, run_with};

/// A connection to a mail server on 127.0.0.1.
pub struct Smtp {
    stream: BufReader<TcpStream>,
    pub greeting: String,
}

impl Smtp {
    /// Connects and waits for the greeting.
    pub fn connect(port: u16) -> std::io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut smtp = Self {
            stream: BufReader::new(stream),
            greeting: String::new(),
        };
        smtp.greeting = smtp.reply()?.join("\n");
        Ok(smtp)
    }

    /// Sends a line and returns the lines of the reply.
    pub fn say(&mut self, line: &str) -> std::io::Result<Vec<String>> {
        write!(self.stream.get_mut(), "{line}\r\n")?;
        self.reply()
    }

    fn reply(&mut self) -> std::io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_owned();
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return Ok(lines);
            }
        }
    }
}

/// How an attempt at STARTTLS ended.
pub struct Handshake {
    /// A cipher was agreed on, and the certificate is good for the name.
    pub verified: bool,
    /// Of the agreed cipher; `(NONE)` or empty without a handshake.
    pub cipher: String,
    /// As in "Verify return code: 0 (ok)".
    pub verify: String,
    pub ran: Ran,
}

/// `openssl s_client -starttls smtp` to 127.0.0.1, with the CA in `ca_file` and
/// the host name that the certificate has to name.
///
/// s_client's exit status and its "Verification: OK" say nothing: it prints
/// that without any handshake too.
#[track_caller]
pub fn s_client_starttls(port: u16, ca_file: &str, host: &str, extra: &[&str]) -> Handshake {
    let ran = run(s_client(port)
        .args(["-CAfile", ca_file, "-verify_hostname", host])
        .arg("-verify_return_error")
        .args(extra));
    let after = |label: &str| {
        let (_, rest) = ran.stdout.split_once(label)?;
        Some(rest.lines().next().unwrap_or_default().trim().to_owned())
    };
    let cipher = after("Cipher is ").unwrap_or_default();
    let verify = after("Verify return code: ").unwrap_or_default();
    Handshake {
        verified: !matches!(cipher.as_str(), "" | "(NONE)") && verify == "0 (ok)",
        cipher,
        verify,
        ran,
    }
}

/// Lines said to the server inside TLS, and all it answered. End with QUIT.
#[track_caller]
pub fn s_client_session(port: u16, extra: &[&str], lines: &[&str]) -> String {
    let input: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let ran = run_with(s_client(port).arg("-quiet").args(extra), &input);
    ran.stdout
}

fn s_client(port: u16) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-starttls", "smtp", "-connect"])
        .arg(format!("127.0.0.1:{port}"));
    command
}
