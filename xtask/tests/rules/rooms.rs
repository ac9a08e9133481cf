//! Who may import whom. A room is a module at the root of the engine's crate; arrows point down only.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Found, PathFrom, What};
use crate::violation::Violation;

/// Rows of rooms, the highest first. A room may use every room in a row below its own, and none beside it.
type Layers<'a> = &'a [&'a [&'a str]];

/// The engine's.
const LAYERS: Layers<'_> = &[
    &["process"],
    &["request"],
    &["central", "config", "export"],
    &["shared", "stream"],
    &["policy"],
    &["metrics"],
    &["otlp"],
    &["border", "span"],
    &["force"],
    &["upgrade"],
    &["sampling"],
    &["telemetry"],
    &["door"],
    &["trace_context"],
    &["http", "identity", "json"],
];

/// Every use of a room that the table does not allow, then what is wrong with the table.
fn check(found: &[Found], layers: Layers<'_>) -> Vec<Violation> {
    let rooms: BTreeSet<&str> =
        found.iter().filter(|found| found.what == What::Module).filter_map(|found| room(found)).collect();
    let elsewhere = names_at_the_root(found);
    let row = |room: &str| layers.iter().position(|row| row.contains(&room));
    let mut violations = Vec::new();
    for mention in found {
        let (Some(user), What::Path { segments, .. }) = (room(mention), &mention.what) else { continue };
        let [root, rest @ ..] = segments.as_slice() else { continue };
        if root != "crate" {
            continue;
        }
        let name = rest.first().map_or("", String::as_str);
        let used = elsewhere.get(name).copied().unwrap_or(name);
        let path = segments.join("::");
        if !rooms.contains(used) {
            violations.push(Violation::at(mention, format!("`{user}` uses `{path}`, which names no room")));
        } else if user != used && row(used) <= row(user) {
            violations.push(Violation::at(mention, format!("`{user}` may not use `{used}` (`{path}`)")));
        }
    }
    violations.extend(check_table(&rooms, layers));
    violations
}

/// The table lists each room of the crate once, and no other.
fn check_table(rooms: &BTreeSet<&str>, layers: Layers<'_>) -> Vec<Violation> {
    let mut listed = BTreeSet::new();
    let mut problems = Vec::new();
    for room in layers.iter().copied().flatten() {
        if !rooms.contains(room) {
            problems.push(format!("lists `{room}`, which is not a module of the crate's root"));
        }
        if !listed.insert(*room) {
            problems.push(format!("lists `{room}` twice"));
        }
    }
    problems.extend(rooms.difference(&listed).map(|room| format!("does not list `{room}`")));
    problems.into_iter().map(|problem| Violation::of("the table", problem)).collect()
}

/// The room that code is in; none at the crate's root, which may name all of them.
fn room(found: &Found) -> Option<&str> {
    found.module.first().map(String::as_str)
}

/// Names that the crate's root has of rooms: exported macros, and what it exports again; with the room of each.
fn names_at_the_root(found: &[Found]) -> BTreeMap<&str, &str> {
    let mut names = BTreeMap::new();
    for mention in found {
        match (&mention.what, room(mention)) {
            (What::ExportedMacro(name), Some(room)) => names.insert(name.as_str(), room),
            (What::Path { segments, from: PathFrom::Use }, None) => match segments.as_slice() {
                [root, room, .., name] if root == "crate" => names.insert(name.as_str(), room.as_str()),
                _ => None,
            },
            _ => None,
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crates;
    use crate::source::read_text;
    use crate::violation::{assert_each_says, assert_none};

    const TABLE: Layers<'_> = &[&["request"], &["config", "export"], &["span"]];

    #[test]
    fn arrows_between_rooms_point_down() {
        let found = crates::engine().read();
        assert_none(
            &check(&found, LAYERS),
            "Move what both rooms need to a room below them; LAYERS is in xtask/tests/rules/rooms.rs.",
        );
    }

    /// A crate with the rooms of `TABLE` and this code in its root.
    fn house(code: &str) -> Vec<Found> {
        read_text("", &format!("mod request {{}} mod config {{}} mod export {{}} mod span {{}} {code}"))
    }

    #[test]
    fn a_room_may_use_what_is_below_it_and_itself() {
        let found = house(
            "mod request { use crate::{config, export::Queue, span::*}; mod answer { use super::super::span; use super::answer; } }
             mod export { fn f() -> crate::span::Span { std::vec![] } }",
        );
        assert_each_says(&check(&found, TABLE), &[]);
    }

    #[test]
    fn planted_arrows_that_do_not_point_down_are_found() {
        let planted = [
            ("mod span { use crate::config::Policy; }", "`span` may not use `config` (`crate::config::Policy`)"),
            ("mod span { mod build { use super::super::request::Head; } }", "`span` may not use `request`"),
            ("mod config { fn f(_: &crate::export::Settings) {} }", "`config` may not use `export`"),
            ("mod span { fn f() { assert_eq!(1, crate::export::MAX); } }", "`span` may not use `export`"),
            ("mod span { m! { use crate::{request, config}; } }", "`span` uses `crate`, which names no room"),
            ("mod span { use crate::*; }", "`span` uses `crate`, which names no room"),
            ("mod span { use crate as house; }", "`span` uses `crate`, which names no room"),
            (
                "pub use config::Policy; mod span { use crate::Policy; }",
                "`span` may not use `config` (`crate::Policy`)",
            ),
            (
                "mod config { #[macro_export] macro_rules! keys { () => {} } } mod span { crate::keys!(); }",
                "`span` may not use `config` (`crate::keys`)",
            ),
            ("mod span { use crate::attic::Box; }", "`crate::attic::Box`, which names no room"),
        ];
        for (code, said) in planted {
            assert_each_says(&check(&house(code), TABLE), &[said]);
        }
    }

    #[test]
    fn the_table_lists_each_room_once() {
        assert_each_says(&check(&house("mod attic {}"), TABLE), &["does not list `attic`"]);
        let layers: Layers<'_> = &[&["request", "span"], &["config", "export", "attic"], &["span"]];
        let said = ["lists `attic`, which is not a module", "lists `span` twice"];
        assert_each_says(&check(&house(""), layers), &said);
    }
}
