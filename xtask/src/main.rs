//! The project's own commands: `cargo xtask setup|build|demo|test|vm|bench|dist`.
fn main() {}
