//! The stack, where code that works with a key leaves copies that none of the crates wipes.

use std::hint::black_box;

use zeroize::Zeroize;

/// More than what making, reading or using a key takes.
const DEPTH: usize = 64 * 1024;

/// Runs `work`, then wipes the stack it used. What it returns must hold its secrets on the heap.
#[inline(never)]
pub fn wiped_after<T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    wipe();
    result
}

// A frame of its own, below this one, as that of `wipe` is.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is the stack that is wiped")]
fn wipe() {
    let mut below = [0_u64; DEPTH / size_of::<u64>()];
    below.zeroize();
    // What was copied is still in vector registers, which the dynamic linker may save on the stack
    // later. Zeros take its place: memcpy has other registers for each size.
    let (one, other) = below.split_at_mut(256);
    for length in [8, 16, 32, 64, 128, 256] {
        black_box(&mut one[..length]).copy_from_slice(&other[..length]);
    }
}
