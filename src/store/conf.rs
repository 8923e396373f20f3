//! openssl.cnf, read as OpenSSL 3 reads it: see config(5).
//!
//! It differs on the safe side only. A relative `.include` is looked for beside
//! the file that names it before the working directory; the files of an
//! included directory come in the order of their names; an include that is
//! there but cannot be read is an error, and so is a file that includes itself,
//! which OpenSSL reads until it runs out of file descriptors and then carries
//! on as if nothing had happened. Sizes are limited. Bytes that are not UTF-8 may stand in a
//! comment or in a value that nobody uses: older files have Latin-1 there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::sys::open;

#[cfg(test)]
mod tests;

const MAX_FILE: usize = 1 << 20;
/// OpenSSL's own limit: the value and its terminating NUL fit into 64 KiB.
const MAX_VALUE: usize = (1 << 16) - 1;
/// For all files and all expanded values together.
const MAX_TOTAL: usize = 16 << 20;
const MAX_DEPTH: usize = 16;

const BLANKS: [char; 3] = [' ', '\t', '\r'];
/// Where names are looked up that their own section lacks.
const DEFAULT: &str = "default";

/// An OpenSSL configuration file (config(5)), with every variable expanded.
#[derive(Clone, Debug, Default)]
pub struct Conf {
    sections: HashMap<String, Section>,
    skipped: Vec<Skipped>,
}

/// A section, with everything the file and its includes put into it.
#[derive(Clone, Debug, Default)]
pub struct Section {
    entries: Vec<Entry>,
    last: HashMap<String, usize>,
}

/// One `name = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as written: OpenSSL resolves no escapes in it.
    pub name: String,
    /// The value without its quotes and escapes, variables expanded. U+FFFD stands for bytes
    /// that are not UTF-8.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
}

/// A place in a configuration file, shown as `openssl.cnf:12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, which may be an included one.
    pub path: Arc<Path>,
    /// The line, counted from 1; the first one of a continued line.
    pub line: usize,
}

/// An `.include` that OpenSSL passes over in silence: there is no such file,
/// or it is a directory included from within an included directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The path as the file has it, variables expanded.
    pub path: PathBuf,
    /// Where it is included.
    pub origin: Origin,
}

/// Why a configuration file could not be read.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ConfError {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} is larger than 1 MiB", path.display())]
    FileTooLarge { path: PathBuf },
    #[error("{origin}: {fault}")]
    Line { origin: Origin, fault: Fault },
}

/// What is wrong with a line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error("the value is not UTF-8 text")]
    NotUtf8,
    #[error("the line holds a NUL byte")]
    Nul,
    #[error("the section name has no closing \"]\"")]
    SectionNotClosed,
    #[error("there is no \"=\" after {name:?}")]
    NoEquals { name: String },
    #[error("the variable ${name} has no closing \"{close}\"")]
    VariableNotClosed { name: String, close: &'static str },
    #[error("the variable ${name} has no value")]
    NoValue { name: String },
    #[error("the value is longer than 64 KiB")]
    ValueTooLong,
    #[error("the file, its includes and its values exceed 16 MiB")]
    TooMuch,
    #[error("the pragma {text:?} does not have the form NAME:VALUE")]
    Pragma { text: String },
    #[error("the pragma {name} is {value:?}, neither on nor off")]
    PragmaSwitch { name: String, value: String },
    #[error("the include {} is not an absolute path, as abspath demands", path.display())]
    RelativeInclude { path: PathBuf },
    #[error("{} includes itself", path.display())]
    IncludeCycle { path: PathBuf },
    #[error("{} is included more than 16 files deep", path.display())]
    IncludeTooDeep { path: PathBuf },
}

impl Conf {
    /// Reads `path` and the files it includes. `env` answers `$ENV::NAME`.
    ///
    /// # Errors
    /// The first thing in the file that OpenSSL would not take, or that is
    /// beyond what a configuration file needs.
    pub fn read(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Conf, ConfError> {
        let (file, metadata) = open::any(path).map_err(|source| cannot_read(path, source))?;
        let mut reader = Reader::new(env);
        reader.file(path, file, &metadata)?;
        Ok(reader.conf)
    }

    /// A value of `section`, or else of the `default` section, as
    /// `NCONF_get_string` finds it.
    #[must_use]
    pub fn get(&self, section: &str, name: &str) -> Option<&str> {
        self.entry(section, name).map(|entry| entry.value.as_str())
    }

    /// Where the value that [`Conf::get`] finds stands.
    #[must_use]
    pub fn origin(&self, section: &str, name: &str) -> Option<&Origin> {
        self.entry(section, name).map(|entry| &entry.origin)
    }

    /// The section of that name, which may be empty.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name)
    }

