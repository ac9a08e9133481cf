//! The ledger: what became of the calls that belong to an exported span, so that one query tells a trace that is not whole.

use std::ops::AddAssign;

use super::recall::Fate;

/// Calls in the trace, by what is known of the instance that they went to. Whole is what has `lost == 0` and
/// `answered + outside == made`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls that reached an instance.
    pub made: u32,
    /// Those whose instance runs the filter and exports its part of the trace.
    pub answered: u32,
    /// Those whose instance runs no filter that would.
    pub outside: u32,
    /// Those of which nobody knows.
    pub lost: u32,
}

/// What a CLIENT stream saw of its own call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallFacts {
    /// A connection to an instance was there.
    pub reached: bool,
    /// The call left with `sampled`, so that a filter behind it exports its part, and says so in its answer.
    pub sampled: bool,
    /// The instance answered, whatever it said.
    pub answered: bool,
    /// Its answer carried our trace: kept there.
    pub heard: bool,
}

impl Calls {
    /// The ledger of one call; `None` where only recall can tell.
    pub fn of_call(call: CallFacts) -> Option<Self> {
        match call {
            CallFacts { reached: false, .. } => Some(Self::default()),
            CallFacts { heard: true, .. } => Some(Self::decided(Fate::Answered)),
            CallFacts { sampled: true, answered: true, .. } => Some(Self::decided(Fate::Outside)),
            _ => None,
        }
    }

    /// The ledger of one call of which this is known.
    pub fn decided(fate: Fate) -> Self {
        let one = |of: Fate| u32::from(of == fate);
        Self { made: 1, answered: one(Fate::Answered), outside: one(Fate::Outside), lost: one(Fate::Lost) }
    }
}

impl AddAssign for Calls {
    fn add_assign(&mut self, other: Self) {
        self.made = self.made.saturating_add(other.made);
        self.answered = self.answered.saturating_add(other.answered);
        self.outside = self.outside.saturating_add(other.outside);
        self.lost = self.lost.saturating_add(other.lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_answered_outside_unknown_or_none_at_all() {
        let fine = CallFacts { reached: true, answered: true, ..CallFacts::default() };
        for (call, known) in [
            (CallFacts::default(), Some(Calls::default())),
            (fine, None),
            (CallFacts { heard: true, ..fine }, Some(Calls { made: 1, answered: 1, ..Calls::default() })),
            (CallFacts { sampled: true, ..fine }, Some(Calls { made: 1, outside: 1, ..Calls::default() })),
            (CallFacts { sampled: true, answered: false, ..fine }, None),
        ] {
            assert_eq!(Calls::of_call(call), known, "{call:?}");
        }
    }

    #[test]
    fn every_call_that_was_made_is_one_of_three() {
        let mut sum = Calls::default();
        for fate in [Fate::Answered, Fate::Outside, Fate::Outside, Fate::Lost] {
            sum += Calls::decided(fate);
        }
        assert_eq!(sum, Calls { made: 4, answered: 1, outside: 2, lost: 1 });
    }
}
