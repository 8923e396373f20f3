//! Questions on the terminal.
//!
//! They go to standard error and are answered on standard input, or on `/dev/tty` where standard
//! input is something else; standard output stays free for results.
//!
//! Every answer is a line ended by Enter, the confirmation too: a key typed ahead must not sign
//! anything. Visible questions leave the terminal in its line mode, where Ctrl-C, Ctrl-D, Ctrl-Z
//! and the erase keys do what they always do and nothing needs restoring.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dialoguer::console::Term;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr,
    tcsetattr,
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{passphrase, signals};

/// How often a new secret is asked for until both answers agree.
const ATTEMPTS: u32 = 3;

/// Where a command asks its questions.
///
/// Questions come without their punctuation: `Host` is asked as `Host: `.
pub trait Terminal {
    /// Is there someone to ask?
    fn is_present(&self) -> bool;

    /// How many columns it has.
    fn width(&self) -> usize {
        80
    }

    /// Shows text, such as the review of a certificate, that a question is about.
    ///
    /// # Errors
    /// If there is no terminal, or writing to it fails.
    fn show(&mut self, text: &str) -> Result<(), PromptError>;

    /// One line, as typed, in answer to this very prompt.
    ///
    /// # Errors
    /// If there is no terminal, it fails, or the answer is Ctrl-D.
    fn ask(&mut self, prompt: &str) -> Result<String, PromptError>;

    /// The same without showing the answer.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask); an empty answer is [`PromptError::Closed`] as well.
    fn ask_hidden(&mut self, prompt: &str) -> Result<Zeroizing<Vec<u8>>, PromptError>;

    /// A line of text without the spaces around it; an empty one stands for the default, and
    /// where there is none the question is repeated.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    fn line(&mut self, question: &str, default: Option<&str>) -> Result<String, PromptError> {
        let prompt = match default {
            Some(default) => format!("{question} [{default}]: "),
            None => format!("{question}: "),
        };
        loop {
            match (self.ask(&prompt)?.trim(), default) {
                ("", None) => {}
                ("", Some(default)) => return Ok(default.to_owned()),
                (answer, _) => return Ok(answer.to_owned()),
            }
        }
    }

    /// A secret that exists already; never empty.
    ///
    /// # Errors
    /// As for [`ask_hidden`](Self::ask_hidden).
    fn secret(&mut self, question: &str) -> Result<Zeroizing<Vec<u8>>, PromptError> {
        self.ask_hidden(&format!("{question}: "))
    }

    /// A secret to be made, asked for twice so that no misspelt one is kept; never empty.
    ///
    /// # Errors
    /// As for [`ask_hidden`](Self::ask_hidden), and if the answers still differ the third time.
    fn new_secret(
        &mut self,
        question: &str,
        again: &str,
    ) -> Result<Zeroizing<Vec<u8>>, PromptError> {
        for attempt in 1..=ATTEMPTS {
            let secret = self.secret(question)?;
            if secret == self.secret(again)? {
                return Ok(secret);
            }
            if attempt < ATTEMPTS {
                self.show("the two differ; try again\n")?;
            }
        }
        Err(PromptError::Differ { attempts: ATTEMPTS })
    }

    /// Yes or no; anything but `y` or `yes` is no.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    fn confirm(&mut self, question: &str) -> Result<bool, PromptError> {
        let answer = self.ask(&format!("{question} [y/N] "))?;
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }
}

/// Why a question has no answer.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum PromptError {
    #[error("there is no terminal to ask on")]
    NoTerminal,
    #[error("no answer was given")]
    Closed,
    #[error("the two answers differed {attempts} times")]
    Differ { attempts: u32 },
    #[error("cannot ask on the terminal")]
    Io(#[from] io::Error),
}

/// The terminal the command was started from.
pub struct RealTerminal;

impl Terminal for RealTerminal {
    fn is_present(&self) -> bool {
        io::stderr().is_terminal() && input().is_ok()
    }

    fn width(&self) -> usize {
        match Term::stderr().size_checked() {
            // 0 is what a terminal says that does not know.
            Some((_, columns)) if columns > 0 => usize::from(columns).clamp(40, 100),
            _ => 80,
        }
    }

    fn show(&mut self, text: &str) -> Result<(), PromptError> {
        if !self.is_present() {
            return Err(PromptError::NoTerminal);
        }
        let mut stderr = io::stderr();
        stderr.write_all(text.as_bytes())?;
        Ok(stderr.flush()?)
    }

