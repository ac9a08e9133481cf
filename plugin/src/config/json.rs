//! JSON text (RFC 8259) into a [`Tree`]. Numbers stay as they are written, so that none is rounded before it is asked for
//! and a message shows what the user wrote. Small, because Envoy compiles every kilobyte of the module at load.

use super::error;
use super::tree::{MAX_DEPTH, MAX_KEYS, Tree};

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Bytes before the place.
    pub at: usize,
    /// In words.
    pub what: String,
}

/// Reads one JSON value with space around it.
pub fn read(text: &[u8]) -> Result<Tree, Fault> {
    let text = match str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => return Err(Fault { at: error.valid_up_to(), what: "bytes that are no UTF-8".to_owned() }),
    };
    let mut parser = Parser { text, at: 0 };
    let tree = parser.value(0)?;
    parser.space();
    if parser.at < text.len() { Err(parser.fault("something after the end")) } else { Ok(tree) }
}

struct Parser<'a> {
    text: &'a str,
    /// Bytes read. Always at the boundary of a character, except inside of a string.
    at: usize,
}

impl<'a> Parser<'a> {
    fn fault(&self, what: &str) -> Fault {
        Fault { at: self.at, what: what.to_owned() }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes the byte if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes all bytes that pass; how many.
    fn take_while(&mut self, test: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.peek().is_some_and(&test) {
            self.at += 1;
        }
        self.at - start
    }

    fn space(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self, depth: usize) -> Result<Tree, Fault> {
        self.space();
        if MAX_DEPTH <= depth {
            return Err(self.fault("more than 64 levels of lists and objects"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Tree::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Tree, Fault> {
        let start = self.at;
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let value = match self.since(start) {
            "null" => Tree::Null,
            "true" => Tree::Bool(true),
            "false" => Tree::Bool(false),
            _ => {
                self.at = start;
                return Err(self.fault("no value where one is expected"));
            }
        };
        Ok(value)
    }

    fn number(&mut self) -> Result<Tree, Fault> {
        let start = self.at;
        self.take(b'-');
        let zero = self.take(b'0');
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        let mut good = zero != (0 < whole); // A zero stands alone, and something must stand.
        if self.take(b'.') {
            good &= 0 < self.take_while(|byte| byte.is_ascii_digit());
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            good &= 0 < self.take_while(|byte| byte.is_ascii_digit());
        }
        if good {
            return Ok(Tree::Number(self.since(start).to_owned()));
        }
        self.at = start;
        Err(self.fault("a number that is not written as JSON has them"))
    }

    fn list(&mut self, depth: usize) -> Result<Tree, Fault> {
        self.at += 1;
        let mut list = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Tree::List(list));
        }
        loop {
            list.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(Tree::List(list));
            }
            if !self.take(b',') {
                return Err(self.fault("neither `,` nor `]` after an element"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Tree, Fault> {
        self.at += 1;
        let mut object: Vec<(String, Tree)> = Vec::new();
        self.space();
        if self.take(b'}') {
            return Ok(Tree::Object(object));
        }
        loop {
            self.space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault("no key in quotes where one is expected"));
            }
            let key = self.string()?;
            if object.iter().any(|(known, _)| *known == key) {
                let what = ["the key ", &error::quoted(&key), " twice in one object"].concat();
                return Err(Fault { at: start, what });
            }
            if MAX_KEYS <= object.len() {
                return Err(Fault { at: start, what: "more than 256 keys in one object".to_owned() });
            }
            self.space();
            if !self.take(b':') {
                return Err(self.fault("no `:` after a key"));
            }
            object.push((key, self.value(depth + 1)?));
            self.space();
            if self.take(b'}') {
                return Ok(Tree::Object(object));
            }
            if !self.take(b',') {
                return Err(self.fault("neither `,` nor `}` after a value"));
            }
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.at += 1;
        let mut string = String::new();
        loop {
            let start = self.at;
            self.take_while(|byte| byte != b'"' && byte != b'\\' && b' ' <= byte);
            string.push_str(self.since(start));
            if self.take(b'"') {
                return Ok(string);
            }
            let start = self.at;
            if !self.take(b'\\') {
                return Err(
                    self.fault("a text without its closing quote, or with a control character that is not escaped")
                );
            }
            match self.escaped() {
                Some(character) => string.push(character),
                None => return Err(Fault { at: start, what: "an escape that JSON does not have".to_owned() }),
            }
        }
    }

    /// The character behind a backslash.
    fn escaped(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                let code = match unit {
                    0xd800..=0xdbff if self.take(b'\\') && self.take(b'u') => {
                        let low = self.unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                        0x10000 + ((unit - 0xd800) << 10) + low
                    }
                    unit => unit, // Half a pair is no character.
                };
                char::from_u32(code)?
            }
            _ => return None,
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at.checked_add(4)?)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The same in the model of `serde_json`, which shares no code with ours.
    fn model(tree: Tree) -> Value {
        match tree {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(value),
            Tree::Number(text) => serde_json::from_str(&text).expect("a number"),
            Tree::Text(text) => Value::String(text),
            Tree::List(list) => Value::Array(list.into_iter().map(model).collect()),
            Tree::Object(object) => Value::Object(object.into_iter().map(|(key, value)| (key, model(value))).collect()),
        }
    }

    fn agree(text: &[u8]) -> bool {
        match (read(text), serde_json::from_slice::<Value>(text)) {
            (Ok(ours), Ok(theirs)) => model(ours) == theirs,
            (Err(_), Err(_)) => true,
            // Two things that we refuse and they do not, and one that they refuse: a number beyond any double.
            (Err(fault), Ok(_)) => fault.what.contains("twice") || fault.what.contains("more than"),
            (Ok(_), Err(theirs)) => theirs.to_string().contains("out of range"),
        }
    }

    #[test]
    fn texts_are_read_as_serde_json_reads_them() {
        for text in [
            "",
            " ",
            "null",
            " true\r\n",
            "false",
            "nul",
            "nulll",
            "True",
            "0",
            "-0",
            "00",
            "01",
            "-",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.5",
            "1.5e3",
            "1e",
            "1e+",
            "1E-7",
            "1e+07",
            "0e0",
            "0x1",
            "1 2",
            "[]",
            "[ ]",
            "[1]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "]",
            "{}",
            "{ }",
            "{\"a\":1}",
            "{\"a\" : 1 , \"b\":[]}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":1",
            "{",
            "\"",
            "\"a",
            "\"\\",
            "\"\\\"",
            "\"\\n\\t\\b\\f\\r\\/\\\\\\\"\"",
            "\"\\x\"",
            "\"\\u00e9\"",
            "\"\\u00E9\"",
            "\"\\u00e\"",
            "\"\\u+0e9\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ud83dx\"",
            "\"\\ud83d\\n\"",
            "\"\\ud83d\\ud83d\"",
            "\"\\ude00\"",
            "\"\\u0000\"",
            "\"\u{1}\"",
            "\"\u{7f}\"",
            "\"é😀\"",
            "\"\n\"",
            "'a'",
            "// a\n1",
            "\u{feff}1",
            "NaN",
            "-Infinity",
            "[[[[]]]]",
            "{\"\":{\"\":{}}}",
            "1e400",
        ] {
            assert!(agree(text.as_bytes()), "{text:?}: {:?}", read(text.as_bytes()));
        }
        for bytes in [&b"\"\xff\""[..], b"\xff", b"\"\xe2\x82\"", b"\"a\\\xc3\xa9\""] {
            assert!(agree(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn a_fault_is_where_the_eye_finds_it() {
        for (text, at) in [("{\"a\": }", 6), ("{\"a\" 1}", 5), ("[1, 2", 5), ("[01]", 1), ("{\"a\": 1, \"a\": 2}", 9)] {
            assert_eq!(read(text.as_bytes()).map_err(|fault| fault.at), Err(at), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| ["[".repeat(levels), "]".repeat(levels)].concat();
        assert!(read(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(read(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(read("[".repeat(200_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_read_otherwise_than_by_serde_json(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(agree(&bytes));
        }

        #[test]
        fn nothing_near_json_is_read_otherwise_than_by_serde_json(text in "[ \\[\\]{}:,\"\\\\untrefalsb0-9.eE+-]{0,24}") {
            prop_assert!(agree(text.as_bytes()), "{text}");
        }

        #[test]
        fn strings_come_back_whole(text in any::<String>()) {
            let json = serde_json::to_vec(&text).expect("JSON");
            prop_assert_eq!(read(&json), Ok(Tree::Text(text)));
        }

        #[test]
        fn numbers_come_back_to_the_last_bit(number in any::<f64>()) {
            let text = serde_json::to_string(&number).expect("JSON");
            let read = read(text.as_bytes()).expect("a number").number();
            prop_assert_eq!(read.map(f64::to_bits), number.is_finite().then(|| number.to_bits()));
        }
    }
}
