//! Reads a [`Tree`] into the raw types in one pass: knows the path of every fault, and continues after it, so that one
//! refusal names them all.

use super::bounded::is_token;
use super::error::{self, MAX_PROBLEMS, Problem};
use crate::json::{Named, Step, Tree, path_text};

/// Objects with a secret inside. A text of a wrong type below them may be that secret, in the wrong place.
const NEAR_SECRETS: [&[&str]; 5] = [
    &["force"],
    &["sampling", "session"],
    &["upgrade", "recall"],
    &["upgrade", "applications"],
    &["export", "headers"],
];
/// Digits that a number written as a text has at most to be shown below them.
const MAX_DIGITS: usize = 15;
/// YAML's merge key, of which the tool has advice.
const MERGE: &str = "<<";

/// Can be read from a configuration.
pub trait Read: Sized {
    /// The value, or `None` with a problem that says why.
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self>;
}

/// Where we are, and what was wrong so far.
#[derive(Debug, Default)]
pub struct Reader<'t> {
    path: Vec<Step<'t>>,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    /// What was wrong, at most [`MAX_PROBLEMS`].
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// A problem with the value here; always `None`. Empty advice stands for the general one.
    pub fn refuse<T>(&mut self, found: &str, allowed: &str, advice: &str) -> Option<T> {
        self.push(found, allowed, advice);
        None
    }

    /// A problem with this value, which is shown unless it may be a secret.
    pub fn refuse_value<T>(&mut self, found: &Tree, allowed: &str) -> Option<T> {
        self.push_value(found, allowed);
        None
    }

    #[inline(never)] // One copy in the module, as of everything here that no type has a part in.
    fn push_value(&mut self, found: &Tree, allowed: &str) {
        self.push(&self.shown(found), allowed, "");
    }

    /// A problem with this value, where a list or an object is wanted. Where that holds secrets, the kind alone is said.
    #[inline(never)] // As above.
    fn push_kind(&mut self, found: &Tree, allowed: &str, advice: &str) {
        let hides = below_secrets(&self.path).is_some() || is_above_secrets(&self.path);
        let shown = if hides { found.kind().to_owned() } else { found.describe() };
        self.push(&shown, allowed, advice);
    }

    /// The same; always `None`.
    pub fn refuse_kind<T>(&mut self, found: &Tree, allowed: &str, advice: &str) -> Option<T> {
        self.push_kind(found, allowed, advice);
        None
    }

    /// The value for a message; of a text that may be a secret the kind only.
    fn shown(&self, found: &Tree) -> String {
        let hides = match found {
            Tree::Text(text) => !text.is_empty(),
            Tree::Number(digits) | Tree::Numeral(digits) => MAX_DIGITS < digits.len(),
            _ => false,
        };
        if hides && below_secrets(&self.path).is_some() { found.kind().to_owned() } else { found.describe() }
    }

    /// The path for a message: it ends before a key that looks like a secret with its name ("a=b") or a whole header ("a: b").
    fn shown_path(&self) -> String {
        let below = below_secrets(&self.path).unwrap_or_default();
        let odd = |step: &Step<'_>| matches!(step, Step::Key(key) if *key != MERGE && !key.bytes().all(is_token));
        let hidden = below.iter().position(odd).map_or(0, |place| below.len().saturating_sub(place));
        let kept = self.path.len().saturating_sub(hidden);
        path_text(self.path.get(..kept).unwrap_or_default())
    }

    /// A problem with a name that is none of those known.
    pub fn refuse_name<T>(&mut self, found: &str, known: &[&str]) -> Option<T> {
        self.push(&error::quoted(found), &error::one_of(known), &did_you_mean(found, known));
        None
    }

    fn push(&mut self, found: &str, allowed: &str, advice: &str) {
        if MAX_PROBLEMS <= self.problems.len() {
            return;
        }
        let problem = Problem::new(self.shown_path(), found, allowed);
        self.problems.push(if advice.is_empty() { problem } else { problem.advise(advice) });
    }

    /// The entries of an object that has these keys and no others. Each other one is a problem.
    pub fn object(&mut self, tree: &'t Tree, keys: &[&str]) -> Option<&'t [(String, Tree)]> {
        let Tree::Object(entries) = tree else {
            return self.refuse_kind(tree, &["an object with ", &error::one_of(keys)].concat(), "");
        };
        for (key, _) in entries {
            if !keys.contains(&key.as_str()) {
                self.inside(Step::Key(key), |reader| reader.refuse_key::<()>(key, keys));
            }
        }
        Some(entries)
    }

    /// A problem with the key here, which is none of those known.
    pub fn refuse_key<T>(&mut self, key: &str, known: &[&str]) -> Option<T> {
        let meant = did_you_mean(key, known);
        let advice = if meant.is_empty() { "Take it out, or write it where it belongs." } else { &meant };
        self.refuse(error::UNKNOWN_KEY, &error::one_of(known), advice)
    }

    /// The value of the key; `None` when it is not there or wrong.
    pub fn key<T: Read>(&mut self, entries: &'t [(String, Tree)], key: &str) -> Option<T> {
        let value = self.enter(entries, key)?;
        let read = T::read(value, self);
        self.path.pop();
        read
    }

    #[inline(never)] // As above.
    fn enter(&mut self, entries: &'t [(String, Tree)], key: &str) -> Option<&'t Tree> {
        let (key, value) = entries.iter().find(|(name, _)| name == key)?;
        self.step(Step::Key(key));
        Some(value)
    }

    #[inline(never)] // As above.
    fn step(&mut self, step: Step<'t>) {
        self.path.push(step);
    }

    /// Does this one step further down.
    pub fn inside<T>(&mut self, step: Step<'t>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.step(step);
        let value = read(self);
        self.path.pop();
        value
    }
}

/// The steps below an object with a secret inside; `None` elsewhere.
fn below_secrets<'p, 't>(path: &'p [Step<'t>]) -> Option<&'p [Step<'t>]> {
    let path = of_policy(path);
    NEAR_SECRETS.iter().find_map(|place| {
        let (above, below) = path.split_at_checked(place.len())?;
        let is_there = above.iter().zip(*place).all(|(step, key)| *step == Step::Key(key));
        is_there.then_some(below)
    })
}

