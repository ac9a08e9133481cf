//! How much work may be spent on matching one request: a number known before a pattern runs, not a clock.

/// Steps that are left for one request. A step is about what a regular expression does with one character in one of its states,
/// or one comparison of two bytes: some nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    left: u32,
    is_over: bool,
}

impl Default for Steps {
    fn default() -> Self {
        Self::new(Self::A_REQUEST)
    }
}

impl Steps {
    /// What one request may cost, all rules of all kinds together.
    pub const A_REQUEST: u32 = 100_000;

    /// So many.
    pub fn new(left: u32) -> Self {
        Self { left, is_over: false }
    }

    /// Takes so many, or none where there are not as many left. What is not taken is not done, and does not match.
    pub fn take(&mut self, steps: usize) -> bool {
        match u32::try_from(steps).ok().and_then(|steps| self.left.checked_sub(steps)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.is_over = true;
                false
            }
        }
    }

    /// Something was not matched for want of steps.
    pub fn is_over(self) -> bool {
        self.is_over
    }

    /// Runs something that may use half of what is left, so that others find the other half. Whether it had too few is its own.
    pub fn half<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        let mut half = Self::new(self.left / 2);
        let given = half.left;
        let result = run(&mut half);
        self.left = self.left.saturating_sub(given.saturating_sub(half.left));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_paid_is_not_done_and_what_is_cheaper_still_is() {
        let mut steps = Steps::new(10);
        assert!(steps.take(6) && !steps.is_over());
        assert!(!steps.take(5) && steps.is_over());
        assert!(!steps.take(usize::MAX));
        assert!(steps.take(4) && steps.take(0) && !steps.take(1));
    }

    #[test]
    fn a_half_leaves_the_other_half() {
        let mut steps = Steps::new(10);
        assert!(!steps.half(|half| half.take(6)));
        assert!(!steps.is_over(), "that is the other's own");
        assert!(steps.half(|half| half.take(5)));
        assert!(steps.take(5) && !steps.take(1));
    }
}
