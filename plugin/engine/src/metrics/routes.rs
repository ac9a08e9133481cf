//! Path templates: `/users/{id}/orders`, `/files/{path...}`. A path is looked up segment by segment; a literal wins over `{}`, and
//! `{rest...}` takes what nothing else does.

/// Templates at most.
pub const MAX_ROUTES: usize = 200;
/// Bytes of one at most.
const MAX_TEMPLATE: usize = 256;
/// Segments of one at most.
const MAX_SEGMENTS: usize = 32;

/// Checked templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    templates: Vec<String>,
    nodes: Vec<Node>,
}

/// What may follow a beginning of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    literals: Vec<Literal>,
    /// Their places, and [`FREE`]: each where [`home`] says, or behind it if others were first. At least half of them are free; a power of
    /// two.
    index: Vec<u16>,
    any: Option<u16>,
    /// The template that takes everything from here on.
    rest: Option<u16>,
    /// The template that ends here.
    end: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Literal {
    text: Box<[u8]>,
    /// Its first eight bytes, or fewer with zeros behind them.
    head: u64,
    node: u16,
}

/// No literal.
const FREE: u16 = u16::MAX;

/// Why a template was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It is not a path of visible ASCII without `?` and `#`, of at most 256 bytes and 32 segments.
    NotAPath,
    /// A segment that paths do not have when Envoy looks at them as they are meant: an empty one before the end, `.` or `..`.
    Segment,
    /// `%` without two hexadecimal digits behind it.
    Percent,
    /// Braces that are not a whole segment with a name inside, or `{name...}` before the end.
    Braces,
    /// It matches the same paths as an earlier one.
    Same,
}

impl TemplateError {
    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotAPath => "not a path",
            Self::Segment => "an empty segment before the end, `.` or `..`, which no normalised path has",
            Self::Percent => "a `%` without two hexadecimal digits behind it",
            Self::Braces => "braces that are not `{name}` as a whole segment, or `{name...}` as the last one",
            Self::Same => "matches the same paths as an earlier template",
        }
    }
}

enum Segment<'a> {
    Literal(&'a [u8]),
    Any,
    Rest,
}

impl Routes {
    /// Adds a template. The caller sees to [`MAX_ROUTES`].
    pub fn add(&mut self, template: &str) -> Result<(), TemplateError> {
        let legal = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        let path = template.strip_prefix('/').filter(|_| template.len() <= MAX_TEMPLATE && template.bytes().all(legal));
        let mut segments = Vec::new();
        let mut left = Some(path.ok_or(TemplateError::NotAPath)?);
        while let Some(path) = left {
            let (text, rest) = path.split_once('/').map_or((path, None), |(text, rest)| (text, Some(rest)));
            segments.push(segment(text, rest.is_none())?);
            left = rest;
        }
        let number = u16::try_from(self.templates.len()).map_err(|_| TemplateError::NotAPath)?;
        if MAX_SEGMENTS < segments.len() {
            return Err(TemplateError::NotAPath);
        }
        let (mut node, mut is_rest) = (self.root(), false);
        for segment in segments {
            match segment {
                Segment::Literal(text) => node = self.literal(node, text),
                Segment::Any => node = self.any(node),
                Segment::Rest => is_rest = true, // The last one.
            }
        }
        let Some(node) = self.nodes.get_mut(usize::from(node)) else { return Err(TemplateError::NotAPath) };
        let place = if is_rest { &mut node.rest } else { &mut node.end };
        if place.is_some() {
            return Err(TemplateError::Same);
        }
        *place = Some(number);
        self.templates.push(template.to_owned());
        Ok(())
    }

    /// The templates, in their order.
    pub fn templates(&self) -> &[String] {
        &self.templates
    }

    /// A template by its place.
    pub fn template(&self, place: u16) -> &str {
        self.templates.get(usize::from(place)).map(String::as_str).unwrap_or_default()
    }

    /// The template of a path, by its place; a query is not looked at.
    pub fn find(&self, path: &[u8]) -> Option<u16> {
        let path = path.strip_prefix(b"/")?;
        self.below(self.nodes.first()?, path, (0, 0))
    }