/// Whether an object with a secret inside is further down.
fn is_above_secrets(path: &[Step<'_>]) -> bool {
    let path = of_policy(path);
    let is_above = |place: &&[&str]| path.iter().zip(*place).all(|(step, key)| *step == Step::Key(key));
    NEAR_SECRETS.iter().any(|place| path.len() < place.len() && is_above(place))
}

/// The path inside of the shadow policy, which is as that of the live one.
fn of_policy<'p, 't>(path: &'p [Step<'t>]) -> &'p [Step<'t>] {
    path.strip_prefix(&[Step::Key("shadow")]).unwrap_or(path)
}

fn did_you_mean(found: &str, known: &[&str]) -> String {
    error::nearest(found, known).map(|near| ["Did you mean `", near, "`?"].concat()).unwrap_or_default()
}

impl Read for bool {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        match tree {
            Tree::Bool(value) => Some(*value),
            _ => reader.refuse(&reader.shown(tree), "true or false", "Write it without quotes."),
        }
    }
}

impl<T: Read> Read for Option<T> {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        if *tree == Tree::Null { Some(None) } else { T::read(tree, reader).map(Some) }
    }
}

/// All elements or none: a list with a hole would have wrong indices in later messages.
impl<T: Read> Read for Vec<T> {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        let Tree::List(elements) = tree else {
            return reader.refuse_kind(tree, "a list", "Write it in square brackets.");
        };
        let mut list = Self::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            list.extend(reader.inside(Step::Index(index), |reader| T::read(element, reader)));
        }
        (list.len() == elements.len()).then_some(list)
    }
}

/// Makes a struct of keys: each with its type and its default, which holds when the key is left out. No other key is taken.
macro_rules! keys {
    ($(#[$about:meta])* pub struct $name:ident { $($(#[$key_about:meta])* pub $key:ident: $type:ty = $default:expr,)* }) => {
        #[derive(Clone, Debug, PartialEq)]
        #[cfg_attr(feature = "schema", derive(serde::Serialize, schemars::JsonSchema))]
        #[cfg_attr(feature = "schema", serde(default, deny_unknown_fields))]
        $(#[$about])*
        pub struct $name { $($(#[$key_about])* pub $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $crate::config::reader::Read for $name {
            fn read<'t>(
                tree: &'t $crate::json::Tree,
                reader: &mut $crate::config::reader::Reader<'t>,
            ) -> Option<Self> {
                const KEYS: &[&str] = &[$($crate::config::reader::bare(stringify!($key)),)*];
                let entries = reader.object(tree, KEYS)?;
                let read = Self {
                    $($key: match reader.key(entries, const { $crate::config::reader::bare(stringify!($key)) }) {
                        Some(value) => value,
                        None => $default,
                    },)*
                };
                Some(read)
            }
        }
    };
}

pub(super) use keys;

impl<T: Named> Read for T {
    fn read<'t>(tree: &'t Tree, reader: &mut Reader<'t>) -> Option<Self> {
        let place = name(tree, Self::NAMES, reader)?;
        Self::ALL.get(place).copied()
    }
}

/// Which of the names it is.
pub fn name(tree: &Tree, names: &[&str], reader: &mut Reader<'_>) -> Option<usize> {
    match tree {
        Tree::Text(text) => match names.iter().position(|name| name == text) {
            None => reader.refuse_name(text, names),
            place => place,
        },
        _ => reader.refuse_value(tree, &error::one_of(names)),
    }
}

/// The name of a field as users write it: without Rust's mark of a keyword.
pub const fn bare(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', name @ ..] => match str::from_utf8(name) {
            Ok(name) => name,
            Err(_) => field,
        },
        _ => field,
    }
}
