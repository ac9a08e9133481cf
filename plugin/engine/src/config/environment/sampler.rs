//! What is recorded, and in which headers it travels.

use super::{EVERYTHING_IS_RECORDED, Reader};
use crate::config::bounded::Ratio;
use crate::config::error;
use crate::json::{Named, Tree, number};
use crate::trace_context::Propagator;

impl<'a> Reader<'a> {
    /// `OTEL_TRACES_SAMPLER` and its argument. The sampler says how much, so `traceidratio` means `consistent`.
    pub(super) fn sampler(&mut self) {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        const KNOWN: [&str; 6] = [
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ];
        let Some(name) = self.get(NAME).map(str::to_ascii_lowercase) else {
            if let Some(argument) = self.get(ARGUMENT) {
                self.warn(ARGUMENT, &error::quoted(argument), "an argument of OTEL_TRACES_SAMPLER, which is not set");
            }
            return;
        };
        if !KNOWN.contains(&name.as_str()) {
            return self.warn(NAME, &error::quoted(&name), &error::one_of(&KNOWN));
        }
        let (mode, root) = match name.strip_prefix("parentbased_") {
            Some(root) => ("parent_based", root),
            None => ("independent", name.as_str()),
        };
        let ratio = match root {
            "always_on" => "1",
            "always_off" => "0",
            _ => self.sampler_argument(ARGUMENT),
        };
        self.text(&["sampling", "mode"], mode);
        self.tree.fill(&["sampling", "ratio"], Tree::Number(ratio.to_owned()));
    }

    /// Unset or unreadable, it is 1: "TraceIdRatioBased ... default 1.0". Where the configuration has no ratio either, that
    /// is the opposite of what whoever wrote 5 for 5 % meant, so the warning says what comes of it.
    fn sampler_argument(&mut self, name: &str) -> &'a str {
        let Some(text) = self.get(name) else { return "1" };
        if number(text).and_then(Ratio::new).is_some() {
            return text;
        }
        let found = error::quoted(text);
        if self.tree.get(&["sampling", "ratio"]).is_some() {
            self.warn(name, &found, Ratio::ALLOWED);
        } else {
            let rule = "; one that cannot be read means 1 by the specification: ";
            let warning = ["environment variable ", name, ": found ", &found, "; allowed is ", Ratio::ALLOWED, rule];
            self.warnings.push([&warning.concat(), EVERYTHING_IS_RECORDED, "."].concat());
        }
        "1"
    }

    /// `OTEL_PROPAGATORS`. `baggage` passes untouched anyway, and `none` asks for nothing.
    pub(super) fn propagators(&mut self) {
        const NAME: &str = "OTEL_PROPAGATORS";
        let mut names: Vec<&str> = Vec::new();
        for name in self.get(NAME).unwrap_or_default().split(',').map(str::trim) {
            if Propagator::from_name(name).is_some() {
                if !names.contains(&name) {
                    names.push(name);
                }
            } else if !["", "baggage", "none"].contains(&name) {
                let known = error::one_of(Propagator::NAMES);
                let warning =
                    ["environment variable ", NAME, ": found ", &error::quoted(name), "; allowed is ", &known];
                self.warnings.push([warning.concat().as_str(), ". That name is ignored."].concat());
            }
        }
        if !names.is_empty() {
            let list = names.into_iter().map(|name| Tree::Text(name.to_owned())).collect();
            self.tree.fill(&["propagators"], Tree::List(list));
        }
    }
}
