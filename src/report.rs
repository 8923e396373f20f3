//! What a command tells: a report is data and prose of one thing. The only printer.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::{Global, STANDARD_CA};
use crate::context::Context;
use crate::exit::{Exit, Plugin};
use crate::pki::text;

pub use crate::pki::moment::date;

/// The result of a command.
#[derive(Debug)]
pub struct Outcome {
    output: Output,
    /// how the command ended
    pub exit: Exit,
    /// the certificate that was issued, where a file's text is all that is told of it
    issued: Option<String>,
}

/// What is printed, in one of its forms.
#[derive(Debug)]
enum Output {
    Report {
        words: String,
        data: serde_json::Value,
    },
    Words(String),
    /// words and what steers a terminal
    Drawing(String),
    /// what `--quiet` and `--json` leave as it is
    File(String),
    /// the same of what is no text, and may hold a private key
    Octets(Zeroizing<Vec<u8>>),
}

impl Outcome {
    fn new(output: Output) -> Self {
        Self {
            output,
            exit: Exit::Done,
            issued: None,
        }
    }

    /// A result in words and, for `--json`, as data.
    ///
    /// # Errors
    /// When the report cannot be written as JSON.
    pub fn of(report: &(impl Serialize + Display)) -> serde_json::Result<Self> {
        Ok(Self::new(Output::Report {
            words: report.to_string(),
            data: serde_json::to_value(report)?,
        }))
    }

    /// The same of what may be long, and changes nothing: only what is going to be printed is
    /// written, and its fields are in the order of the report.
    ///
    /// # Errors
    /// When the report cannot be written as JSON.
    pub fn long(report: &(impl Serialize + Display), is_json: bool) -> serde_json::Result<Self> {
        Ok(Self::new(if is_json {
            Output::File(serde_json::to_string_pretty(report)? + "\n")
        } else {
            Output::Words(report.to_string())
        }))
    }

    /// A result drawn for the terminal that standard output is: whoever draws has made fit for it
    /// what comes from elsewhere.
    #[must_use]
    pub fn drawing(drawing: String) -> Self {
        Self::new(Output::Drawing(drawing))
    }

    /// The text of a file, which `--json` and `--quiet` leave as it is.
    #[must_use]
    pub fn file(text: String) -> Self {
        Self::new(Output::File(text))
    }

    /// The same of a file that is no text, and may hold a private key.
    #[must_use]
    pub fn octets(octets: Zeroizing<Vec<u8>>) -> Self {
        Self::new(Output::Octets(octets))
    }

    /// Nothing more to print than a [`Listing`] did.
    #[must_use]
    pub fn printed(exit: Exit) -> Self {
        Self {
            exit,
            ..Self::file(String::new())
        }
    }

    /// The text of a certificate just issued, which is in `path` too.
    #[must_use]
    pub fn issued(text: String, path: &Path) -> Self {
        Self {
            issued: Some(path.display().to_string()),
            ..Self::file(text)
        }
    }

    /// What to say, and how to end, when it cannot be printed.
    #[must_use]
    pub fn unprinted(&self, error: &io::Error) -> (String, Exit) {
        let sentence = format!("cannot write to standard output: {error}");
        match (&self.issued, &self.output) {
            (Some(path), _) => (
                format!("{path} was issued, but {sentence}"),
                Exit::Attention,
            ),
            (None, Output::Report { data, .. }) if data["changed"] == true => {
                (sentence, Exit::Attention)
            }
            (None, _) if matches!(self.exit, Exit::Plugin(_)) => {
                (sentence, Exit::Plugin(Plugin::Unknown))
            }
            (None, _) => (sentence, Exit::Refused),
        }
    }
}

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    /// one sentence
    pub error: String,
    /// what to do about it
    pub hint: Option<String>,
    /// how the command ended
    pub exit: Exit,
    /// whether something was changed all the same
    pub changed: bool,
}

/// A report that may be too long to hold: its entries are printed one by one, and with `--json`
/// they are a list in one document.
pub struct Listing<'a> {
    out: BufWriter<&'a mut dyn Write>,
    is_json: bool,
    is_quiet: bool,
    /// how many entries there were
    pub count: u64,
}

