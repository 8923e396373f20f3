//! What mailca asks of the operating system: files, locks, processes, questions on a terminal.

pub mod access;
pub mod disk;
pub mod files;
pub mod hook;
pub mod host;
pub mod lock;
pub mod open;
pub mod passphrase;
pub mod process;
pub mod progress;
pub mod prompt;
pub mod screen;
pub mod signals;
pub mod tree;
