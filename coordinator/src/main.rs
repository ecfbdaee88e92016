//! x
mod scheduler;
mod store;
fn main() {}
