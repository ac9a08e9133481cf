//! What the code of a crate mentions, read with `syn` along its tree of modules. What only tests compile is left out.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Meta, Token, TraitItem, UseTree, Visibility};

use crate::tokens;

/// One thing that a rule may care about.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Path of the file, from the root of the repository.
    pub(crate) file: Rc<str>,
    /// Counted from 1.
    pub(crate) line: usize,
    /// Path of the module from the root of its crate; empty for the root itself.
    pub(crate) module: Rc<[String]>,
    /// What stands there.
    pub(crate) what: What,
}

/// What a line has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A module begins.
    Module,
    /// A path of two segments or more, with `self` and `super` replaced: `crate::span::Span`, `std::time::Instant`.
    Path { segments: Vec<String>, from: PathFrom },
    /// `name!`.
    Macro(String),
    /// `#[macro_export] macro_rules! name`, which others find at the root of the crate.
    ExportedMacro(String),
    /// A static, with each name that its type mentions.
    Static { name: String, is_mut: bool, types: Vec<String> },
    /// A function with a body, from `fn` to its closing brace.
    Function { name: String, lines: usize },
}

/// Where a path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathFrom {
    /// In an expression, a type, a pattern or a macro.
    Code,
    /// In a `use` that names it.
    Use,
    /// In a `use` of everything that is in it.
    Glob,
}

/// Reads the crate whose root is this file; `top` is the root of the repository.
pub(crate) fn read_crate(top: &Path, root: &Path) -> Result<Vec<Found>> {
    let folder = root.parent().context("the root of a crate is in a folder")?.to_path_buf();
    let mut reader = Reader::new(Some(top.to_path_buf()), folder);
    reader.file(root)?;
    reader.end()
}

/// Reads a text as if it were the file of a module; the text cannot have modules in other files.
#[cfg(test)]
pub(crate) fn read_text(module: &str, text: &str) -> Vec<Found> {
    let mut reader = Reader::new(None, PathBuf::new());
    reader.module = module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    reader.file = format!("{module}.rs").into();
    reader.text(text).expect("a planted source parses");
    reader.end().expect("a planted source is one file")
}

struct Reader {
    top: Option<PathBuf>,
    file: Rc<str>,
    /// Where the files of modules are that the current one declares.
    folder: PathBuf,
    module: Rc<[String]>,
    found: Vec<Found>,
    /// The first failure: a visitor cannot return one.
    failed: Option<anyhow::Error>,
}

impl Reader {
    fn new(top: Option<PathBuf>, folder: PathBuf) -> Self {
        Self { top, file: "".into(), folder, module: [].into(), found: Vec::new(), failed: None }
    }

