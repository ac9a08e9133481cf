//! Developer and user commands.
fn main() {}
