//! m4 as far as a sendmail.mc's own define()s need it. Nothing is included and nothing is run:
//! what depends on another file has a value that is not known.

use std::collections::HashMap;

use thiserror::Error;

use super::is_macro;

/// Why m4 would stop at a text.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum M4Error {
    /// A quote or a parenthesis is never closed.
    #[error("the {what} that begins in line {line} has no end")]
    Unfinished {
        /// string, or list of arguments
        what: &'static str,
        /// where it begins
        line: usize,
    },
    /// The macros call each other for ever, or as good as that.
    #[error("the macros of line {0} expand without an end")]
    Endless(usize),
    /// The text changes its quotes to something longer than one character.
    #[error("line {0} changes m4's quotes")]
    Quotes(usize),
}

type Result<T> = std::result::Result<T, M4Error>;

/// Stands for what is not known.
const UNKNOWN: u8 = 0;
/// The most bytes that macros may expand to altogether, where each counts for a hundred more.
const LARGEST: usize = 1 << 20;
/// Macros within the arguments of macros.
const DEEPEST: usize = 100;

/// Of m4's own, those that are words like any other where no arguments follow (GNU m4's manual,
/// "Inhibiting Invocation").
const WITH_ARGUMENTS: [&[u8]; 28] = [
    b"builtin",
    b"changeword",
    b"debugfile",
    b"decr",
    b"define",
    b"defn",
    b"esyscmd",
    b"eval",
    b"format",
    b"ifdef",
    b"ifelse",
    b"include",
    b"incr",
    b"index",
    b"indir",
    b"len",
    b"m4wrap",
    b"maketemp",
    b"mkstemp",
    b"patsubst",
    b"popdef",
    b"pushdef",
    b"regexp",
    b"sinclude",
    b"substr",
    b"symbols",
    b"translit",
    b"undefine",
];

#[derive(Debug)]
struct Definition {
    text: Vec<u8>,
    line: usize,
}

/// What a text has defined when m4 is through with it.
#[derive(Debug)]
pub struct Macros<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    /// what is read before the text goes on, backwards
    pushed: Vec<u8>,
    spent: usize,
    quotes: [u8; 2],
    has_comments: bool,
    defined: HashMap<Vec<u8>, Vec<Definition>>,
}

enum Token {
    Word(Vec<u8>),
    /// a string without its quotes, or a comment
    Text(Vec<u8>),
    Byte(u8),
    End,
}

impl<'a> Macros<'a> {
    /// Reads a text, with these macros defined before it.
    ///
    /// # Errors
    /// Where m4 would stop.
    pub fn of(text: &'a [u8], before: &[(&str, &str)]) -> Result<Self> {
        let mut macros = Self {
            text,
            at: 0,
            line: 1,
            pushed: Vec::new(),
            spent: 0,
            quotes: [b'`', b'\''],
            has_comments: true,
            defined: HashMap::new(),
        };
        for (name, text) in before {
            macros.define(name.as_bytes(), text.as_bytes(), 0);
        }
        macros.rest()?;
        Ok(macros)
    }

    /// What a macro has become at the end, and in which line it was defined; `None` where it is not
    /// defined, or its value is not known.
    ///
    /// # Errors
    /// Where m4 would stop.
    pub fn value(&mut self, name: &str) -> Result<Option<(Vec<u8>, usize)>> {
        let Some(found) = self.defined.get(name.as_bytes()).and_then(|all| all.last()) else {
            return Ok(None);
        };
        let line = found.line;
        self.pushed.clear();
        self.push(name.as_bytes())?;
        let value = self.rest()?;
        Ok((!value.contains(&UNKNOWN)).then_some((value, line)))
    }