    /// Refuses a section that has values with bytes that are not UTF-8: what they name or mean
    /// cannot be told.
    ///
    /// # Errors
    /// [`Fault::NotUtf8`] at the first of them.
    pub fn check_text(&self, section: &str) -> Result<(), ConfError> {
        let entries = self.section(section).into_iter().flat_map(Section::entries);
        for entry in entries {
            check_text(&entry.value).map_err(|fault| entry.origin.error(fault))?;
        }
        Ok(())
    }

    /// The includes that were passed over, as OpenSSL does.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    fn entry(&self, section: &str, name: &str) -> Option<&Entry> {
        let own = self.section(section).and_then(|own| own.get(name));
        own.or_else(|| self.section(DEFAULT)?.get(name))
    }
}

impl Section {
    /// The entry of that name in this very section.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.last.get(name).map(|&at| &self.entries[at])
    }

    /// The entries in their order. Of several with one name only the last one
    /// is there, at its own place.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let all = self.entries.iter().enumerate();
        all.filter_map(|(at, entry)| (self.last[&entry.name] == at).then_some(entry))
    }

    fn push(&mut self, entry: Entry) {
        self.last.insert(entry.name.clone(), self.entries.len());
        self.entries.push(entry);
    }
}

impl Origin {
    fn error(&self, fault: Fault) -> ConfError {
        let origin = self.clone();
        ConfError::Line { origin, fault }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// What OpenSSL carries from line to line, also into and out of an include.
struct Reader<'e> {
    env: &'e dyn Fn(&str) -> Option<String>,
    conf: Conf,
    section: String,
    dollar_in_names: bool,
    absolute_includes: bool,
    include_dir: Option<String>,
    /// Device and inode of the files being read, the outermost first.
    open: Vec<(u64, u64)>,
    in_directory: bool,
    bytes: usize,
}

impl<'e> Reader<'e> {
    fn new(env: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Reader {
            env,
            conf: Conf {
                sections: HashMap::from([(DEFAULT.to_owned(), Section::default())]),
                skipped: Vec::new(),
            },
            section: DEFAULT.to_owned(),
            dollar_in_names: false,
            absolute_includes: false,
            include_dir: None,
            open: Vec::new(),
            in_directory: false,
            bytes: 0,
        }
    }

    fn file(&mut self, path: &Path, file: File, metadata: &Metadata) -> Result<(), ConfError> {
        let text = read_text(path, file, metadata)?;
        // OpenSSL takes a byte order mark in the outermost file only.
        let mark = if self.open.is_empty() { "\u{feff}" } else { "" };
        let text = text.strip_prefix(mark).unwrap_or(&text);
        let path: Arc<Path> = path.into();
        self.open.push((metadata.dev(), metadata.ino()));
        for (line, text) in logical_lines(text) {
            let path = Arc::clone(&path);
            let origin = Origin { path, line };
            let include = self.line(&text, &origin);
            if let Some(include) = include.map_err(|fault| origin.error(fault))? {
                self.include(&include, &origin)?;
            }
        }
        self.open.pop();
        Ok(())
    }

    /// Takes in a line, or returns the path that it includes.
    fn line(&mut self, line: &str, origin: &Origin) -> Result<Option<PathBuf>, Fault> {
        self.spend(line.len())?;
        if line.contains('\0') {
            return Err(Fault::Nul);
        }
        let line = without_comment(line).trim_start_matches(BLANKS);
        match line.strip_prefix('[') {
            Some(rest) => self.header(rest).map(|()| None),
            None if line.is_empty() => Ok(None),
            None => self.statement(line, origin),
        }
    }

    /// `[ name ]`, where the name may be several words.
    fn header(&mut self, text: &str) -> Result<(), Fault> {
        let text = text.trim_start_matches(BLANKS);
        let mut at = 0;
        let name = loop {
            let end = at + self.name_len(&text[at..]);
            let rest = text[end..].trim_start_matches(BLANKS);
            if rest.starts_with(']') {
                break &text[..end];
            }
            let next = text.len() - rest.len();
            if rest.is_empty() || next == at {
                return Err(Fault::SectionNotClosed);
            }
            at = next;
        };
        self.section = self.expand(DEFAULT, name)?;
        self.conf.sections.entry(self.section.clone()).or_default();
        Ok(())
    }

