//! Headers as Envoy shows them: pointers into its own map, no copies.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use tracelift::door::{HeaderView, Refused};

use super::abi::{self, EnvoyBuffer, EnvoyFilter, EnvoyHeader, Map};

/// Headers of an ordinary request; more are allocated for.
const ORDINARY: usize = 64;
const NONE: EnvoyHeader = EnvoyHeader { key: EnvoyBuffer::EMPTY, value: EnvoyBuffer::EMPTY };

/// Headers of a map, borrowed for as long as nothing changes it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    entries: &'a [EnvoyHeader],
    bytes: PhantomData<&'a [u8]>,
}

impl<'a> View<'a> {
    /// Of an array that Envoy has filled in this hook.
    pub fn new(entries: &'a [EnvoyHeader]) -> Self {
        Self { entries, bytes: PhantomData }
    }

    /// All of them, in one allocation.
    pub fn all(self) -> Vec<(&'a [u8], &'a [u8])> {
        self.those(|_| true)
    }

    /// Those with a name that is wanted, in one allocation.
    pub fn those(self, wanted: impl Fn(&[u8]) -> bool) -> Vec<(&'a [u8], &'a [u8])> {
        // SAFETY: whoever made this view borrowed it for as long as the map stays as it is.
        let entries = self.entries.iter().map(|entry| unsafe { (entry.key.bytes(), entry.value.bytes()) });
        let mut those = Vec::with_capacity(self.entries.len());
        those.extend(entries.filter(|(key, _)| wanted(key)));
        those
    }
}

impl<'a> HeaderView<'a> for View<'a> {
    const NONE: Self = Self { entries: &[], bytes: PhantomData };

    fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |entry: &&EnvoyHeader| {
            // SAFETY: as above.
            entry.key.size == name.len() && unsafe { entry.key.bytes() } == name.as_bytes()
        };
        // SAFETY: as above.
        self.entries.iter().filter(named).map(|entry| unsafe { entry.value.bytes() })
    }

    fn of_lengths(self, lengths: u64, mut take: impl FnMut(&'a [u8], &'a [u8])) {
        // The shift takes a size modulo 64: the seldom longer ones among them are found out last.
        let is_wanted = |size: usize| lengths >> (size % 64) & 1 != 0 && size < 64;
        for entry in self.entries.iter().filter(|entry| is_wanted(entry.key.size)) {
            // SAFETY: as above.
            let (key, value) = unsafe { (entry.key.bytes(), entry.value.bytes()) };
            take(key, value);
        }
    }

    fn entries(self) -> Vec<(&'a [u8], &'a [u8])> {
        self.all()
    }
}

/// Lets `work` look at a map. It must not change the map while it looks.
pub fn with<T>(filter: EnvoyFilter, map: Map, work: impl FnOnce(Result<View<'_>, Refused>) -> T) -> T {
    // SAFETY: the stream lives while its hook runs.
    let count = unsafe { abi::envoy_dynamic_module_callback_http_get_headers_size(filter, map) };
    let mut many;
    let mut ordinary;
    let (start, room) = if count <= ORDINARY {
        ordinary = [MaybeUninit::<EnvoyHeader>::uninit(); ORDINARY];
        (ordinary.as_mut_ptr().cast::<EnvoyHeader>(), ORDINARY)
    } else {
        many = vec![NONE; count];
        (many.as_mut_ptr(), count)
    };
    // SAFETY: there is room for as many as Envoy has just counted.
    let read = unsafe { abi::envoy_dynamic_module_callback_http_get_headers(filter, map, start) };
    if !read || room < count {
        return work(Err(Refused(1))); // "Not found" of proxy-wasm.
    }
    // SAFETY: Envoy has written that many.
    work(Ok(View::new(unsafe { std::slice::from_raw_parts(start, count) })))
}
