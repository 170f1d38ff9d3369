//! Scripts made up from random choices, and what they must print.
//!
//! Nothing here knows the compiler: the tree, its types and its interpreter follow the language's documentation, so that
//! one mistake is not made twice.
//!
//! In reading order:
//! - [`types`]: the types of values, and which type two of them have in common
//! - [`tree`]: a script as a tree that is well-typed by its making
//! - [`print`]: tree → text
//! - [`make`]: choices → tree
//! - `expressions`: the part of it that makes expressions
//! - [`interpret`]: tree → what the script prints
//! - `aggregate`: what aggregations keep and how it is printed

mod aggregate;
mod expressions;
pub mod interpret;
pub mod make;
pub mod print;
pub mod tree;
pub mod types;
