//! The answer to a call of our own, and the tokens by which answers find their calls.

use crate::door::{Host, Part};
use crate::http::decimal;
use crate::http::pairs::Pairs;

/// What the host says of an answer when it comes.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The call's token.
    pub token: u32,
    /// `false`: the call failed and nothing came.
    pub has_headers: bool,
    /// Bytes of its body.
    pub body_size: usize,
}

/// How much of an answer is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// Its trailers, too.
    pub trailers: bool,
    /// Bytes of its body, at most.
    pub body: usize,
}

/// An answer, as far as it was read.
#[derive(Debug, Default)]
pub struct CallAnswer {
    /// `:status`; `None` when the call failed.
    pub status: Option<u16>,
    headers: Vec<u8>,
    trailers: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

impl CallAnswer {
    /// Reads the answer that has just come.
    pub fn read(host: &impl Host, arrival: Arrival, extent: Extent) -> Self {
        let headers = host.answer_part(Part::Headers);
        let trailers = if extent.trailers { host.answer_part(Part::Trailers) } else { Vec::new() };
        let body = match arrival.body_size.min(extent.body) {
            0 => Vec::new(),
            max => host.answer_part(Part::Body { max }),
        };
        let mut answer = Self { status: None, headers, trailers, body };
        if arrival.has_headers {
            answer.status = answer.header(":status").and_then(decimal);
        }
        answer
    }

    /// The first value of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        Pairs::new(&self.headers).values_of(name.as_bytes()).next()
    }

    /// All headers.
    pub fn headers(&self) -> Vec<(&[u8], &[u8])> {
        Pairs::all(&self.headers)
    }

    /// All trailers that were read.
    pub fn trailers(&self) -> Vec<(&[u8], &[u8])> {
        Pairs::all(&self.trailers)
    }
}

/// Calls whose answer is awaited, by the host's token.
#[derive(Debug)]
pub struct Tokens<T>(Vec<(u32, T)>);

impl<T> Default for Tokens<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Tokens<T> {
    /// Remembers a call.
    pub fn add(&mut self, token: u32, call: T) {
        self.0.push((token, call));
    }

    /// Whether the token is one of these.
    pub fn awaits(&self, token: u32) -> bool {
        self.0.iter().any(|(known, _)| *known == token)
    }

    /// The call with that token, which is over now.
    pub fn take(&mut self, token: u32) -> Option<T> {
        let place = self.0.iter().position(|(known, _)| *known == token)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Forgets all calls.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
