//! Path templates: `/users/{id}/orders`, `/files/{path...}`. A path is looked up segment by segment; a literal wins over `{}`, and
//! `{rest...}` takes what nothing else does.

use std::cmp::Ordering;

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
    /// In the order of their lengths, then of their bytes.
    literals: Vec<(Box<[u8]>, u16)>,
    any: Option<u16>,
    /// The template that takes everything from here on.
    rest: Option<u16>,
    /// The template that ends here.
    end: Option<u16>,
}

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
        let end = path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
        self.below(self.nodes.first()?, path.get(..end), 0)
    }

    /// Each node is looked at once at most: what is left of the path depends on the depth alone.
    fn below(&self, node: &Node, path: Option<&[u8]>, depth: usize) -> Option<u16> {
        let Some(path) = path else { return node.end };
        if MAX_SEGMENTS < depth {
            return node.rest;
        }
        let slash = path.iter().position(|byte| *byte == b'/');
        let segment = path.get(..slash.unwrap_or(path.len())).unwrap_or_default();
        let after = slash.and_then(|slash| path.get(slash..)?.get(1..));
        let child = |place: u16| self.below(self.nodes.get(usize::from(place))?, after, depth.saturating_add(1));
        let literal = node.literals.binary_search_by(|(text, _)| order(text, segment)).ok();
        let literal = literal.and_then(|place| node.literals.get(place)).and_then(|(_, place)| child(*place));
        let any = || if segment.is_empty() { None } else { node.any.and_then(child) };
        literal.or_else(any).or(node.rest.filter(|_| !path.is_empty()))
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
        let search = |node: &Node| node.literals.binary_search_by(|(known, _)| order(known, text));
        let Some(found) = self.nodes.get(usize::from(node)).map(search) else { return node };
        match found {
            Ok(place) => {
                let known = self.nodes.get(usize::from(node)).and_then(|node| node.literals.get(place));
                known.map_or(node, |(_, place)| *place)
            }
            Err(place) => {
                let new = self.new_node();
                if let Some(node) = self.nodes.get_mut(usize::from(node)) {
                    node.literals.insert(place, (text.into(), new));
                }
                new
            }
        }
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

/// Most literals differ in length, which costs less to compare.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
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
}