    /// The template of what is left of a path at a byte, so many segments deep. Each node is looked at once at most: what is left depends
    /// on the depth alone.
    fn below<'a>(&'a self, mut node: &'a Node, path: &[u8], (mut at, mut depth): (usize, usize)) -> Option<u16> {
        while depth <= MAX_SEGMENTS {
            let segment = Cut::of(path, at);
            let literal = node.literal(path, at, &segment);
            let any = node.any.filter(|_| segment.len != 0);
            let rest = node.rest.filter(|_| segment.len != 0 || segment.continues);
            let next = (at.wrapping_add(segment.len).wrapping_add(1), depth.wrapping_add(1));
            let (Some(child), others) = (match (literal, any) {
                (Some(literal), any) => (Some(literal), any.is_some() || rest.is_some()),
                (None, any) => (any, rest.is_some()),
            }) else {
                return rest;
            };
            let child = self.nodes.get(usize::from(child))?;
            if !others {
                if !segment.continues {
                    return child.end;
                }
                (node, (at, depth)) = (child, next);
                continue;
            }
            let below = |child: &Node| if segment.continues { self.below(child, path, next) } else { child.end };
            let any = || below(self.nodes.get(usize::from(any.filter(|_| literal.is_some())?))?);
            return below(child).or_else(any).or(rest);
        }
        node.rest
    }

    fn root(&mut self) -> u16 {
        if self.nodes.is_empty() { self.new_node() } else { 0 }
    }

    /// There are fewer than 2^16: 200 templates of 32 segments.
    fn new_node(&mut self) -> u16 {
        self.nodes.push(Node::default());
        u16::try_from(self.nodes.len() - 1).unwrap_or(u16::MAX)
    }

    fn literal(&mut self, node: u16, text: &[u8]) -> u16 {
        let Some(known) = self.nodes.get(usize::from(node)) else { return node };
        if let Some(literal) = known.literals.iter().find(|literal| *literal.text == *text) {
            return literal.node;
        }
        let new = self.new_node();
        if let Some(node) = self.nodes.get_mut(usize::from(node)) {
            node.literals.push(Literal { text: text.into(), head: word(text, 0), node: new });
            node.reindex();
        }
        new
    }

    fn any(&mut self, node: u16) -> u16 {
        if let Some(known) = self.nodes.get(usize::from(node)).and_then(|node| node.any) {
            return known;
        }
        let new = self.new_node();
        if let Some(node) = self.nodes.get_mut(usize::from(node)) {
            node.any = Some(new);
        }
        new
    }
}

impl Node {
    /// The node behind the literal that a segment is.
    fn literal(&self, path: &[u8], at: usize, segment: &Cut) -> Option<u16> {
        let mut place = home(segment.head, segment.len);
        loop {
            let number = *self.index.get(place & self.index.len().wrapping_sub(1))?;
            let literal = self.literals.get(usize::from(number))?; // Nothing is at a free place.
            if literal.head == segment.head && literal.text.len() == segment.len {
                let tail = path.get(at.wrapping_add(8)..at.wrapping_add(segment.len));
                if segment.len <= 8 || literal.text.get(8..) == tail {
                    return Some(literal.node);
                }
            }
            place = place.wrapping_add(1);
        }
    }

    /// Gives each literal its place.
    fn reindex(&mut self) {
        let len = self.literals.len().saturating_mul(2).next_power_of_two();
        self.index.clear();
        self.index.resize(len, FREE);
        for (number, literal) in self.literals.iter().enumerate() {
            let mut place = home(literal.head, literal.text.len());
            while let Some(free) = self.index.get_mut(place & len.wrapping_sub(1)) {
                if *free == FREE {
                    *free = u16::try_from(number).unwrap_or(FREE);
                    break;
                }
                place = place.wrapping_add(1);
            }
        }
    }
}

/// A segment of a path.
struct Cut {
    len: usize,
    /// As of a [`Literal`].
    head: u64,
    /// A `/` ends it, not the path.
    continues: bool,
}

