//! How many tests passed, as the programs that run them say it.

/// Sums of what test binaries said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    /// Reads `test result: ok. 3 passed; 0 failed; …`, the line that each test binary ends with.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |what: &str| counts.split("; ").find_map(|part| part.strip_suffix(what)?.trim().parse().ok());
        Some(Self { passed: count("passed")?, failed: count("failed")? })
    }

    /// Reads `1 failed, 79 passed, 2 warnings in 3.70s`, the line that pytest ends with.
    pub(crate) fn parse_pytest(line: &str) -> Option<Self> {
        let (counts, _seconds) = line.trim_matches(['=', ' ']).split_once(" in ")?;
        let mut sums = Self::default();
        for part in counts.split(", ") {
            let (count, what) = part.split_once(' ')?;
            let count: u64 = count.parse().ok()?;
            match what {
                "passed" => sums.passed += count,
                "failed" | "error" | "errors" => sums.failed += count,
                _ => {}
            }
        }
        Some(sums)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_line_of_a_test_binary_is_read_and_nothing_else_is() {
        let cases = [
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.05s",
                Some((12, 0)),
            ),
            (
                "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
                Some((3, 2)),
            ),
            ("test the_result_line ... ok", None),
            ("test result: ok", None),
            ("test result: ok. many passed; 0 failed", None),
            ("12 passed; 0 failed", None),
        ];
        for (line, expected) in cases {
            assert_eq!(Counts::parse(line), expected.map(|(passed, failed)| Counts { passed, failed }), "{line}");
        }
    }

    #[test]
    fn the_last_line_of_pytest_is_read_and_nothing_else_is() {
        let cases = [
            ("153 passed in 61.20s (0:01:01)", Some((153, 0))),
            ("== 1 failed, 79 passed, 2 warnings in 3.70s ==", Some((79, 1))),
            ("20 errors in 53.06s", Some((0, 20))),
            ("1 skipped in 0.10s", Some((0, 0))),
            ("tests/test_wire.py ...... [100%]", None),
            ("waiting in vain", None),
            ("153 passed", None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|(passed, failed)| Counts { passed, failed });
            assert_eq!(Counts::parse_pytest(line), expected, "{line}");
        }
    }
}
