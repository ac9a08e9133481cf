//! What the filter does with one request, step by step and in words. Everything is decided by the code that decides in the
//! filter; this only asks it and says what it answered. For the command-line tool and the playground.

mod answer;
mod hop;
mod mesh;
mod request;
mod span;
mod words;

pub use answer::{Answer, flags};
pub use hop::{Explanation, Header, Hop, Step};
pub use mesh::{MeshAnswer, MeshHop, Place, mesh};
pub use request::{Ids, Request};
pub use span::{SpanShown, Surroundings};
