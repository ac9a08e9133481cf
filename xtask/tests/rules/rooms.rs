//! Who may import whom. A room is a module at the root of the engine's crate; arrows point down only.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Found, PathFrom, What};
use crate::violation::Violation;

/// The engine's rooms, the highest first. A room may use every room in a row below its own, and of its own row what `BESIDE` lists.
const LAYERS: &[&[&str]] = &[
    &["process"],
    &["request"],
    &["central", "config", "export"],
    &["policy", "stream", "shared"],
    &["span", "otlp", "metrics"],
    &["upgrade", "sampling"],
    &["trace_context", "http", "json", "door", "telemetry", "identity"],
];

/// Arrows within a row, each with its reason. Together they must not make a ring either.
const BESIDE: &[(&str, &str, &str)] = &[];

/// The two tables, so that tests can have their own.
#[derive(Clone, Copy)]
struct Table<'a> {
    layers: &'a [&'a [&'a str]],
    beside: &'a [(&'a str, &'a str, &'a str)],
}

impl Table<'_> {
    /// Row of a room, counted from the top.
    fn row(&self, room: &str) -> Option<usize> {
        self.layers.iter().position(|row| row.contains(&room))
    }

    fn allows(&self, user: &str, used: &str) -> bool {
        user == used || self.row(user) < self.row(used) || self.is_beside(user, used)
    }

    fn is_beside(&self, user: &str, used: &str) -> bool {
        self.beside.iter().any(|(from, to, _)| (*from, *to) == (user, used))
    }

    /// What is wrong with the table itself, for rooms that exist and arrows that are used.
    fn problems(&self, rooms: &BTreeSet<&str>, arrows: &BTreeSet<(&str, &str)>) -> Vec<Violation> {
        let mut problems = Vec::new();
        let mut wrong = |problem: String| problems.push(Violation::of("the table", problem));
        let listed: Vec<&str> = self.layers.iter().flat_map(|row| row.iter().copied()).collect();
        for (index, room) in listed.iter().enumerate() {
            if !rooms.contains(room) {
                wrong(format!("lists `{room}`, which is not a module of the crate's root"));
            }
            if listed.iter().skip(index + 1).any(|other| other == room) {
                wrong(format!("lists `{room}` twice"));
            }
        }
        for room in rooms.iter().filter(|room| !listed.contains(room)) {
            wrong(format!("does not list `{room}`"));
        }
        for (user, used, _) in self.beside {
            if self.row(user) != self.row(used) {
                wrong(format!("has `{user}` beside `{used}`, which are in different rows"));
            }
            if !arrows.contains(&(*user, *used)) {
                wrong(format!("lets `{user}` use `{used}`, which it does not"));
            }
            if self.leads(used, user) {
                wrong(format!("has a ring through `{user}` and `{used}`"));
            }
        }
        problems
    }

    /// Whether arrows within a row lead from one room to another.
    fn leads(&self, from: &str, to: &str) -> bool {
        let mut reached = BTreeSet::from([from]);
        for _ in self.beside {
            for (user, used, _) in self.beside {
                if reached.contains(user) {
                    reached.insert(used);
                }
            }
        }
        reached.contains(to)
    }
}

/// Every use of a room that the table does not allow, then what is wrong with the table.
fn check(found: &[Found], table: Table<'_>) -> Vec<Violation> {
    let rooms: BTreeSet<&str> =
        found.iter().filter(|found| found.what == What::Module).filter_map(|found| room(found)).collect();
    let elsewhere = names_at_the_root(found);
    let mut arrows = BTreeSet::new();
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
        } else if !table.allows(user, used) {
            violations.push(Violation::at(mention, format!("`{user}` may not use `{used}` (`{path}`)")));
        }
        arrows.insert((user, used));
    }
    violations.extend(table.problems(&rooms, &arrows));
    violations
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

    const TABLE: Table<'_> = Table { layers: &[&["request"], &["config", "export"], &["span"]], beside: &[] };

    #[test]
    fn arrows_between_rooms_point_down() {
        let found = crates::engine().read();
        let violations = check(&found, Table { layers: LAYERS, beside: BESIDE });
        assert_none(
            &violations,
            "Move what both rooms need to a room below them; LAYERS and BESIDE are in xtask/tests/rules/rooms.rs.",
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
    fn rooms_of_a_row_use_each_other_only_where_the_table_says_so() {
        let found = house("mod config { use crate::export; }");
        let beside = &[("config", "export", "settings")];
        assert_each_says(&check(&found, Table { beside, ..TABLE }), &[]);
        assert_each_says(
            &check(&house(""), Table { beside, ..TABLE }),
            &["lets `config` use `export`, which it does not"],
        );

        let found = house("mod config { use crate::export; } mod export { use crate::config; }");
        let beside = &[("config", "export", "settings"), ("export", "config", "names")];
        let ring = ["has a ring through `config` and `export`", "has a ring through `export` and `config`"];
        assert_each_says(&check(&found, Table { beside, ..TABLE }), &ring);

        let found = house("mod span { use crate::export; }");
        let beside = &[("span", "export", "its queue")];
        assert_each_says(&check(&found, Table { beside, ..TABLE }), &["in different rows"]);
    }

    #[test]
    fn the_table_lists_each_room_once() {
        assert_each_says(&check(&house("mod attic {}"), TABLE), &["does not list `attic`"]);
        let layers: &[&[&str]] = &[&["request", "span"], &["config", "export", "attic"], &["span"]];
        let said = ["lists `span` twice", "lists `attic`, which is not a module"];
        assert_each_says(&check(&house(""), Table { layers, beside: &[] }), &said);
    }
}