    fn ask(&mut self, prompt: &str) -> Result<String, PromptError> {
        self.show(prompt)?;
        let mut line = String::new();
        // In line mode one read yields one line at most: no later answer is lost in this buffer.
        BufReader::new(input()?).read_line(&mut line)?;
        if line.pop() == Some('\n') {
            return Ok(line);
        }
        self.show("\n")?;
        Err(PromptError::Closed)
    }

    fn ask_hidden(&mut self, prompt: &str) -> Result<Zeroizing<Vec<u8>>, PromptError> {
        if !self.is_present() {
            return Err(PromptError::NoTerminal);
        }
        let quiet = Quiet::begin()?;
        self.show(prompt)?;
        let mut terminal = input()?;
        let mut secret = passphrase::read_line(&mut terminal)?;
        if secret.len() > passphrase::MAX_LENGTH {
            // What is left of the line must not become the shell's input.
            tcflush(&terminal, QueueSelector::IFlush).map_err(io::Error::from)?;
        }
        self.show("\n")?;
        secret.retain(|byte| !quiet.keys.contains(byte));
        if secret.is_empty() {
            return Err(PromptError::Closed);
        }
        Ok(secret)
    }
}

/// Where answers are typed.
fn input() -> io::Result<File> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        Ok(stdin.as_fd().try_clone_to_owned()?.into())
    } else {
        File::options().read(true).write(true).open("/dev/tty")
    }
}

/// The terminal as it was, while a hidden question is open.
static BEFORE: Mutex<Option<(File, Termios)>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<(File, Termios)>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, no key and no signal can leave the terminal without its echo.
struct Quiet {
    /// The keys that do nothing meanwhile.
    keys: [u8; 2],
}

impl Quiet {
    fn begin() -> io::Result<Self> {
        signals::handle()?;
        let terminal = input()?;
        let saved = tcgetattr(&terminal)?;
        let mut quiet = saved.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // Ctrl-Z would show the passphrase after `fg`, since shells turn the echo on, and Ctrl-\
        // would write it into a core file. A character that interrupts does nothing else.
        let codes = &mut quiet.special_codes;
        let keys = [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT].map(|key| {
            mem::replace(
                &mut codes[key],
                saved.special_codes[SpecialCodeIndex::VINTR],
            )
        });
        let mut before = before();
        // Before the prompt is shown: an answer to it is never echoed and never thrown away.
        tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        *before = Some((terminal, saved));
        Ok(Self { keys })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some((terminal, saved)) = before().take() {
            let _ = tcsetattr(terminal, OptionalActions::Now, &saved);
        }
    }
}

/// Gives the terminal its echo back, where a hidden question is open.
pub(super) fn restore_terminal() {
    if let Some((terminal, saved)) = before().as_ref() {
        // What was typed so far must not become the shell's input.
        let _ = tcsetattr(terminal, OptionalActions::Flush, saved);
    }
}

/// No terminal at all, whatever the standard streams are.
pub struct NoTerminal;

impl Terminal for NoTerminal {
    fn is_present(&self) -> bool {
        false
    }

    fn show(&mut self, _text: &str) -> Result<(), PromptError> {
        Err(PromptError::NoTerminal)
    }

    fn ask(&mut self, _prompt: &str) -> Result<String, PromptError> {
        Err(PromptError::NoTerminal)
    }

    fn ask_hidden(&mut self, _prompt: &str) -> Result<Zeroizing<Vec<u8>>, PromptError> {
        Err(PromptError::NoTerminal)
    }
}

/// A terminal for tests, with answers given beforehand; after the last one it is closed.
#[derive(Debug, Default)]
pub struct ScriptedTerminal {
    answers: VecDeque<String>,
    /// The prompts so far, as shown.
    pub asked: Vec<String>,
    /// What was shown besides.
    pub shown: String,
}

impl ScriptedTerminal {
    /// A terminal where these answers will be typed.
    #[must_use]
    pub fn new(answers: &[&str]) -> Self {
        Self {
            answers: answers.iter().copied().map(String::from).collect(),
            ..Self::default()
        }
    }
}

impl Terminal for ScriptedTerminal {
    fn is_present(&self) -> bool {
        true
    }

