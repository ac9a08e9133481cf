//! The bytes of an input, taken apart.

use std::ops::{Deref, DerefMut};

use arbitrary::{Arbitrary, Unstructured};

/// Reads an input from its front. Where it has ended everything is zero or empty, so that every input means something.
pub struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    /// The whole of it.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// A value of any type that can be made of bytes.
    pub fn any<T: Arbitrary<'a> + Default>(&mut self) -> T {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.any::<u16>()) % bound
    }

    /// One of them; the list is not empty.
    pub fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Some bytes: their number comes first, in one byte, 255 standing for as many as the next two bytes say.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = match self.any::<u8>() {
            255 => usize::from(self.any::<u16>()),
            length => length.into(),
        };
        let there = length.min(self.0.len());
        self.0.bytes(there).unwrap_or_default()
    }

    /// The same, half of the time.
    pub fn maybe_bytes(&mut self) -> Option<&'a [u8]> {
        self.any::<bool>().then(|| self.bytes())
    }

    /// Pairs, at most `most`.
    pub fn pairs(&mut self, most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let count = self.below(most + 1);
        (0..count).map(|_| (self.bytes().to_vec(), self.bytes().to_vec())).collect()
    }

    /// Everything that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0.take_rest()
    }
}

impl<'a> Deref for Input<'a> {
    type Target = Unstructured<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Input<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