    // Reads to the end; what comes out.
    fn rest(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            match self.token()? {
                Token::End => return Ok(out),
                Token::Byte(byte) => out.push(byte),
                Token::Text(text) => out.extend(text),
                Token::Word(word) => out.extend(self.expand(word, 0)?),
            }
        }
    }

    fn next(&mut self) -> Option<u8> {
        if let Some(byte) = self.pushed.pop() {
            return Some(byte);
        }
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        let last = self.pushed.last();
        last.or_else(|| self.text.get(self.at)).copied()
    }

    fn push(&mut self, text: &[u8]) -> Result<()> {
        self.spent += 100 + text.len();
        if self.spent > LARGEST {
            return Err(M4Error::Endless(self.line));
        }
        self.pushed.extend(text.iter().rev());
        Ok(())
    }

    fn token(&mut self) -> Result<Token> {
        let Some(byte) = self.next() else {
            return Ok(Token::End);
        };
        if byte == self.quotes[0] {
            return self.string().map(Token::Text);
        }
        if byte == b'#' && self.has_comments {
            return Ok(Token::Text([&[byte], &*self.line_rest()].concat()));
        }
        if !(byte.is_ascii_alphabetic() || byte == b'_') {
            return Ok(Token::Byte(byte));
        }
        let mut word = vec![byte];
        while let Some(byte) = self.peek() {
            if !(byte.is_ascii_alphanumeric() || byte == b'_') {
                break;
            }
            word.extend(self.next());
        }
        Ok(Token::Word(word))
    }

    fn string(&mut self) -> Result<Vec<u8>> {
        let line = self.line;
        let [open, close] = self.quotes;
        let mut depth = 1;
        let mut string = Vec::new();
        while let Some(byte) = self.next() {
            if byte == close {
                depth -= 1;
            } else if byte == open {
                depth += 1;
            }
            if depth == 0 {
                return Ok(string);
            }
            string.push(byte);
        }
        let what = "string";
        Err(M4Error::Unfinished { what, line })
    }

    fn line_rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        while let Some(byte) = self.next() {
            rest.push(byte);
            if byte == b'\n' {
                break;
            }
        }
        rest
    }

    fn arguments(&mut self, depth: usize) -> Result<Vec<Vec<u8>>> {
        let line = self.line;
        if depth > DEEPEST {
            return Err(M4Error::Endless(line));
        }
        let mut arguments = vec![Vec::new()];
        let mut parentheses = 0;
        self.skip_blanks();
        loop {
            let last = arguments.len() - 1;
            match self.token()? {
                Token::End => {
                    let what = "list of arguments";
                    return Err(M4Error::Unfinished { what, line });
                }
                Token::Byte(b')') if parentheses == 0 => return Ok(arguments),
                Token::Byte(b',') if parentheses == 0 => {
                    arguments.push(Vec::new());
                    self.skip_blanks();
                }
                Token::Byte(byte) => {
                    match byte {
                        b'(' => parentheses += 1,
                        b')' => parentheses -= 1,
                        _ => {}
                    }
                    arguments[last].push(byte);
                }
                Token::Text(text) => arguments[last].extend(text),
                Token::Word(word) => {
                    let text = self.expand(word, depth)?;
                    arguments[last].extend(text);
                }
            }
        }
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.next();
        }
    }

    // What comes out at once; what is read again is pushed.
    fn expand(&mut self, word: Vec<u8>, depth: usize) -> Result<Vec<u8>> {
        let line = self.line;
        let is_called = self.peek() == Some(b'(');
        let is_defined = self.defined.contains_key(&word);
        let is_known = str::from_utf8(&word).is_ok_and(is_macro);
        if !is_defined && (!is_known || !is_called && WITH_ARGUMENTS.contains(&&*word)) {
            return Ok(word);
        }
        let mut arguments = Vec::new();
        if is_called {
            self.next();
            arguments = self.arguments(depth + 1)?;
        }
        if let Some(found) = self.defined.get(&word).and_then(|all| all.last()) {
            let text = substitute(&found.text, &word, &arguments);
            self.push(&text)?;
            return Ok(Vec::new());
        }
        self.builtin(&word, &arguments, line)
    }

    fn builtin(&mut self, word: &[u8], arguments: &[Vec<u8>], line: usize) -> Result<Vec<u8>> {
        let argument = |number: usize| arguments.get(number).map_or(&[][..], |text| text);
        match word {
            b"dnl" => _ = self.line_rest(),
            b"define" => {
                self.defined.entry(argument(0).to_vec()).or_default().pop();
                self.define(argument(0), argument(1), line);
            }
            b"pushdef" => self.define(argument(0), argument(1), line),
            b"popdef" => {
                for name in arguments {
                    let left = self.defined.get_mut(name).map(|all| {
                        all.pop();
                        all.len()
                    });
                    if left == Some(0) {
                        self.defined.remove(name);
                    }
                }
            }
            b"undefine" => self.defined.retain(|name, _| !arguments.contains(name)),
            b"ifdef" => {
                let is_defined = self.defined.contains_key(argument(0));
                self.push(argument(if is_defined { 1 } else { 2 }))?;
            }
            b"ifelse" => self.push(chosen(arguments))?,
            b"defn" => {
                let [open, close] = self.quotes;
                let text = match self.defined.get(argument(0)).and_then(|all| all.last()) {
                    Some(found) => [&[open], &*found.text, &[close]].concat(),
                    None if str::from_utf8(argument(0)).is_ok_and(is_macro) => vec![UNKNOWN],
                    None => Vec::new(),
                };
                self.push(&text)?;
            }
            b"changequote" => match [argument(0), argument(1)] {
                [[], _] => self.quotes = [b'`', b'\''],
                [[open], [close]] => self.quotes = [*open, *close],
                _ => return Err(M4Error::Quotes(line)),
            },
            b"changecom" => self.has_comments = !argument(0).is_empty(),
            // It begins with changecom().
            b"include" | b"sinclude" if argument(0).ends_with(b"cf.m4") => {
                self.has_comments = false;
            }
            b"divert" | b"undivert" | b"VERSIONID" => {}
            _ => return Ok(vec![UNKNOWN]),
        }
        Ok(Vec::new())
    }

    fn define(&mut self, name: &[u8], text: &[u8], line: usize) {
        let text = text.to_vec();
        let definitions = self.defined.entry(name.to_vec()).or_default();
        definitions.push(Definition { text, line });
    }
}

// ifelse: the third of three where the first two are the same, else what the next three say.
fn chosen(mut arguments: &[Vec<u8>]) -> &[u8] {
    loop {
        match arguments {
            [one, other, same, ..] if one == other => return same,
            [_, _, _, rest] => return rest,
            [_, _, _, rest @ ..] if rest.len() > 1 => arguments = rest,
            _ => return &[],
        }
    }
}

// A definition with the arguments in the places of $1, $2 and so on.
fn substitute(text: &[u8], name: &[u8], arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let mark = (*byte == b'$').then(|| bytes.as_slice().first());
        let mark = mark.flatten();
        match mark {
            Some(b'0') => out.extend(name),
            Some(digit @ b'1'..=b'9') => {
                let argument = arguments.get(usize::from(digit - b'1'));
                out.extend(argument.into_iter().flatten());
            }
            Some(b'#') => out.extend(arguments.len().to_string().bytes()),
            Some(b'*') => out.extend(arguments.join(&b',')),
            Some(b'@') => {
                let quoted = arguments.iter().map(|one| [b"`", &**one, b"'"].concat());
                out.extend(quoted.collect::<Vec<_>>().join(&b','));
            }
            _ => {
                out.push(*byte);
                continue;
            }
        }
        bytes.next();
    }
    out
}