    fn end(self) -> Result<Vec<Found>> {
        self.failed.map_or(Ok(self.found), Err)
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
        let shown = self.top.as_deref().and_then(|top| path.strip_prefix(top).ok()).unwrap_or(path);
        let outer = std::mem::replace(&mut self.file, shown.display().to_string().into());
        self.text(&text).with_context(|| format!("could not parse {}", self.file))?;
        self.file = outer;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<()> {
        for item in &syn::parse_file(text)?.items {
            self.visit_item(item);
        }
        Ok(())
    }

    fn push(&mut self, line: usize, what: What) {
        self.found.push(Found { file: Rc::clone(&self.file), line, module: Rc::clone(&self.module), what });
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line - line + 1;
        self.push(line, What::Function { name: signature.ident.to_string(), lines });
    }

    fn path(&mut self, line: usize, segments: Vec<String>, from: PathFrom) {
        let segments = self.resolve(segments);
        if 2 <= segments.len() || from != PathFrom::Code {
            self.push(line, What::Path { segments, from });
        }
    }

    /// Replaces `self` and `super`, and gives a path in the root of the crate that names one of its modules its `crate`.
    fn resolve(&self, segments: Vec<String>) -> Vec<String> {
        let ups = segments.iter().take_while(|name| *name == "super").count();
        let is_self = segments.first().is_some_and(|name| name == "self");
        let names_room = || {
            let first = segments.first();
            self.found.iter().any(|found| found.what == What::Module && found.module.first() == first)
        };
        let is_of_root = self.module.is_empty() && !is_self && ups == 0 && names_room();
        if ups == 0 && !is_self && !is_of_root {
            return segments;
        }
        let kept = self.module.len().saturating_sub(ups);
        let base = ["crate".to_owned()].into_iter().chain(self.module.iter().take(kept).cloned());
        base.chain(segments.into_iter().skip(ups + usize::from(is_self))).collect()
    }

    fn use_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree),
            // `use a::b::{self}` is `use a::b`.
            UseTree::Name(name) if name.ident == "self" && !before.is_empty() => {
                self.path(line_of(&name.ident), before.to_vec(), PathFrom::Use);
            }
            UseTree::Name(name) => self.path(line_of(&name.ident), with(&name.ident), PathFrom::Use),
            UseTree::Rename(rename) => self.path(line_of(&rename.ident), with(&rename.ident), PathFrom::Use),
            UseTree::Glob(glob) => self.path(glob.star_token.spans[0].start().line, before.to_vec(), PathFrom::Glob),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(before, tree)),
        }
    }

    /// The file of a module that the current one declares: `name.rs`, or `name/mod.rs`.
    fn module_file(&mut self, name: &str) {
        let candidates = [self.folder.join(format!("{name}.rs")), self.folder.join(name).join("mod.rs")];
        let result = match candidates.iter().find(|path| path.exists()) {
            Some(path) => {
                let outer = self.folder.clone();
                self.folder.push(name);
                let result = self.file(path);
                self.folder = outer;
                result
            }
            None => Err(anyhow::anyhow!("{}: found no file for `mod {name}`", self.file)),
        };
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        let outer = Rc::clone(&self.module);
        self.module = outer.iter().cloned().chain([name.clone()]).collect();
        self.push(item.mod_token.span.start().line, What::Module);
        match &item.content {
            Some((_, items)) => {
                let folder = self.folder.clone();
                self.folder.push(&name);
                items.iter().for_each(|item| self.visit_item(item));
                self.folder = folder;
            }
            None => self.module_file(&name),
        }
        self.module = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&[], &item.tree);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Fn(function) = item {
            if is_for_tests(&function.attrs) {
                return;
            }
            self.function(&function.sig, &function.block);
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Fn(syn::TraitItemFn { sig, default: Some(block), .. }) = item {
            self.function(sig, block);
        }
        visit::visit_trait_item(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        let mut types = Names::default();
        types.visit_type(&item.ty);
        let is_mut = matches!(item.mutability, syn::StaticMutability::Mut(_));
        let what = What::Static { name: item.ident.to_string(), is_mut, types: types.0 };
        self.push(item.static_token.span.start().line, what);
        visit::visit_item_static(self, item);
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if let Some(name) = &item.ident
            && item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"))
        {
            self.push(line_of(name), What::ExportedMacro(name.to_string()));
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        if let Some(name) = mac.path.segments.last() {
            self.push(line_of(&name.ident), What::Macro(name.ident.to_string()));
        }
        self.visit_path(&mac.path);
        for mention in tokens::mentions(mac.tokens.clone()) {
            match mention.what {
                What::Path { segments, from } => self.path(mention.line, segments, from),
                what => self.push(mention.line, what),
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let line = path.segments.first().map_or(0, |segment| line_of(&segment.ident));
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(line, segments, PathFrom::Code);
        visit::visit_path(self, path);
    }

    // Neither uses anything: `pub(in crate::span)`, `#[derive(Debug)]`.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn line_of(name: &syn::Ident) -> usize {
    name.span().start().line
}

/// Last names of all paths of a type.
#[derive(Default)]
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.extend(path.segments.last().map(|segment| segment.ident.to_string()));
        visit::visit_path(self, path);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[test]`, or a `#[cfg]` that only tests meet.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args().is_ok_and(|condition| needs_test(&condition)))
    })
}

fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let parts = list.parse_args_with(syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated);
    let Ok(parts) = parts else { return false };
    match list.path.get_ident().map(ToString::to_string).as_deref() {
        Some("all") => parts.iter().any(needs_test),
        Some("any") => !parts.is_empty() && parts.iter().all(needs_test),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(module: &str, text: &str) -> Vec<String> {
        let found = read_text(module, text).into_iter();
        found
            .filter_map(|found| match found.what {
                What::Path { segments, .. } => Some(segments.join("::")),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_path_is_found_wherever_it_stands() {
        let cases: [(&str, &[&str]); 11] = [
            ("use crate::{span::{Span, Kind as K}, json};", &["crate::span::Span", "crate::span::Kind", "crate::json"]),
            ("use crate::span::{self, *};", &["crate::span", "crate::span"]),
            ("use super::queue::Queue;", &["crate::export::queue::Queue"]),
            ("use super::super::span::Span;", &["crate::span::Span"]),
            ("use self::inner::Batch;", &["crate::export::batch::inner::Batch"]),
            ("fn f(span: &mut crate::span::Span) {}", &["crate::span::Span"]),
            ("fn f() { let _ = Vec::<crate::span::Span>::new(); }", &["Vec::new", "crate::span::Span"]),
            ("impl super::super::door::Host for Local {}", &["crate::door::Host"]),
            (
                "fn f() { g!(1, [crate::span::MAX, { super::queue::MAX }]); }",
                &["crate::span::MAX", "crate::export::queue::MAX"],
            ),
            ("macro_rules! m { () => { $crate::span::build() } }", &["crate::span::build"]),
            ("mod inner { use super::super::queue; }", &["crate::export::queue"]),
        ];
        for (text, expected) in cases {
            assert_eq!(paths("export::batch", text), expected, "{text}");
        }
    }

    #[test]
    fn in_the_root_a_module_needs_no_crate_before_it() {
        assert_eq!(paths("", "pub mod span {} pub use span::Span; use std::fmt;"), ["crate::span::Span", "std::fmt"]);
    }

    #[test]
    fn what_only_tests_compile_is_left_out() {
        let left_out = [
            "#[cfg(test)] mod tests { use crate::config; }",
            "#[cfg(test)] use crate::config;",
            "#[cfg(all(test, feature = \"x\"))] fn f() { crate::config::read() }",
            "#[cfg(any(test, all(test, unix)))] impl X { fn f() { crate::config::read() } }",
            "#[test] fn f() { crate::config::read() }",
            "impl X { #[cfg(test)] fn f() { crate::config::read() } }",
        ];
        for text in left_out {
            assert_eq!(paths("span", text), [""; 0], "{text}");
        }
        let kept = [
            "#[cfg(not(test))] use crate::config;",
            "#[cfg(any(test, feature = \"x\"))] use crate::config;",
            "#[cfg(feature = \"test\")] use crate::config;",
        ];
        for text in kept {
            assert_eq!(paths("span", text), ["crate::config"], "{text}");
        }
    }

    #[test]
    fn modules_in_files_of_their_own_are_followed() {
        let top = tempfile::tempdir().unwrap();
        let files = [
            ("src/lib.rs", "mod one; mod two;"),
            ("src/one.rs", "mod deep;"),
            ("src/one/deep.rs", "\nuse super::super::two;"),
            ("src/two/mod.rs", "mod last; #[cfg(test)] mod tests;"),
            ("src/two/last.rs", "use super::super::one;"),
        ];
        for (path, text) in files {
            let path = top.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = read_crate(top.path(), &top.path().join("src/lib.rs")).unwrap();
        let uses = found.iter().filter(|found| matches!(found.what, What::Path { .. }));
        let said: Vec<_> =
            uses.map(|found| format!("{}:{} {}", found.file, found.line, found.module.join("::"))).collect();
        assert_eq!(said, ["src/one/deep.rs:2 one::deep", "src/two/last.rs:1 two::last"]);

        std::fs::remove_file(top.path().join("src/one/deep.rs")).unwrap();
        let error = read_crate(top.path(), &top.path().join("src/lib.rs")).unwrap_err();
        assert!(format!("{error:#}").contains("src/one.rs: found no file for `mod deep`"), "{error:#}");
    }
}
