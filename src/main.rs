//! The command `mailca`.

use std::alloc::System;
use std::process::ExitCode;

use mailca::context::Context;
use mailca::sys::process;
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is given back: what the crates copied of a key or passphrase too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    process::forbid_core_dumps();
    let status = mailca::run(std::env::args_os(), &mut Context::real());
    ExitCode::from(status.code())
}
