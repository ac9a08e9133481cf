//! What a regular expression may cost, from its text alone: the same number natively and in the module. Reads patterns that the
//! compiler has taken; of others it says something, too.

/// The most that any pattern costs for a byte: one that compiles to 64 KiB has no more states, ranges and branches.
const MAX_STATES: usize = 16_384;
/// Ranges of a class such as `\w` or `[[:alnum:]]`, at most.
const CLASS: usize = 8;

/// The price of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Price {
    /// States, ranges and branches of the compiled pattern, or more: what one byte of a value costs at most.
    pub states: usize,
    /// What a value that matches begins with.
    pub prefix: Box<[u8]>,
    /// What it ends with.
    pub suffix: Box<[u8]>,
}

impl Price {
    /// Of a pattern for whole values.
    pub fn of(pattern: &str, ignore_case: bool) -> Self {
        let mut reader = Reader { rest: pattern, depth: 0, has_flags: false, is_spaced: false };
        let all = reader.alternation();
        let (prefix, suffix) =
            if all.has_branches || reader.has_flags { (Vec::new(), Vec::new()) } else { (all.prefix, all.suffix) };
        let letters = if ignore_case || reader.has_flags { 2 } else { 1 };
        let states = all.states.saturating_mul(letters).saturating_add(6); // The anchors, the group between them, the match.
        let states = if reader.is_spaced { MAX_STATES } else { states.min(MAX_STATES) };
        Self { states, prefix: prefix.into(), suffix: suffix.into() }
    }
}

/// What was read of one or several branches.
#[derive(Default)]
struct Part {
    states: usize,
    has_branches: bool,
    /// Literals before anything else.
    prefix: Vec<u8>,
    /// Literals behind everything else.
    suffix: Vec<u8>,
}

impl Part {
    fn literal(&mut self, letter: char, is_first: bool) {
        let mut bytes = [0; 4];
        let bytes = letter.encode_utf8(&mut bytes).as_bytes();
        self.suffix.extend_from_slice(bytes);
        if is_first {
            self.prefix.extend_from_slice(bytes);
        }
    }
}

/// One piece of a branch.
enum Piece {
    Literal(char),
    Other(usize),
}

struct Reader<'p> {
    rest: &'p str,
    depth: usize,
    /// `(?i)` and the like: literals are not what they look like.
    has_flags: bool,
    /// `(?x)`: space and remarks mean nothing, which is not read here.
    is_spaced: bool,
}