impl Cut {
    /// The segment that begins at a byte. Read by words: for every request that is counted by route.
    fn of(path: &[u8], at: usize) -> Self {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const BIT: u64 = ONES * (b'/' ^ b'?') as u64; // One bit, so that both are found at once.
        const QUERY: u64 = ONES * b'?' as u64;
        const FRAGMENT: u64 = ONES * b'#' as u64;
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word & ONES << 7; // The lowest bit is that of the first byte that is 0.
        let mut from = at;
        loop {
            let bytes = word(path, from);
            let found = zeros((bytes | BIT) ^ QUERY) | zeros(bytes ^ FRAGMENT);
            let end = from.wrapping_add((found.trailing_zeros() / 8) as usize);
            if found == 0 && end < path.len() {
                from = end;
                continue;
            }
            let len = end.min(path.len()).wrapping_sub(at);
            let head = if from == at { bytes } else { word(path, at) };
            let head = if len < 8 { head & !(u64::MAX << (8 * len)) } else { head };
            return Self { len, head, continues: path.get(end) == Some(&b'/') };
        }
    }
}

/// Eight bytes, with zeros behind the last one.
fn word(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(word) = rest.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    match text.last_chunk() {
        Some(_) if rest.is_empty() => 0,
        Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - rest.len())),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Where a literal is looked for first.
