//! How long a function may be.

use crate::source::{Found, What};
use crate::violation::Violation;

/// From `fn` to the closing brace: what fits on a page, so that it can be read at once.
const MOST_LINES: usize = 70;

fn check(found: &[Found]) -> Vec<Violation> {
    let too_long = |found: &Found| match &found.what {
        What::Function { name, lines } if MOST_LINES < *lines => {
            Some(Violation::at(found, format!("`{name}` has {lines} lines; at most {MOST_LINES} are allowed")))
        }
        _ => None,
    };
    found.iter().filter_map(too_long).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crates;
    use crate::source::read_text;
    use crate::violation::{assert_each_says, assert_none};

    #[test]
    fn functions_of_the_plugin_fit_on_a_page() {
        let found: Vec<Found> = crates::of_the_plugin().iter().flat_map(crates::Crate::read).collect();
        assert_none(&check(&found), "Split each function where a part of it has a name.");
    }

    #[test]
    fn a_planted_long_function_is_found_wherever_it_stands() {
        let body = |lines: usize| format!("(&self) {{{}}}", "\n".repeat(lines - 1));
        let planted = |lines| {
            let body = body(lines);
            [
                format!("impl X {{ #[inline]\n pub fn long{body} }}"),
                format!("trait X {{ fn long{body} fn none(); }}"),
                format!("m! {{ fn long{body} }}"),
                format!("fn long{}", body.replace("&self", "")),
            ]
        };
        for text in planted(70) {
            assert_each_says(&check(&read_text("span", &text)), &[]);
        }
        for text in planted(71) {
            assert_each_says(&check(&read_text("span", &text)), &["`long` has 71 lines; at most 70 are allowed"]);
        }
        let nested = format!("fn outer() {{ fn long{} }}", body(71).replace("&self", ""));
        assert_each_says(&check(&read_text("span", &nested)), &["`outer` has 71", "`long` has 71"]);
        let test = format!("#[cfg(test)] mod tests {{ fn long{} }}", body(71).replace("&self", ""));
        assert_each_says(&check(&read_text("span", &test)), &[]);
    }
}
