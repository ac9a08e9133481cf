//! What stands in a macro's tokens, which no parser of Rust knows the meaning of.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

use crate::source::{PathFrom, What};

/// Something found, with its line.
pub(crate) struct Mention {
    pub(crate) line: usize,
    pub(crate) what: What,
}

/// Paths, macros, statics and functions, at any depth of brackets.
pub(crate) fn mentions(tokens: TokenStream) -> Vec<Mention> {
    let mut mentions = Vec::new();
    collect(tokens, &mut mentions);
    mentions
}

fn collect(tokens: TokenStream, mentions: &mut Vec<Mention>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = trees.as_slice();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            TokenTree::Group(group) => collect(group.stream(), mentions),
            TokenTree::Ident(ident) if ident == "fn" => function(first, after, mentions),
            TokenTree::Ident(ident) if ident == "static" => statics(first, after, mentions),
            TokenTree::Ident(_) => rest = path(first, after, mentions),
            _ => {}
        }
    }
}

/// A path from its first name on; returns what is behind it.
fn path<'a>(first: &TokenTree, after: &'a [TokenTree], mentions: &mut Vec<Mention>) -> &'a [TokenTree] {
    let mut segments = vec![first.to_string()];
    let mut rest = after;
    let mut from = PathFrom::Code;
    while let [TokenTree::Punct(colon), TokenTree::Punct(second), next, after @ ..] = rest {
        if colon.as_char() != ':' || colon.spacing() != Spacing::Joint || second.as_char() != ':' {
            break;
        }
        match next {
            TokenTree::Ident(name) => segments.push(name.to_string()),
            // `use a::{b, c}` or `use a::*`: which of them is not looked at, so it counts as all of them.
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => from = PathFrom::Glob,
            TokenTree::Punct(star) if star.as_char() == '*' => from = PathFrom::Glob,
            _ => break,
        }
        if from == PathFrom::Glob {
            break;
        }
        rest = after;
    }
    let line = first.span().start().line;
    let is_macro = matches!(rest, [TokenTree::Punct(bang), next, ..] if bang.as_char() == '!' && !is_equals(next));
    if is_macro {
        mentions.extend(segments.last().map(|name| Mention { line, what: What::Macro(name.clone()) }));
    }
    mentions.push(Mention { line, what: What::Path { segments, from } });
    rest
}

/// `a != b` has no macro in it.
fn is_equals(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '=')
}

/// `fn name … { … }`; the type `fn(u8)` has no name.
fn function(fn_token: &TokenTree, after: &[TokenTree], mentions: &mut Vec<Mention>) {
    let name: String = after.iter().take_while(|tree| !is_parenthesis(tree)).map(ToString::to_string).collect();
    let end = after.iter().position(is_end_of_item).and_then(|position| after.get(position));
    if let (false, Some(TokenTree::Group(body))) = (name.is_empty(), end) {
        let line = fn_token.span().start().line;
        let lines = body.span_close().end().line - line + 1;
        mentions.push(Mention { line, what: What::Function { name, lines } });
    }
}

fn is_parenthesis(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis)
}

fn is_end_of_item(tree: &TokenTree) -> bool {
    match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    }
}

/// `static NAME: Type = …`.
fn statics(static_token: &TokenTree, after: &[TokenTree], mentions: &mut Vec<Mention>) {
    let before_value = after.iter().take_while(|tree| !is_equals(tree) && !is_end_of_item(tree));
    let words: Vec<String> =
        before_value.filter(|tree| matches!(tree, TokenTree::Ident(_))).map(ToString::to_string).collect();
    let is_mut = words.first().is_some_and(|word| word == "mut");
    let mut words = words.into_iter().skip(usize::from(is_mut));
    let name = words.next().unwrap_or_default();
    let line = static_token.span().start().line;
    mentions.push(Mention { line, what: What::Static { name, is_mut, types: words.collect() } });
}
