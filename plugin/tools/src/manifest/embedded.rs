//! JSON text inside of a YAML or JSON string: from a place in the text back to the place in the file.

use super::{Located, Position};

/// Where in the file the characters of a string value stand. Found by walking along both: space may differ (folding,
/// indentation), quoting adds characters, and everything else is the same.
pub struct Embedded<'t> {
    file: &'t str,
    text: &'t str,
    start: Position,
}

impl<'t> Embedded<'t> {
    /// The string `value` of `file`; `None` for any other value.
    pub fn new(file: &'t str, value: &'t Located) -> Option<Self> {
        Some(Self { file, text: value.text()?, start: value.at })
    }

    /// The place in the file of this place in the text.
    pub fn place(&self, inner: Position) -> Position {
        let mut raw = Raw::new(self.file, self.start);
        let mut at = Position::START;
        let mut found = self.start;
        for character in self.text.chars() {
            if inner <= at && !character.is_whitespace() {
                return raw.find(character).unwrap_or(found);
            }
            if !character.is_whitespace()
                && let Some(place) = raw.find(character)
            {
                found = place;
                raw.step();
            }
            at = at.after(character);
        }
        found
    }
}

/// The characters of the file from the string's first on.
struct Raw<'t> {
    rest: std::str::Chars<'t>,
    at: Position,
    quoted: bool,
}

impl<'t> Raw<'t> {
    fn new(file: &'t str, start: Position) -> Self {
        let line: usize = file.split_inclusive('\n').take(start.line - 1).map(str::len).sum();
        let rest = file.get(line..).unwrap_or_default();
        let byte = rest.char_indices().nth(start.column - 1).map_or(rest.len(), |(byte, _)| byte);
        let mut rest = rest.get(byte..).unwrap_or_default();
        // The place of a block scalar may be its indicator, whose line holds nothing of the text.
        let mut at = start;
        let is_block = rest.starts_with(['|', '>']);
        if is_block {
            let end = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
            rest = rest.get(end..).unwrap_or_default();
            at = Position { line: start.line + 1, column: 1 };
        }
        let quoted = rest.starts_with('"');
        let mut raw = Self { rest: rest.chars(), at, quoted };
        if rest.starts_with(['"', '\'']) {
            raw.step();
        }
        raw
    }

    fn step(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.at = self.at.after(next);
        Some(next)
    }

    /// Goes on to the next such character, which is not taken yet.
    fn find(&mut self, wanted: char) -> Option<Position> {
        loop {
            let next = self.rest.clone().next()?;
            if self.quoted && next == '\\' {
                let escaped = self.rest.clone().nth(1)?;
                if escaped == wanted && !"nrt".contains(escaped) {
                    let at = self.at;
                    self.step(); // The escaped character itself is what a caller takes next.
                    return Some(at);
                }
                self.step();
                self.step();
                continue;
            }
            if next == wanted {
                return Some(self.at);
            }
            self.step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Syntax;
    use super::*;

    #[test]
    fn every_style_of_string_leads_back_to_its_file() {
        let cases = [
            ("a:\n  b: |\n    {\n      \"ratio\": 7\n    }\n", (2, 12), (4, 16)),
            ("a:\n  b: |\n\n    {\n      \"ratio\": 7\n    }\n", (3, 12), (5, 16)),
            ("a:\n  b: >\n    {\n    \"ratio\":\n    7\n    }\n", (1, 12), (5, 5)),
            ("a:\n  b: '{\"ratio\": 7}'\n", (1, 11), (2, 17)),
            ("a:\n  b: \"{\\\"ratio\\\":\\n 7}\"\n", (2, 2), (2, 21)),
            ("{\"a\": {\"b\": \"{\\\"ratio\\\": 7}\"}}", (1, 11), (1, 26)),
        ];
        for (file, inner, wanted) in cases {
            let documents = super::super::documents(file, Syntax::ByContent).unwrap();
            let value = documents[0].root.path(&["a", "b"]).unwrap();
            let at = |(line, column)| Position { line, column };
            let found = Embedded::new(file, value).unwrap().place(at(inner));
            assert_eq!(found, at(wanted), "{file} {:?}", value.text());
        }
    }
}
