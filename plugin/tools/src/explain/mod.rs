//! What the filter does with one request, step by step and in words. The filter's own worker does it, behind the recorder's door;
//! this only reads the record and says what is in it. For the command-line tool and the playground.
//!
//! Recall is left out: it is about what other instances ask for later.

mod answer;
mod facts;
mod hop;
mod kept;
mod mesh;
mod pod;
mod rate;
mod request;
mod shown;
mod words;

pub use crate::recorder::{Ids, Surroundings};
pub use answer::{Answer, flags};
pub use hop::{Explained, Explanation, Hop, Step};
pub use mesh::{MeshAnswer, MeshHop, Place, mesh};
pub use pod::Pod;
pub use rate::at_rate;
pub use request::Request;
pub use shown::{Header, SpanShown};