fn home(head: u64, len: usize) -> usize {
    ((head ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

fn segment(text: &str, is_last: bool) -> Result<Segment<'_>, TemplateError> {
    let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        return match text {
            _ if text.contains(['{', '}']) => Err(TemplateError::Braces),
            "." | ".." => Err(TemplateError::Segment),
            "" if !is_last => Err(TemplateError::Segment),
            _ if !has_whole_escapes(text) => Err(TemplateError::Percent),
            _ => Ok(Segment::Literal(text.as_bytes())),
        };
    };
    let (name, is_rest) = name.strip_suffix("...").map_or((name, false), |name| (name, true));
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.is_empty() || !name.bytes().all(legal) || is_rest && !is_last {
        return Err(TemplateError::Braces);
    }
    Ok(if is_rest { Segment::Rest } else { Segment::Any })
}

fn has_whole_escapes(text: &str) -> bool {
    let mut escapes = text.split('%').skip(1);
    escapes.all(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes(templates: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for template in templates {
            routes.add(template).expect(template);
        }
        routes
    }

    #[test]
    fn a_path_finds_the_most_literal_template() {
        let routes =
            routes(&["/", "/users/{id}", "/users/me", "/users/{id}/orders", "/{any}/me/x", "/files/{path...}"]);
        for (path, expected) in [
            ("/", Some("/")),
            ("/users/7", Some("/users/{id}")),
            ("/users/me", Some("/users/me")),
            ("/users/me?x=/users/7", Some("/users/me")),
            ("/users/me/orders", Some("/users/{id}/orders")),
            ("/users/me/x", Some("/{any}/me/x")),
            ("/users/", None),
            ("/users", None),
            ("/users/7/", None),
            ("/files/a/b//c", Some("/files/{path...}")),
            ("/files/", None),
            ("/files", None),
            ("", None),
            ("*", None),
        ] {
            let found = routes.find(path.as_bytes()).map(|place| routes.templates()[usize::from(place)].as_str());
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(Routes::default().find(b"/"), None);
    }

    #[test]
    fn what_is_not_a_template_is_refused_with_its_reason() {
        let long = format!("/{}", "a".repeat(MAX_TEMPLATE));
        let deep = "/a".repeat(MAX_SEGMENTS + 1);
        for (template, error) in [
            ("users", TemplateError::NotAPath),
            ("", TemplateError::NotAPath),
            ("/a b", TemplateError::NotAPath),
            ("/a?b", TemplateError::NotAPath),
            (long.as_str(), TemplateError::NotAPath),
            (deep.as_str(), TemplateError::NotAPath),
            ("//", TemplateError::Segment),
            ("/a//b", TemplateError::Segment),
            ("/a/../b", TemplateError::Segment),
            ("/a/.", TemplateError::Segment),
            ("/%zz", TemplateError::Percent),
            ("/a%2", TemplateError::Percent),
            ("/{}", TemplateError::Braces),
            ("/{a}b", TemplateError::Braces),
            ("/{a...}/b", TemplateError::Braces),
            ("/{a", TemplateError::Braces),
            ("/users/{other}", TemplateError::Same),
            ("/files/{other...}", TemplateError::Same),
        ] {
            let mut routes = routes(&["/users/{id}", "/files/{path...}"]);
            assert_eq!(routes.add(template), Err(error), "{template}");
            assert_eq!(routes.find(b"/users/7"), Some(0), "the others still work");
        }
    }

    #[test]
    fn a_slash_at_the_end_dots_in_a_name_and_escapes_are_literal() {
        for template in ["/", "/a/", "/a...b/.c", "/%2e/%Ff", "/a%20b"] {
            assert_eq!(routes(&[template]).find(template.as_bytes()), Some(0), "{template}");
        }
    }

    #[test]
    fn many_segments_cost_no_more_than_there_are_nodes() {
        let templates: Vec<String> =
            (0..30).map(|depth| format!("{}/end{depth}", "/{a}/b".repeat(depth / 2))).collect();
        let all: Vec<&str> = templates.iter().map(String::as_str).collect();
        assert_eq!(routes(&all).find("/b".repeat(10_000).as_bytes()), None);
    }

    /// The same by the rules alone, segment by segment, on what is left of the templates.
    fn by_rules(templates: &[(Option<String>, u16)], path: Option<&str>) -> Option<u16> {
        let Some(path) = path else {
            return templates.iter().find(|(left, _)| left.is_none()).map(|(_, place)| *place);
        };
        let (segment, after) = path.split_once('/').map_or((path, None), |(segment, after)| (segment, Some(after)));
        let below = |wanted: &dyn Fn(&str) -> bool| {
            let split = |left: &str| {
                left.split_once('/')
                    .map_or((left.to_owned(), None), |(one, left)| (one.to_owned(), Some(left.to_owned())))
            };
            let left = templates.iter().filter_map(|(left, place)| Some((split(left.as_ref()?), *place)));
            let left: Vec<_> =
                left.filter(|((one, _), _)| wanted(one)).map(|((_, left), place)| (left, place)).collect();
            left
        };
        let is_rest = |one: &str| one.ends_with("...}");
        let literal = by_rules(&below(&|one| one == segment && !one.starts_with('{')), after);
        let any = || by_rules(&below(&|one| one.starts_with('{') && !is_rest(one)), after);
        let rest = || below(&is_rest).first().map(|(_, place)| *place);
        let any = literal.or_else(|| if segment.is_empty() { None } else { any() });
        any.or_else(|| if path.is_empty() { None } else { rest() })
    }

    proptest! {
        #[test]
        fn a_path_is_found_by_the_rules(
            templates in prop::collection::vec("(/(a|b|ab|eightlet|eightlets|eightless|much-longer-than-that|[{]x[}])){0,4}(/|/[{]r[.]{3}[}])?", 1..20),
            paths in prop::collection::vec("(/(a|b|ab|c|eightlet|eightlets|eightless|much-longer-than-that|much-longer-than-this|)){0,5}([?#](/a|b)?)?", 1..30),
        ) {
            let mut routes = Routes::default();
            for template in &templates {
                let _ = routes.add(template); // What is the same as another is not there twice.
            }
            let left: Vec<_> = (0..).zip(routes.templates()).map(|(place, text)| (Some(text[1..].to_owned()), place)).collect();
            for path in &paths {
                let bare = path.split(['?', '#']).next().unwrap_or_default();
                let expected = bare.strip_prefix('/').and_then(|bare| by_rules(&left, Some(bare)));
                prop_assert_eq!(routes.find(path.as_bytes()), expected, "{} {:?}", path, routes.templates());
            }
        }
    }
}
