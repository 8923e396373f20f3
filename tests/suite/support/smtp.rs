//! Talking to a mail server: the plain dialogue, and TLS through `openssl`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, Ran, run};

/// A connection to a mail server on 127.0.0.1.
pub struct Smtp {
    from: Box<dyn BufRead>,
    to: Box<dyn Write>,
    /// What a connection inside TLS goes through.
    client: Option<Child>,
    /// Empty inside TLS, where a server does not repeat it.
    pub greeting: String,
}

impl Smtp {
    /// Connects and waits for the greeting.
    pub fn connect(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut smtp = Self {
            from: Box::new(BufReader::new(stream.try_clone()?)),
            to: Box::new(stream),
            client: None,
            greeting: String::new(),
        };
        smtp.greeting = smtp.reply()?.join("\n");
        Ok(smtp)
    }

    /// Connects and says STARTTLS, through `openssl s_client` with more
    /// options: a client certificate, or `-bind 127.0.0.2:0` to come from an
    /// address that may not relay. Verifies nothing.
    ///
    /// The dialogue goes line by line, since Sendmail refuses a client that
    /// does not wait for its answers.
    pub fn starttls(port: u16, extra: &[&str]) -> io::Result<Self> {
        let mut client = Command::new("timeout")
            .arg(PATIENCE.as_secs().to_string())
            .args(s_client(port))
            .args(["-quiet"])
            .args(extra)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            from: Box::new(BufReader::new(client.stdout.take().expect("piped"))),
            to: Box::new(client.stdin.take().expect("piped")),
            client: Some(client),
            greeting: String::new(),
        })
    }

    /// Sends a line and returns the lines of the reply.
    pub fn say(&mut self, line: &str) -> io::Result<Vec<String>> {
        write!(self.to, "{line}\r\n")?;
        self.to.flush()?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.from.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
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

impl Drop for Smtp {
    fn drop(&mut self) {
        if let Some(client) = &mut self.client {
            // `timeout` passes the signal on.
            let _ = kill_process(Pid::from_child(client), Signal::TERM);
            let _ = client.wait();
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
    let options = [&["-starttls", "smtp"], extra].concat();
    s_client_tls(port, ca_file, host, &options)
}

/// The same without STARTTLS, unless the options say so.
#[track_caller]
pub fn s_client_tls(port: u16, ca_file: &str, host: &str, extra: &[&str]) -> Handshake {
    let ran = run(Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
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

fn s_client(port: u16) -> Vec<String> {
    let to = format!("127.0.0.1:{port}");
    ["openssl", "s_client", "-starttls", "smtp", "-connect", &to]
        .map(str::to_owned)
        .to_vec()
}