    fn show(&mut self, text: &str) -> Result<(), PromptError> {
        self.shown.push_str(text);
        Ok(())
    }

    fn ask(&mut self, prompt: &str) -> Result<String, PromptError> {
        self.asked.push(prompt.to_owned());
        self.answers.pop_front().ok_or(PromptError::Closed)
    }

    fn ask_hidden(&mut self, prompt: &str) -> Result<Zeroizing<Vec<u8>>, PromptError> {
        match self.ask(prompt)? {
            answer if answer.is_empty() => Err(PromptError::Closed),
            answer => Ok(Zeroizing::new(answer.into_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::path::Path;
    use std::process::{self, Command};
    use std::thread;
    use std::time::Duration;
    use std::time::Instant;

    use tempfile::{TempDir, tempdir};

    use super::*;

    #[test]
    fn only_y_and_yes_confirm() {
        for answer in ["y", "Y", "yes", "YES", " yes "] {
            let mut terminal = ScriptedTerminal::new(&[answer]);
            assert!(terminal.confirm("Sign?").unwrap(), "{answer}");
            assert_eq!(terminal.asked, ["Sign? [y/N] "]);
        }
        for answer in ["", "n", "no", "yesterday", "only", "1"] {
            let mut terminal = ScriptedTerminal::new(&[answer]);
            assert!(!terminal.confirm("Sign?").unwrap(), "{answer}");
        }
    }

    #[test]
    fn an_empty_line_stands_for_the_default() {
        let mut terminal = ScriptedTerminal::new(&["", " other "]);
        assert_eq!(terminal.line("Host", Some("mx1")).unwrap(), "mx1");
        assert_eq!(terminal.line("Host", Some("mx1")).unwrap(), "other");
        assert_eq!(terminal.asked, ["Host [mx1]: ", "Host [mx1]: "]);
    }

    #[test]
    fn an_empty_line_without_a_default_is_asked_again() {
        let mut terminal = ScriptedTerminal::new(&["", " ", "mx1"]);
        assert_eq!(terminal.line("Host", None).unwrap(), "mx1");
        assert_eq!(terminal.asked, ["Host: "; 3]);
    }

    #[test]
    fn a_new_secret_is_asked_twice() {
        let mut terminal = ScriptedTerminal::new(&["geheim", "geheim"]);
        let secret = terminal.new_secret("Passphrase", "Again").unwrap();
        assert_eq!(*secret, b"geheim");
        assert_eq!(terminal.asked, ["Passphrase: ", "Again: "]);
        assert_eq!(terminal.shown, "");
    }

    #[test]
    fn a_new_secret_is_asked_again_until_both_agree() {
        let mut terminal = ScriptedTerminal::new(&["a", "b", "c", "c"]);
        let secret = terminal.new_secret("Passphrase", "Again").unwrap();
        assert_eq!(*secret, b"c");
        assert_eq!(terminal.shown, "the two differ; try again\n");
    }

    #[test]
    fn a_new_secret_that_differs_three_times_is_refused() {
        let mut terminal = ScriptedTerminal::new(&["a", "b", "a", "b", "a", "b", "a", "a"]);
        let error = terminal.new_secret("Passphrase", "Again").unwrap_err();
        assert_eq!(error.to_string(), "the two answers differed 3 times");
    }

    #[test]
    fn an_empty_secret_is_no_answer() {
        let mut terminal = ScriptedTerminal::new(&[""]);
        let error = terminal.secret("Passphrase").unwrap_err();
        assert_eq!(error.to_string(), "no answer was given");
    }

    #[test]
    fn without_a_terminal_every_question_fails() {
        assert!(!NoTerminal.is_present());
        let error = NoTerminal.confirm("Sign?").unwrap_err();
        assert_eq!(error.to_string(), "there is no terminal to ask on");
    }

    // The tests below run `child` in a terminal of its own, which tmux provides.

    const CHILD: &str = "MAILCA_TEST_PROMPT";

    /// Asks the question that the variable names; does nothing in an ordinary test run.
    #[test]
    fn child() {
        let Ok(question) = env::var(CHILD) else {
            return;
        };
        let mut terminal = RealTerminal;
        let text = |secret: Zeroizing<Vec<u8>>| String::from_utf8(secret.to_vec()).unwrap();
        let answer = match question.as_str() {
            "present" => Ok(terminal.is_present().to_string()),
            "line" => terminal.line("Host", Some("mx1")),
            "confirm" => terminal.confirm("Sign?").map(|yes| yes.to_string()),
            "secret" => terminal.secret("Passphrase").map(text),
            "new" => terminal.new_secret("New", "Again").map(text),
            "work" => terminal.secret("Passphrase").map(|secret| {
                eprintln!("working");
                thread::sleep(Duration::from_secs(60));
                text(secret)
            }),
            other => panic!("{other}"),
        };
        match answer {
            Ok(answer) => eprintln!("answer=<{}>", answer.escape_debug()),
            Err(error) => {
                eprintln!("error=<{error}>");
                process::exit(1);
            }
        }
    }

    struct Pane(TempDir);

    impl Pane {
        /// A terminal where `child` asks a question; `None` where tmux is missing.
        fn ask(question: &str) -> Option<Self> {
            Self::run(question, str::to_owned)
        }

        fn run(question: &str, wrap: impl Fn(&str) -> String) -> Option<Self> {
            if Command::new("tmux").arg("-V").output().is_err() {
                assert!(env::var("CI").as_deref() != Ok("true"), "tmux is missing");
                eprintln!("SKIPPED: tmux is not installed");
                return None;
            }
            let exe = env::current_exe().unwrap();
            let child = wrap(&format!(
                "{CHILD}={question} '{}' --exact sys::prompt::tests::child --nocapture",
                exe.display()
            ));
            // The traps keep the shell alive; for the child the signals are the usual ones.
            let script = format!(
                "trap : INT QUIT; before=$(stty -g); ({child}) >/dev/null; echo status=$?; \
                 stty -a; [ \"$(stty -g)\" = \"$before\" ] && echo terminal=same; \
                 echo done; sleep 60"
            );
            let pane = Self(tempdir().unwrap());
            pane.tmux(&["new-session", "-d", "-x", "150", "-y", "50", &script]);
            Some(pane)
        }

        fn tmux(&self, args: &[&str]) -> String {
            let output = Command::new("tmux")
                .args([Path::new("-S"), &self.0.path().join("socket")])
                .args(["-f", "/dev/null"])
                .args(args)
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        }

        /// Waits until the screen shows the text.
        fn expect(&self, text: &str) -> String {
            let start = Instant::now();
            loop {
                let screen = self.tmux(&["capture-pane", "-p"]);
                if screen.contains(text) {
                    return screen;
                }
                let waited = start.elapsed() > Duration::from_secs(20);
                assert!(!waited, "no {text:?} on the screen:\n{screen}");
                thread::sleep(Duration::from_millis(20));
            }
        }

        /// Waits for the prompt and for the child to be reading, then presses the keys.
        fn answer(&self, prompt: &str, keys: &[&str]) {
            self.expect(prompt);
            thread::sleep(Duration::from_millis(100));
            self.tmux(&[&["send-keys"], keys].concat());
        }

        /// The last screen; the terminal has to be as it was before.
        fn end(&self) -> String {
            let screen = self.expect("\ndone");
            for expected in [" echo ", " icanon ", "terminal=same"] {
                assert!(screen.contains(expected), "no {expected:?}:\n{screen}");
            }
            screen
        }

        fn ends_with(&self, expected: &[&str]) {
            let screen = self.end();
            for text in expected {
                assert!(
                    screen.contains(text),
                    "no {text:?} on the screen:\n{screen}"
                );
            }
        }
    }

    impl Drop for Pane {
        fn drop(&mut self) {
            self.tmux(&["kill-server"]);
        }
    }

    #[test]
    fn a_line_is_read_and_can_be_corrected() {
        let Some(pane) = Pane::ask("line") else {
            return;
        };
        pane.answer("Host [mx1]:", &["mx3", "BSpace", "2", "Enter"]);
        pane.ends_with(&["Host [mx1]: mx2\n", "answer=<mx2>", "status=0"]);
    }

    #[test]
    fn a_confirmation_waits_for_enter() {
        let Some(pane) = Pane::ask("confirm") else {
            return;
        };
        pane.answer("Sign? [y/N]", &["y"]);
        pane.answer("Sign? [y/N] y", &["BSpace"]);
        pane.answer("Sign? [y/N]", &["Enter"]);
        pane.ends_with(&["answer=<false>", "status=0"]);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let Some(pane) = Pane::ask("secret") else {
            return;
        };
        pane.answer("Passphrase:", &["geheim", "Enter"]);
        pane.ends_with(&["Passphrase:\nanswer=<geheim>\n", "status=0"]);
    }

    #[test]
    fn a_new_secret_is_asked_for_on_two_lines() {
        let Some(pane) = Pane::ask("new") else {
            return;
        };
        pane.answer("New:", &["geheim", "Enter"]);
        pane.answer("Again:", &["geheim", "Enter"]);
        pane.ends_with(&["New:\nAgain:\nanswer=<geheim>\n", "status=0"]);
    }

    #[test]
    fn keys_that_suspend_or_dump_do_nothing_in_a_secret() {
        let Some(pane) = Pane::ask("secret") else {
            return;
        };
        pane.answer("Passphrase:", &["a", "C-z", "b", "C-\\", "c", "Enter"]);
        pane.ends_with(&["answer=<abc>", "status=0"]);
    }

    #[test]
    fn ctrl_c_leaves_the_terminal_as_it_was() {
        for (question, prompt) in [
            ("line", "Host [mx1]:"),
            ("confirm", "Sign? [y/N]"),
            ("secret", "Passphrase:"),
            ("new", "New:"),
        ] {
            let Some(pane) = Pane::ask(question) else {
                return;
            };
            pane.answer(prompt, &["half", "C-c"]);
            pane.ends_with(&["status=130"]);
        }
    }

    #[test]
    fn ctrl_c_at_once_leaves_the_terminal_as_it_was() {
        let Some(pane) = Pane::ask("secret") else {
            return;
        };
        pane.expect("Passphrase:");
        pane.tmux(&["send-keys", "C-c"]);
        pane.ends_with(&["status=130"]);
    }

    #[test]
    fn sigterm_leaves_the_terminal_as_it_was() {
        let with_pid =
            |child: &str| format!(r#"sh -c 'echo pid=$$. >&2; exec env "$@"' sh {child}"#);
        let Some(pane) = Pane::run("secret", with_pid) else {
            return;
        };
        pane.answer("Passphrase:", &["half"]);
        let screen = pane.expect("pid=");
        let (_, pid) = screen.split_once("pid=").unwrap();
        let (pid, _) = pid.split_once('.').unwrap();
        Command::new("kill").arg(pid).status().unwrap();
        pane.ends_with(&["status=130"]);
    }

    #[test]
    fn ctrl_c_still_ends_the_work_after_a_question() {
        let Some(pane) = Pane::ask("work") else {
            return;
        };
        pane.answer("Passphrase:", &["geheim", "Enter"]);
        pane.answer("working", &["C-c"]);
        pane.ends_with(&["status=130"]);
    }

    #[test]
    fn ctrl_d_is_no_answer() {
        for (question, prompt) in [
            ("line", "Host [mx1]:"),
            ("confirm", "Sign? [y/N]"),
            ("secret", "Passphrase:"),
            ("new", "New:"),
        ] {
            let Some(pane) = Pane::ask(question) else {
                return;
            };
            pane.answer(prompt, &["C-d"]);
            let line = format!("{prompt}\nerror=<no answer was given>\n");
            pane.ends_with(&[&line, "status=1"]);
        }
    }

    #[test]
    fn piped_input_is_left_alone_and_the_terminal_asked() {
        for (question, prompt) in [("line", "Host [mx1]:"), ("secret", "Passphrase:")] {
            let Some(pane) = Pane::run(question, |child| format!("echo piped | {child}")) else {
                return;
            };
            pane.answer(prompt, &["typed", "Enter"]);
            pane.ends_with(&["answer=<typed>", "status=0"]);
        }
    }

    #[test]
    fn without_a_controlling_terminal_nobody_is_there() {
        let detached = |child: &str| format!("setsid -w env {child} </dev/null");
        for (question, expected) in [
            ("present", "answer=<false>"),
            ("secret", "error=<there is no terminal to ask on>"),
        ] {
            let Some(pane) = Pane::run(question, detached) else {
                return;
            };
            pane.ends_with(&[expected]);
        }
    }

    #[test]
    fn without_standard_error_on_a_terminal_nobody_is_there() {
        let Some(pane) = Pane::run("present", |child| format!("{child} 2>&1 | cat >&2")) else {
            return;
        };
        pane.ends_with(&["answer=<false>"]);
    }
}