    /// `name = value`, `section::name = value`, or a directive.
    fn statement(&mut self, line: &str, origin: &Origin) -> Result<Option<PathBuf>, Fault> {
        let (section, name, rest) = split_qualified(line, |text| self.name_len(text));
        let section = section.unwrap_or(&self.section).to_owned();
        let value = rest.trim_start_matches(BLANKS);
        let argument = value
            .strip_prefix('=')
            .unwrap_or(value)
            .trim_matches(BLANKS);
        // OpenSSL takes ".includes = x" for an include as well.
        let is = |directive| {
            let suffix = name.strip_prefix(directive);
            suffix.is_some_and(|suffix| {
                !suffix.is_empty() || rest.starts_with([' ', '\t', '\r', '='])
            })
        };
        if is(".pragma") {
            self.pragma(argument)?;
        } else if is(".include") {
            let path = self.expand(&section, argument)?;
            check_text(&path)?;
            return self.include_path(&path).map(Some);
        } else if value.starts_with('=') {
            let value = self.expand(&section, argument)?;
            self.spend(section.len() + value.len())?;
            let (name, origin) = (name.to_owned(), origin.clone());
            self.conf.sections.entry(section).or_default().push(Entry {
                name,
                value,
                origin,
            });
        } else {
            let name = name.to_owned();
            return Err(Fault::NoEquals { name });
        }
        Ok(None)
    }

    fn pragma(&mut self, text: &str) -> Result<(), Fault> {
        let parts = text.split_once(':');
        let Some((name, value)) = parts.filter(|(a, b)| !a.is_empty() && !b.is_empty()) else {
            let text = text.to_owned();
            return Err(Fault::Pragma { text });
        };
        let (name, value) = (name.trim_matches(BLANKS), value.trim_matches(BLANKS));
        match name {
            "dollarid" => self.dollar_in_names = switch(name, value)?,
            "abspath" => self.absolute_includes = switch(name, value)?,
            "includedir" => {
                check_text(value)?;
                self.include_dir = Some(value.to_owned());
            }
            // OpenSSL ignores the pragmas it does not know.
            _ => {}
        }
        Ok(())
    }

    fn include_path(&self, path: &str) -> Result<PathBuf, Fault> {
        let dir = (self.env)("OPENSSL_CONF_INCLUDE").or_else(|| self.include_dir.clone());
        let path = PathBuf::from(dir.unwrap_or_default()).join(path);
        if self.absolute_includes && path.is_relative() {
            return Err(Fault::RelativeInclude { path });
        }
        Ok(path)
    }

    /// A relative path counts from the directory of the file that names it,
    /// and else, as in OpenSSL, from the working directory.
    fn include(&mut self, path: &Path, origin: &Origin) -> Result<(), ConfError> {
        let beside = origin.path.with_file_name(path);
        let named = !path.as_os_str().is_empty();
        if named && (self.try_include(&beside, origin)? || self.try_include(path, origin)?) {
            return Ok(());
        }
        self.skip(path, origin);
        Ok(())
    }

    /// Includes a file or a directory, if it is there.
    fn try_include(&mut self, path: &Path, origin: &Origin) -> Result<bool, ConfError> {
        let (file, metadata) = match open::any(path) {
            Ok(opened) => opened,
            Err(error) if is_absent(&error) => return Ok(false),
            Err(source) => return Err(cannot_read(path, source)),
        };
        let owned = || path.to_owned();
        if metadata.is_dir() {
            self.include_directory(path, origin)?;
        } else if self.open.contains(&(metadata.dev(), metadata.ino())) {
            return Err(origin.error(Fault::IncludeCycle { path: owned() }));
        } else if self.open.len() > MAX_DEPTH {
            return Err(origin.error(Fault::IncludeTooDeep { path: owned() }));
        } else {
            self.file(path, file, &metadata)?;
        }
        Ok(true)
    }

    /// The `*.cnf` and `*.conf` of a directory, though not of one within it.
    fn include_directory(&mut self, dir: &Path, origin: &Origin) -> Result<(), ConfError> {
        if mem::replace(&mut self.in_directory, true) {
            self.skip(dir, origin);
            return Ok(());
        }
        for path in configuration_files(dir).map_err(|source| cannot_read(dir, source))? {
            if !self.try_include(&path, origin)? {
                self.skip(&path, origin);
            }
        }
        self.in_directory = false;
        Ok(())
    }

    fn skip(&mut self, path: &Path, origin: &Origin) {
        let (path, origin) = (path.to_owned(), origin.clone());
        self.conf.skipped.push(Skipped { path, origin });
    }

    /// Resolves quotes, escapes and variables.
    fn expand(&self, section: &str, text: &str) -> Result<String, Fault> {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let rest = chars.as_str();
            match c {
                '"' | '\'' | '`' => chars = unquote(rest, c, &mut out).chars(),
                '\\' => out.extend(chars.next().map(unescape)),
                '$' if !self.dollar_in_names || rest.starts_with(['{', '(']) => {
                    let (value, rest) = self.variable(section, rest)?;
                    out.push_str(&value);
                    chars = rest.chars();
                }
                _ => out.push(c),
            }
            if out.len() > MAX_VALUE {
                return Err(Fault::ValueTooLong);
            }
        }
        Ok(out)
    }

