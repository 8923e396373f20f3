//! Whose an exported key is.

use anyhow::{Result, bail};
use thiserror::Error;

use crate::cli::Export as Args;
use crate::mta::MailServer;
use crate::mta::access::exim::USERS;
use crate::sys::access::Account;
use crate::sys::host;
use crate::sys::tree::Access;

/// Why a key cannot be somebody's.
#[derive(Debug, Error)]
pub enum OwnerError {
    /// This machine has no such user.
    #[error("this machine has no user {0}")]
    NoUser(String),
    /// This machine has no such group.
    #[error("this machine has no group {0}")]
    NoGroup(String),
    /// Only root gives files away.
    #[error("only root can give the key to user {user} and group {group}")]
    NotAllowed {
        /// the owner's number
        user: u32,
        /// the group's number
        group: u32,
    },
    /// Others could read the key.
    #[error("mode {0:04o} would let others use the private key")]
    Open(u32),
    /// Its owner could not.
    #[error("mode {0:04o} would not let its owner read the private key")]
    Unreadable(u32),
}

/// Owner, group and mode of a key, as far as they were said.
pub struct Ownership {
    pub user: Option<String>,
    pub group: Option<String>,
    pub mode: Option<u32>,
}

impl Ownership {
    /// What the options say, or the mail server wants.
    pub fn of(args: &Args) -> Result<Self> {
        let (user, group) = match args.owner.as_deref().map(|owner| owner.split_once(':')) {
            Some(Some((user, group))) => (Some(user.to_owned()), Some(group.to_owned())),
            Some(None) => (args.owner.clone(), None),
            None => (None, None),
        };
        let mut wanted = Self {
            user: user.filter(|name| !name.is_empty()),
            group: group.filter(|name| !name.is_empty()),
            mode: args.mode,
        };
        if let Some(server) = args.server {
            wanted.fill_in(server);
        }
        match wanted.mode {
            Some(mode) if mode & 0o137 != 0 => bail!(OwnerError::Open(mode)),
            Some(mode) if mode & 0o400 == 0 => bail!(OwnerError::Unreadable(mode)),
            _ => Ok(wanted),
        }
    }

    // Exim reads keys as its own user, all others as root.
    fn fill_in(&mut self, server: MailServer) {
        self.user.get_or_insert_with(|| "root".into());
        if server == MailServer::Exim {
            let known = USERS.iter().find(|name| Account::named(name).is_some());
            self.group
                .get_or_insert_with(|| (*known.unwrap_or(&USERS[0])).into());
            self.mode.get_or_insert(0o640);
        } else {
            self.mode.get_or_insert(0o600);
        }
    }

    /// The same as numbers, on this machine. What was not said is as that of the key that is there,
    /// or the owner's alone.
    pub fn access(&self, there: Option<Access>) -> Result<Access> {
        let (own, own_group) = own();
        let there = there.filter(|_| self.mode.is_none());
        let user = match &self.user {
            Some(name) => {
                Some(Account::named(name).ok_or_else(|| OwnerError::NoUser(name.clone()))?)
            }
            None => None,
        };
        let group = match &self.group {
            Some(name) => {
                Some(host::group_number(name).ok_or_else(|| OwnerError::NoGroup(name.clone()))?)
            }
            None => None,
        };
        let of_user = user.as_ref().and_then(|user| user.groups.first().copied());
        let access = Access {
            user: user
                .map(|user| user.user)
                .or(there.map(|there| there.user))
                .unwrap_or(own),
            group: group
                .or(of_user)
                .or(there.map(|there| there.group))
                .unwrap_or(own_group),
            mode: self.mode.or(there.map(|there| there.mode)).unwrap_or(0o600),
        };
        let Access { user, group, .. } = access;
        let is_own = user == own && Account::own().groups.contains(&group);
        if own != 0 && !is_own && (user, group) != (own, own_group) {
            bail!(OwnerError::NotAllowed { user, group });
        }
        Ok(access)
    }
}

/// User and group of this process.
pub fn own() -> (u32, u32) {
    let user = rustix::process::geteuid().as_raw();
    (user, rustix::process::getegid().as_raw())
}