impl Reader<'_> {
    /// Groups inside of each other; the compiler refuses more than 50.
    const MAX_DEPTH: usize = 64;

    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let next = letters.next();
        self.rest = letters.as_str();
        next
    }

    fn skip(&mut self, letter: char) -> bool {
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Skips what is left before this letter, and the letter.
    fn skip_behind(&mut self, letter: char) {
        self.rest = self.rest.split_once(letter).map_or("", |(_, rest)| rest);
    }

    /// Branches, up to the end or the end of a group.
    fn alternation(&mut self) -> Part {
        let mut all = Part::default();
        loop {
            let branch = self.branch();
            all.states = all.states.saturating_add(branch.states);
            (all.prefix, all.suffix) = (branch.prefix, branch.suffix);
            if !self.skip('|') {
                return all;
            }
            all.has_branches = true;
            all.states = all.states.saturating_add(2);
        }
    }

    fn branch(&mut self) -> Part {
        let mut part = Part::default();
        let mut only_literals = true;
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            let piece = self.piece();
            let states = match piece {
                Piece::Literal(_) => 1,
                Piece::Other(states) => states,
            };
            match (self.repeated(states), piece) {
                (None, Piece::Literal(letter)) => {
                    part.literal(letter, only_literals);
                    part.states = part.states.saturating_add(states);
                }
                (repeated, _) => {
                    only_literals = false;
                    part.suffix.clear();
                    part.states = part.states.saturating_add(repeated.unwrap_or(states));
                }
            }
        }
        part
    }

    fn piece(&mut self) -> Piece {
        match self.next() {
            Some('(') => Piece::Other(self.group()),
            Some('[') => Piece::Other(self.class()),
            Some('\\') => self.escaped(),
            Some('.' | '^' | '$') => Piece::Other(3),
            Some(letter) => Piece::Literal(letter),
            None => Piece::Other(0),
        }
    }

    fn group(&mut self) -> usize {
        if Self::MAX_DEPTH <= self.depth {
            self.rest = "";
            return MAX_STATES;
        }
        if self.skip('?') && !self.skip(':') {
            if self.rest.starts_with(['P', '<']) {
                self.skip_behind('>'); // Its name.
            } else if self.flags() {
                return 0;
            }
        }
        self.depth = self.depth.saturating_add(1);
        let inside = self.alternation();
        self.depth = self.depth.saturating_sub(1);
        let _ = self.skip(')');
        inside.states.saturating_add(3)
    }

    /// Flags of a group, or of what is behind them: `true`.
    fn flags(&mut self) -> bool {
        self.has_flags = true;
        while let Some(flag) = self.next() {
            match flag {
                ':' => return false,
                ')' => return true,
                'x' => self.is_spaced = true,
                _ => {}
            }
        }
        true
    }

    /// What is between brackets: each letter or class may be a range of its own.
    fn class(&mut self) -> usize {
        let mut ranges = 1_usize;
        let _ = self.skip('^');
        let mut is_first = true;
        while let Some(letter) = self.next() {
            let more = match letter {
                ']' if !is_first => break,
                '[' if self.skip(':') => {
                    self.skip_behind(']');
                    CLASS
                }
                '\\' => match self.escaped() {
                    Piece::Literal(_) => 1,
                    Piece::Other(states) => states,
                },
                '-' => 0, // Of a range, whose two ends are counted; at an end of all it is one of theirs.
                _ => 1,
            };
            is_first = false;
            ranges = ranges.saturating_add(more);
        }
        ranges
    }

    fn escaped(&mut self) -> Piece {
        match self.next() {
            Some(letter) if letter.is_ascii_punctuation() => Piece::Literal(letter),
            Some(code @ ('x' | 'u' | 'U')) => {
                if self.skip('{') {
                    self.skip_behind('}');
                } else {
                    let digits = match code {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    self.rest = self.rest.get(digits..).unwrap_or_default();
                }
                Piece::Other(1)
            }
            Some('b' | 'B') => {
                if self.rest.starts_with("{start") || self.rest.starts_with("{end") {
                    self.skip_behind('}');
                }
                Piece::Other(1)
            }
            _ => Piece::Other(CLASS),
        }
    }

    /// The states of a piece with the repetition behind it; `None` where there is none.
    fn repeated(&mut self, states: usize) -> Option<usize> {
        let mut repeated = None;
        loop {
            let before = repeated.unwrap_or(states);
            if self.skip('*') || self.skip('+') || self.skip('?') {
                repeated = Some(before.saturating_add(2));
            } else if self.skip('{') {
                let (counts, rest) = self.rest.split_once('}').unwrap_or((self.rest, ""));
                self.rest = rest;
                let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
                let least: usize = least.trim().parse().unwrap_or(0);
                let most = most.trim().parse().unwrap_or(least.saturating_add(1)); // None: the last one comes again and again.
                let branches = most.saturating_sub(least).saturating_mul(2).saturating_add(2);
                repeated = Some(before.saturating_mul(most).saturating_add(branches));
            } else {
                return repeated;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_lite::RegexBuilder;

    use super::*;

    fn literals(pattern: &str) -> (String, String) {
        let price = Price::of(pattern, false);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&price.prefix), text(&price.suffix))
    }

    #[test]
    fn literals_are_what_stands_before_and_behind_everything_else() {
        for (pattern, prefix, suffix) in [
            ("/user/[0-9]+", "/user/", ""),
            (r"/v1\.0/.*\.js", "/v1.0/", ".js"),
            ("/a", "/a", "/a"),
            ("/ab?", "/a", ""),
            ("/ab*c", "/a", "c"),
            ("/ab{2}c", "/a", "c"),
            ("/(cart|stock)/x", "/", "/x"),
            ("gold|silver", "", ""),
            ("", "", ""),
            (r"\x41b", "", "b"),
            (r"a\u{e9}b", "a", "b"),
            ("é.é", "é", "é"),
            ("^/a$", "", ""),
            ("[]a]b", "", "b"),
            ("[[:alpha:]]b", "", "b"),
            ("(?P<n>a)b", "", "b"),
            ("(?i)a", "", ""),
            ("a(?i:b)c", "", ""),
        ] {
            assert_eq!(literals(pattern), (prefix.to_owned(), suffix.to_owned()), "{pattern}");
        }
    }

    /// Bytes of the smallest limit under which the pattern compiles, natively.
    fn compiled(pattern: &str, ignore_case: bool) -> usize {
        let fits =
            |limit: usize| RegexBuilder::new(pattern).case_insensitive(ignore_case).size_limit(limit).build().is_ok();
        let (mut low, mut high) = (0, 1 << 20);
        while low < high {
            let middle = usize::midpoint(low, high);
            if fits(middle) { high = middle } else { low = middle + 1 }
        }
        low
    }

    #[test]
    fn a_pattern_whose_space_means_nothing_has_the_highest_price() {
        assert_eq!(Price::of("(?x) a b # (", false).states, MAX_STATES);
    }

    #[test]
    fn a_price_is_no_less_than_the_states_and_not_far_above() {
        const STATE: usize = 32; // `regex_lite`'s, natively; ranges and branches take less and are in the bytes, too.
        for pattern in [
            "/user/[0-9]+",
            "gold|silver|bronze",
            "(a|b|c)*d",
            "(?:a{20}){20}",
            "a{3,7}",
            "a{3,}b",
            r"\w+\.\d{2,4}",
            "[a-zA-Z0-9_]+@[a-z.]+",
            "((((a?)?)?)?)?",
            "(?:.*x){9}",
            "[^/]*/[^/]*",
            "",
            r"\bfoo\b",
            "(?i)/user/[a-f]+",
        ] {
            for ignore_case in [false, true] {
                let bytes = compiled(pattern, ignore_case);
                let states = Price::of(pattern, ignore_case).states;
                assert!(bytes <= states * STATE, "{pattern}: {bytes} bytes, {states}");
                assert!(states * 4 <= bytes + 100 * 4 + bytes, "{pattern}: {bytes} bytes, {states}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_matches_has_the_literals(pattern in "[ab(|)*+?.\\[\\]{}12,^$\\\\]{0,12}", value in "[ab]{0,6}") {
            let regex = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(64 * 1024).build();
            if let Ok(regex) = regex && RegexBuilder::new(&pattern).build().is_ok() {
                let price = Price::of(&pattern, false);
                if regex.is_match(&value) {
                    prop_assert!(value.as_bytes().starts_with(&price.prefix), "{:?}", price);
                    prop_assert!(value.as_bytes().ends_with(&price.suffix), "{:?}", price);
                }
                prop_assert!(compiled(&pattern, false) <= (price.states + 8) * 32, "{:?}", price);
            }
        }

        #[test]
        fn any_text_has_a_price(pattern in ".{0,60}", ignore_case in any::<bool>()) {
            prop_assert!(Price::of(&pattern, ignore_case).states <= MAX_STATES);
        }
    }
}
