//! The list of attributes while it grows.

use std::borrow::Cow;

use super::{Value, bounds, redaction};

/// Attributes of one span, no key twice.
pub struct Attributes<'a> {
    list: Vec<(Cow<'static, str>, Value<'a>)>,
    /// Bytes that recorded headers may still take.
    header_room: usize,
}

impl<'a> Attributes<'a> {
    /// None yet.
    pub fn new() -> Self {
        Self { list: Vec::with_capacity(28), header_room: bounds::HEADERS_TOTAL }
    }

    /// Text that is ours or already bounded; callers name each key once.
    pub fn set(&mut self, key: &'static str, value: Value<'a>) {
        self.list.push((Cow::Borrowed(key), value));
    }

    /// Bytes from outside, if there are any.
    pub fn text(&mut self, key: &'static str, bytes: Option<&'a [u8]>, max: usize) {
        if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
            self.set(key, Value::Text(bounds::text(bytes, max)));
        }
    }

    /// The same of bytes that may have been changed on their way.
    pub fn cow(&mut self, key: &'static str, bytes: Cow<'a, [u8]>, max: usize) {
        if !bytes.is_empty() {
            self.set(key, Value::Text(bounded(bytes, max)));
        }
    }

    /// A number, if there is one.
    pub fn int(&mut self, key: &'static str, value: Option<u16>) {
        if let Some(value) = value {
            self.set(key, Value::Int(i64::from(value)));
        }
    }

    /// The listed headers, each as an array of its lines in wire order under `prefix` and its name.
    pub fn headers(&mut self, prefix: &str, listed: &[String], headers: &'a [(Vec<u8>, Vec<u8>)]) {
        for name in listed.iter().take(bounds::HEADERS).filter(|name| !name.is_empty() && !name.starts_with(':')) {
            let mut values = Vec::new();
            let lines = headers.iter().filter(|(key, _)| key == name.as_bytes());
            for (_, value) in lines.take(bounds::HEADER_VALUES) {
                if self.header_room == 0 {
                    break;
                }
                let value = bounded(redaction::header(name, value), bounds::TEXT.min(self.header_room));
                self.header_room = self.header_room.saturating_sub(bounds::in_json(&value));
                values.push(value);
            }
            let mut key = String::with_capacity(prefix.len().saturating_add(name.len()));
            key.push_str(prefix);
            bounds::push(&mut key, name, bounds::KEY);
            if !values.is_empty() && !self.contains(&key) {
                self.list.push((Cow::Owned(key), Value::TextArray(values)));
            }
        }
    }

    /// Whether the key is set.
    pub fn contains(&self, key: &str) -> bool {
        self.list.iter().any(|(known, _)| known == key)
    }

    /// Which of these keys are set, in this order. In one pass: most keys are told apart by their lengths.
    pub fn among<const N: usize>(
        &self,
        keys: &'static [&'static str; N],
    ) -> impl Iterator<Item = &'static str> + use<N> {
        const { assert!(N <= 32) };
        let bit = |key: &str| 1_u64 << (key.len() & 63);
        let lengths = keys.iter().fold(0, |lengths, key| lengths | bit(key));
        let mut found = 0_u32;
        for (key, _) in self.list.iter().filter(|(key, _)| lengths & bit(key) != 0) {
            if let Some(place) = keys.iter().position(|known| known == key) {
                found |= 1 << place;
            }
        }
        keys.iter().enumerate().filter(move |(place, _)| found >> place & 1 != 0).map(|(_, key)| *key)
    }

    /// All of them.
    pub fn into_list(self) -> Vec<(Cow<'static, str>, Value<'a>)> {
        self.list
    }
}

fn bounded(bytes: Cow<'_, [u8]>, max: usize) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => bounds::text(bytes, max),
        Cow::Owned(bytes) => Cow::Owned(bounds::text(&bytes, max).into_owned()),
    }
}
