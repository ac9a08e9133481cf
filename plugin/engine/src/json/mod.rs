//! JSON text and `google.protobuf.Struct`, read into one small [`Tree`] and written back.

mod names;
pub mod protobuf;
pub mod text;
mod tree;

pub use names::Named;
pub(crate) use names::names;
pub use text::{read, write, write_text};
pub use tree::{MAX_DEPTH, MAX_KEYS, Step, Tree, number, path_text, quoted};
