//! Bounds that win over the target: which does now, and what of it is worth a line in the log. Traffic that comes and goes meets a bound
//! again and again; that is one line, and one more once the bound is left for good.

/// Seconds after which a bound that does not win any more is said to be left.
const AWAY_S: f64 = 300.0;
/// A bound is left once there is so much room.
const ROOM: f64 = 1.25;
/// Ratios are kept in four bytes: what they differ by is less than this share.
const TINY: f64 = 1e-6;

/// A bound that wins over the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `min_ratio`: more is kept than the target allows.
    Min,
    /// `max_ratio`: less is kept than the target allows.
    Max,
}

/// A bound was hit or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundChange {
    /// It wins, which was not said yet.
    Hit(Bound),
    /// The target has been kept for minutes. So many times it was hit again before.
    Left(Bound, u32),
}

/// Traces a second.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Those that the bounds keep of what is offered.
    pub least: f64,
    pub most: f64,
    /// What the rates may keep.
    pub budget: f64,
    /// What they keep.
    pub kept: f64,
}

/// Where it stands; all numbers are shared as such.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// The bound that wins, as a number; 0: none.
    pub wins: f64,
    /// The one that was logged, and not yet that it was left.
    pub logged: f64,
    /// Seconds at which that one ceased to win; 0 where it wins.
    pub left: f64,
    /// How many times it has won again since it was logged.
    pub again: f64,
}

impl Bounds {
    /// The bound that wins.
    pub fn wins(&self) -> Option<Bound> {
        bound(self.wins)
    }

    /// An interval is over.
    pub fn step(&mut self, flow: &Flow, now: f64) -> Option<BoundChange> {
        let wins = winner(self.wins(), flow);
        self.wins = number(wins);
        let Some(logged) = bound(self.logged) else {
            self.logged = self.wins;
            return wins.map(BoundChange::Hit);
        };
        if wins == Some(logged) {
            self.again += f64::from(u8::from(self.left != 0.0));
            self.left = 0.0;
            return None;
        }
        if self.left == 0.0 {
            self.left = now;
        }
        if (0.0..AWAY_S).contains(&(now - self.left)) {
            return None;
        }
        let again = self.again as u32;
        *self = Self { wins: self.wins, logged: self.wins, left: 0.0, again: 0.0 };
        Some(wins.map_or(BoundChange::Left(logged, again), BoundChange::Hit))
    }
}

fn winner(before: Option<Bound>, flow: &Flow) -> Option<Bound> {
    let Flow { least, most, budget, kept } = *flow;
    // While the ratio is still rising it is not the bound that holds it down.
    let is_highest = most <= kept * (1.0 + TINY);
    match before {
        Some(Bound::Min) if budget < ROOM * least => before,
        Some(Bound::Max) if most < ROOM * budget => before,
        _ if budget <= least => Some(Bound::Min),
        _ if most <= budget && is_highest => Some(Bound::Max),
        _ => None,
    }
}

fn bound(number: f64) -> Option<Bound> {
    [None, Some(Bound::Min), Some(Bound::Max)].get(number as usize).copied().flatten()
}

fn number(bound: Option<Bound>) -> f64 {
    bound.map_or(0.0, |bound| if bound == Bound::Min { 1.0 } else { 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `min_ratio` wins, or the target is kept.
    fn flow(is_hit: bool) -> Flow {
        Flow { least: if is_hit { 2.0 } else { 0.1 }, most: 1_000.0, budget: 1.0, kept: 2.0 }
    }

    /// Seconds and changes, by what wins in each interval of five seconds.
    fn changes(intervals: u32, is_hit: impl Fn(u32) -> bool) -> (Vec<(u32, BoundChange)>, Bounds) {
        let mut bounds = Bounds::default();
        let at = (0..intervals).map(|interval| 5 * interval);
        let changes = at.filter_map(|at| Some((at, bounds.step(&flow(is_hit(at)), 1e9 + f64::from(at))?)));
        let changes = changes.collect();
        (changes, bounds)
    }

    #[test]
    fn traffic_that_comes_and_goes_makes_two_lines() {
        let (changes, bounds) = changes(1_000, |at| at < 3_000 && at % 60 < 30);
        assert_eq!(changes, [(0, BoundChange::Hit(Bound::Min)), (3_270, BoundChange::Left(Bound::Min, 49))]);
        assert_eq!(bounds, Bounds::default());
    }

    #[test]
    fn what_wins_is_known_at_once() {
        let (_, bounds) = changes(13, |at| at < 60);
        assert_eq!((bounds.wins(), bounds.logged, bounds.left), (None, 1.0, 1e9 + 60.0));
    }

    #[test]
    fn another_bound_is_logged_once_the_first_is_left_for_long() {
        let mut bounds = Bounds::default();
        let most = Flow { least: 0.1, most: 0.5, budget: 1.0, kept: 0.5 };
        assert_eq!(bounds.step(&flow(true), 1e9), Some(BoundChange::Hit(Bound::Min)));
        assert_eq!(bounds.step(&most, 1e9 + 5.0), None);
        assert_eq!(bounds.wins(), Some(Bound::Max));
        assert_eq!(bounds.step(&most, 1e9 + 305.0), Some(BoundChange::Hit(Bound::Max)));
        assert_eq!(bounds.step(&most, 1e9 + 310.0), None);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_no_line_up() {
        let mut bounds = Bounds::default();
        assert_eq!(bounds.step(&flow(true), 1e9), Some(BoundChange::Hit(Bound::Min)));
        assert_eq!(bounds.step(&flow(false), 1e9 + 5.0), None);
        assert_eq!(bounds.step(&flow(false), 1e8), Some(BoundChange::Left(Bound::Min, 0)));
    }
}
