//! Sendmail, which checks a file before it is opened (its op guide, "DontBlameSendmail").

use super::{Objection, Role, is, owner};
use crate::mta::sendmail::config::{Config, Setting, Value};
use crate::sys::access::{Access, Account, Entry, READ};

const GROUP_OR_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A Sendmail, as far as it matters to files.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// whom it becomes
    pub user: Account,
    /// whose files are good beside root's and its own
    pub trusted: Option<u32>,
    /// whether root starts it: then the directories count too
    pub is_roots: bool,
    /// what it does not check, as DontBlameSendmail names it, in lower case
    pub unchecked: Vec<String>,
}

impl Daemon {
    /// The daemon that a user starts with this configuration.
    #[must_use]
    pub fn of(config: &Config, starter: &Account) -> Self {
        let account = |setting| {
            let text = config.get(setting)?.text();
            Account::named(text.split([':', '.']).next().unwrap_or_default())
        };
        let unchecked = config.get(Setting::DontBlame).map(Value::text);
        let unchecked = unchecked.unwrap_or_default().to_ascii_lowercase();
        let words = unchecked.split([',', ' ']).filter(|word| !word.is_empty());
        Self {
            user: account(Setting::RunAsUser).unwrap_or_else(|| starter.clone()),
            trusted: account(Setting::TrustedUser).map(|account| account.user),
            is_roots: starter.user == 0,
            unchecked: words.map(str::to_owned).collect(),
        }
    }

    /// What it has against a file: then it offers no STARTTLS.
    #[must_use]
    pub fn objections(&self, role: Role, access: &Access) -> Vec<Objection> {
        let mut found = Vec::new();
        if role != Role::Crl {
            found.extend(self.objection_to(role, &access.file));
            let folders = access.folders.iter().filter(|_| self.is_roots);
            found.extend(folders.filter_map(|folder| self.objection_to_folder(folder)));
        }
        found
    }

    fn leaves(&self, check: &str) -> bool {
        self.unchecked.iter().any(|word| word == check)
    }

    fn objection_to(&self, role: Role, file: &Entry) -> Vec<Objection> {
        let mut found = Vec::new();
        let (open, close) = match role {
            Role::Key if self.leaves("groupreadablekeyfile") => (0o026, "g-w,o-rw"),
            Role::Key => (0o066, "go-rw"),
            _ => (GROUP_OR_OTHERS, "go-w"),
        };
        if file.mode & open != 0 {
            let what = match role {
                Role::Key => "open to others",
                _ => "writable by others",
            };
            found.push(Objection::new(file, is(file, what), &[&["chmod", close]]));
        }
        let good = [0, self.user.user];
        if !good.contains(&file.user) && self.trusted != Some(file.user) {
            let path = file.path.display();
            let own = match self.user.user {
                0 => String::new(),
                _ => format!(" or {}", self.user.name),
            };
            let reason = format!("{path} belongs to {}, and not to root{own}", owner(file));
            found.push(Objection::new(file, reason, &[&["chown", &self.user.name]]));
        } else if !self.can_read(file) {
            let reason = format!(
                "{} cannot be read by {} (mode {:04o}, owner {})",
                file.path.display(),
                self.user.name,
                file.mode,
                owner(file)
            );
            let remedy: [&[&str]; 2] = [&["chown", &self.user.name], &["chmod", "u+r"]];
            found.push(Objection::new(file, reason, &remedy));
        }
        found
    }

    // Root's daemon reads it as its owner would.
    fn can_read(&self, file: &Entry) -> bool {
        match self.user.user {
            0 => file.mode & (READ << 6) != 0,
            _ => file.allows(&self.user, READ),
        }
    }

    fn objection_to_folder(&self, folder: &Entry) -> Option<Objection> {
        let writers = if self.leaves("groupwritabledirpathsafe") {
            0o002
        } else {
            GROUP_OR_OTHERS
        };
        let is_sticky = folder.mode & STICKY != 0;
        if folder.mode & writers == 0 || is_sticky && self.leaves("truststickybit") {
            return None;
        }
        let reason = format!("the directory {}", is(folder, "writable by others"));
        // /tmp has to be what it is.
        let remedy: &[&[&str]] = if is_sticky {
            &[]
        } else {
            &[&["chmod", "go-w"]]
        };
        Some(Objection::new(folder, reason, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: u32) -> Account {
        Account {
            name: format!("u{user}"),
            user,
            groups: vec![user],
        }
    }

    fn entry(path: &str, user: u32, mode: u32) -> Entry {
        Entry {
            path: path.into(),
            user,
            group: user,
            mode,
        }
    }

    fn said(daemon: &Daemon, role: Role, file: Entry, folder: Entry) -> Vec<String> {
        let folders = vec![folder];
        let access = Access { file, folders };
        let found = daemon.objections(role, &access);
        found.into_iter().map(|one| one.reason).collect()
    }

    #[test]
    fn keys_are_private_and_the_rest_is_written_by_nobody_else() {
        let daemon = Daemon::of(&Config::default(), &account(0));
        let safe = || entry("/d", 0, 0o755);
        for (role, mode, bad) in [
            (Role::Key, 0o600, 0),
            (Role::Key, 0o400, 0),
            (Role::Key, 0o640, 1),
            (Role::Key, 0o604, 1),
            (Role::Key, 0o200, 1),
            (Role::Certificate, 0o644, 0),
            (Role::Certificate, 0o664, 1),
            (Role::Ca, 0o646, 1),
            (Role::Crl, 0o666, 0),
        ] {
            let found = said(&daemon, role, entry("/d/f", 0, mode), safe());
            assert_eq!(found.len(), bad, "{role:?} {mode:o}: {found:?}");
        }
        assert_eq!(
            said(&daemon, Role::Key, entry("/d/f", 7, 0o600), safe()).len(),
            1
        );
        for (mode, bad) in [(0o755, 0), (0o775, 1), (0o757, 1), (0o1777, 1)] {
            let found = said(
                &daemon,
                Role::Ca,
                entry("/d/f", 0, 0o644),
                entry("/d", 0, mode),
            );
            assert_eq!(found.len(), bad, "{mode:o}: {found:?}");
        }
    }

    #[test]
    fn what_sendmail_is_not_blamed_for_is_left_alone() {
        let config =
            b"O DontBlameSendmail=GroupReadableKeyFile,truststickybit GroupWritableDirPathSafe\n";
        let daemon = Daemon::of(&Config::of_cf(config), &account(0));
        for folder in [0o1777, 0o775] {
            let (file, folder) = (entry("/d/f", 0, 0o640), entry("/d", 0, folder));
            assert!(said(&daemon, Role::Key, file, folder).is_empty());
        }
        let (file, folder) = (entry("/d/f", 0, 0o644), entry("/d", 0, 0o757));
        assert_eq!(said(&daemon, Role::Key, file, folder).len(), 2);
    }

    #[test]
    fn a_daemon_of_another_user_reads_its_own_files_only() {
        let daemon = Daemon {
            user: account(7),
            ..Daemon::of(&Config::default(), &account(0))
        };
        let folder = || entry("/d", 0, 0o755);
        assert!(said(&daemon, Role::Key, entry("/d/f", 7, 0o600), folder()).is_empty());
        assert!(said(&daemon, Role::Ca, entry("/d/f", 0, 0o644), folder()).is_empty());
        assert_eq!(
            said(&daemon, Role::Key, entry("/d/f", 0, 0o600), folder()).len(),
            1
        );
    }
}
