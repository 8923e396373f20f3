//! What this process asks of the system for itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Forbids core dumps, which would hold keys and passphrases. A limit of one byte is too small for
/// a core file, and the kernel's sign not to start a program that `core_pattern` pipes them to,
/// which a limit of 0 is not (core(5); `limit == 1` in Linux's fs/coredump.c).
pub fn forbid_core_dumps() {
    let hard = getrlimit(Resource::Core).maximum;
    // Lowering the soft limit cannot fail.
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(hard.map_or(1, |hard| hard.min(1))),
            maximum: hard,
        },
    );
}
