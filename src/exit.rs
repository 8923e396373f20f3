//! The exit statuses, one meaning each.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Refused or failed, and nothing changed.
    Refused,
    /// The command line makes no sense.
    Usage,
    /// Done, and something needs attention; or done in part.
    Attention,
    /// What a monitoring system is told, which has exit statuses of its own.
    Plugin(Plugin),
}

/// The service states of the Monitoring Plugins Development Guidelines, section "Plugin Return
/// Codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plugin {
    /// Nothing needs attention.
    Ok,
    /// Something will.
    Warning,
    /// Something does.
    Critical,
    /// Nobody knows.
    Unknown,
}

impl Exit {
    /// The number by which the process ends.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done | Self::Plugin(Plugin::Ok) => 0,
            Self::Refused | Self::Plugin(Plugin::Warning) => 1,
            Self::Usage | Self::Plugin(Plugin::Critical) => 2,
            Self::Attention | Self::Plugin(Plugin::Unknown) => 3,
        }
    }
}
