//! `ctrace`: arguments → pipeline → exit status.

fn main() {}