impl<'a> Listing<'a> {
    /// Begins one whose entries are called `field`.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn begin(
        field: &'static str,
        global: &Global,
        stdout: &'a mut dyn Write,
    ) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 16, stdout);
        if global.json {
            write!(out, "{{\n  \"changed\": false,\n  \"{field}\": [")?;
        }
        Ok(Self {
            out,
            is_json: global.json,
            is_quiet: global.quiet && !global.json,
            count: 0,
        })
    }

    /// Prints an entry, the first one at once.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn entry(&mut self, entry: &(impl Serialize + Display)) -> io::Result<()> {
        if self.is_json {
            let comma = if self.count == 0 { "" } else { "," };
            write!(self.out, "{comma}\n    ")?;
            serde_json::to_writer(&mut self.out, entry)?;
        } else if !self.is_quiet {
            self.out
                .write_all(text::for_terminal(&entry.to_string()).as_bytes())?;
        }
        self.count += 1;
        if self.count == 1 {
            self.out.flush()?;
        }
        Ok(())
    }

    /// Ends it; with `failure` because there is more that cannot be read, which only `--json` says
    /// here.
    ///
    /// # Errors
    /// When standard output cannot be written, except that its reader is gone.
    pub fn end(mut self, failure: Option<&Failure>) -> io::Result<()> {
        if self.is_json {
            let close = if self.count == 0 { "]" } else { "\n  ]" };
            write!(self.out, "{close}")?;
            if let Some(Failure { error, hint, .. }) = failure {
                let (error, hint) = (json!(error), json!(hint));
                write!(self.out, ",\n  \"error\": {error},\n  \"hint\": {hint}")?;
            }
            self.out.write_all(b"\n}\n")?;
        }
        unless_reader_is_gone(self.out.flush())
    }
}

/// Prints a result on standard output.
///
/// # Errors
/// When standard output cannot be written, except that its reader is gone.
pub fn print(outcome: &Outcome, global: &Global, context: &mut Context) -> io::Result<()> {
    let text: Cow<'_, str> = match &outcome.output {
        Output::Octets(octets) => return write_out(octets, context),
        Output::File(text) => text.into(),
        Output::Report { data, .. } if global.json => format!("{data:#}\n").into(),
        _ if global.quiet => return Ok(()),
        Output::Report { words, .. } | Output::Words(words) => text::for_terminal(words).into(),
        Output::Drawing(drawing) => drawing.into(),
    };
    write_out(text.as_bytes(), context)
}

/// Prints a failure: for people on standard error, with `--json` on standard output.
pub fn print_failure(failure: &Failure, json: bool, context: &mut Context) {
    let Failure {
        error,
        hint,
        changed,
        ..
    } = failure;
    if json {
        let document = json!({ "changed": changed, "error": error, "hint": hint });
        let _ = write_out(format!("{document:#}\n").as_bytes(), context);
    } else {
        say("error", error, context);
        if let Some(hint) = hint {
            say("hint", hint, context);
        }
    }
}

/// Prints a line on standard error, behind a word such as `warning`.
pub fn say(word: &str, sentence: &str, context: &mut Context) {
    // Nowhere is left to complain about standard error.
    let _ = writeln!(context.stderr, "{word}: {}", text::sentence(sentence));
}

/// Writes on standard output, whose reader may be gone.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn write_out(octets: &[u8], context: &mut Context) -> io::Result<()> {
    let written = context
        .stdout
        .write_all(octets)
        .and_then(|()| context.stdout.flush());
    unless_reader_is_gone(written)
}

fn unless_reader_is_gone(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// A time to the second, where the date alone does not tell two apart.
#[must_use]
pub fn moment(time: time::OffsetDateTime) -> String {
    let utc = time.to_offset(time::UtcOffset::UTC);
    utc.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_else(|_| utc.to_string())
}

/// The CA that a command works in, as its command line has it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// its directory
    pub ca: &'a Path,
    /// `--config`
    pub config: Option<&'a Path>,
}

impl<'a> From<&'a Global> for Place<'a> {
    fn from(global: &'a Global) -> Self {
        Self {
            ca: global.ca.as_deref().unwrap_or(Path::new(STANDARD_CA)),
            config: global.config.as_deref(),
        }
    }
}

impl<'a> From<&'a Path> for Place<'a> {
    fn from(ca: &'a Path) -> Self {
        Self { ca, config: None }
    }
}

/// A command line that can be copied: mailca with its words, quoted for a shell, naming the CA
/// directory where it is not the standard one, and the settings where they are not in it.
#[must_use]
pub fn invocation<'a>(place: impl Into<Place<'a>>, words: &[&str]) -> String {
    let Place { ca, config } = place.into();
    let directory = ca.to_string_lossy();
    let config = config.map(Path::to_string_lossy);
    let mut all = vec!["mailca"];
    if directory != STANDARD_CA {
        all.extend(["--ca", &*directory]);
    }
    if let Some(config) = &config {
        all.extend(["--config", &**config]);
    }
    all.extend(words);
    shell_line(&all)
}

/// A command line that moves a damaged file away before another one makes what it held.
#[must_use]
pub fn in_place_of(damaged: &Path, command: &str) -> String {
    let path = damaged.to_string_lossy();
    let aside = format!("{path}.damaged");
    format!("{} && {command}", shell_line(&["mv", &path, &aside]))
}

/// Words as a shell needs them to be one command.
#[must_use]
pub fn shell_line(words: &[&str]) -> String {
    let quoted = words
        .iter()
        .map(|word| shlex::try_quote(word).unwrap_or_else(|_| "?".into()));
    quoted.collect::<Vec<_>>().join(" ")
}

/// A certificate's or host's names, side by side.
pub struct List<'a, T>(pub &'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, item) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
    }
}
