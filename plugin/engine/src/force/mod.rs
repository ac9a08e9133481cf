//! Tokens by which somebody who has a key has requests recorded, whatever a ratio says: for a developer who looks for one request
//! among millions. Unlike a debug flag, a token is signed, ends, and is good for some requests only.

mod base64;
mod policy;
mod token;

pub use policy::{Admitted, Fault, Key, MAX_KEYS, Policy, is_key_id};
pub use token::{Claims, MAX_TOKEN, Scope};
