//! mailca
fn main() {}
