//! The exit statuses, one meaning each.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Refused or failed, and nothing changed.
    Refused = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Done, and something needs attention; or done in part.
    Attention = 3,
}