    /// The value of the variable that `text` begins with, and the text after it.
    fn variable<'t>(&self, section: &str, text: &'t str) -> Result<(Cow<'_, str>, &'t str), Fault> {
        let close = match text.chars().next() {
            Some('{') => "}",
            Some('(') => ")",
            _ => "",
        };
        let text = &text[close.len()..];
        let (other, variable, rest) = split_qualified(text, |text| self.variable_len(text));
        let name = text[..text.len() - rest.len()].to_owned();
        let Some(after) = rest.strip_prefix(close) else {
            return Err(Fault::VariableNotClosed { name, close });
        };
        let value = self.lookup(other.unwrap_or(section), variable);
        Ok((value.ok_or(Fault::NoValue { name })?, after))
    }

    /// The environment stands between a section ENV and the default section.
    fn lookup(&self, section: &str, name: &str) -> Option<Cow<'_, str>> {
        let own = self.conf.section(section).and_then(|own| own.get(name));
        match (self.env)(name).filter(|_| own.is_none() && section == "ENV") {
            Some(value) => Some(value.into()),
            None => self.conf.get(section, name).map(Cow::from),
        }
    }

    /// The length of the name that `text` begins with, escapes included.
    fn name_len(&self, text: &str) -> usize {
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => _ = chars.next(),
                '$' if self.dollar_in_names => {}
                _ if c.is_ascii_alphanumeric() || "_!.%&*+,-/;?@^|~".contains(c) => {}
                _ => return at,
            }
        }
        text.len()
    }

    fn variable_len(&self, text: &str) -> usize {
        let dollar = self.dollar_in_names;
        let belongs = |c: char| c.is_ascii_alphanumeric() || c == '_' || dollar && c == '$';
        text.find(|c| !belongs(c)).unwrap_or(text.len())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes += bytes;
        if self.bytes > MAX_TOTAL {
            return Err(Fault::TooMuch);
        }
        Ok(())
    }
}

/// Splits `section::name` or `name` off; `len` says how long a name is.
fn split_qualified(text: &str, len: impl Fn(&str) -> usize) -> (Option<&str>, &str, &str) {
    let (first, rest) = text.split_at(len(text));
    let Some(rest) = rest.strip_prefix("::") else {
        return (None, first, rest);
    };
    let (name, rest) = rest.split_at(len(rest));
    (Some(first), name, rest)
}

/// Joins the lines that a backslash continues, each with the number of the
/// first. OpenSSL takes `\\` at the end for an escaped one, and `\\\` too.
fn logical_lines(text: &str) -> Vec<(usize, Cow<'_, str>)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, Cow<'_, str>)> = None;
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim_end_matches('\r');
        let (first, mut joined) = match open.take() {
            Some((first, begun)) => (first, begun + line),
            None => (index + 1, Cow::from(line)),
        };
        if joined.ends_with('\\') && !joined.ends_with("\\\\") {
            joined.to_mut().pop();
            open = Some((first, joined));
        } else {
            lines.push((first, joined));
        }
    }
    lines.extend(open);
    lines
}

fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            _ if quote.is_some() => quote = quote.filter(|&open| open != c),
            '#' => return &line[..at],
            '"' | '\'' | '`' => quote = Some(c),
            _ => {}
        }
    }
    line
}

/// Copies up to the closing quote, or to the end, and returns what follows.
/// Inside quotes a dollar is a dollar and `\n` is an n.
fn unquote<'t>(text: &'t str, quote: char, out: &mut String) -> &'t str {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            _ if c == quote => break,
            _ => out.push(c),
        }
    }
    chars.as_str()
}

fn unescape(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        'b' => '\u{8}',
        't' => '\t',
        _ => c,
    }
}

fn switch(name: &str, value: &str) -> Result<bool, Fault> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(Fault::PragmaSwitch {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
    }
}

fn read_text(path: &Path, file: File, metadata: &Metadata) -> Result<String, ConfError> {
    if !metadata.is_file() {
        let path = path.to_owned();
        return Err(ConfError::NotAFile { path });
    }
    let size = usize::try_from(metadata.len()).unwrap_or(MAX_FILE);
    let mut bytes = Vec::with_capacity(size.min(MAX_FILE) + 1);
    let read = file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes);
    if read.map_err(|source| cannot_read(path, source))? > MAX_FILE {
        let path = path.to_owned();
        return Err(ConfError::FileTooLarge { path });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn check_text(value: &str) -> Result<(), Fault> {
    if value.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Fault::NotUtf8);
    }
    Ok(())
}

fn configuration_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default();
        if extension.eq_ignore_ascii_case("cnf") || extension.eq_ignore_ascii_case("conf") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn cannot_read(path: &Path, source: io::Error) -> ConfError {
    let path = path.to_owned();
    ConfError::Read { path, source }
}
