//! Whether a share of requests is far from what is usual for it.
//!
//! The usual share and its scatter are learned over an hour. What is unusual is above twice the usual share and five deviations away from
//! it, twice running; the deviation is what chance makes of so many requests, or what was learned, whichever is larger.

use super::settings::INTERVAL_S;

/// Seconds after which a share is taken however few requests there were.
const LONGEST_S: f64 = 60.0;
/// Seconds that are remembered.
const MEMORY_S: f64 = 3_600.0;
/// Requests and seconds before there is a usual share.
const READY_REQUESTS: f64 = 1_000.0;
const READY_S: f64 = 60.0;
/// Requests that must have gone wrong in a window: fewer may be a client's.
const LEAST: f64 = 5.0;
/// Five deviations, squared.
const DEVIATIONS: f64 = 25.0;
/// Unusual windows count so much less in what is learned: they become the usual in hours, not in minutes.
const UNUSUAL: f64 = 0.25;

/// What is known of one share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Alarm {
    /// Requests of the window that is open, and those that went wrong.
    pub requests: f64,
    pub wrong: f64,
    /// When it began, in seconds.
    pub began: f64,
    /// What is remembered of earlier windows: seconds, requests, those that went wrong, and the variance of the share.
    pub seconds: f64,
    pub learned: f64,
    pub learned_wrong: f64,
    pub variance: f64,
    /// Unusual windows running.
    pub running: f64,
    /// The share of the last window.
    pub share: f64,
}

impl Alarm {
    /// Counts requests.
    pub fn add(&mut self, requests: u32, wrong: u32) {
        self.requests += f64::from(requests);
        self.wrong += f64::from(wrong);
    }

    /// The usual share; 0 until it is known.
    pub fn usual(&self) -> f64 {
        if 0.0 < self.learned { self.learned_wrong / self.learned } else { 0.0 }
    }

    /// Two windows running were unusual.
    pub fn is_raised(&self) -> bool {
        2.0 <= self.running
    }

    /// Judges the window that is open if it is over, and opens the next one.
    pub fn look(&mut self, now: f64, min_requests: f64) {
        let age = now - self.began;
        if !(0.0..=2.0 * LONGEST_S).contains(&age) {
            self.running = 0.0;
            return self.open(now); // The clock was set, or no step was taken: what was counted is of no known time.
        }
        if age < INTERVAL_S || self.requests < min_requests && age < LONGEST_S {
            return;
        }
        if 0.0 < self.requests {
            self.share = self.wrong / self.requests;
            let is_unusual = self.is_unusual();
            self.running = if is_unusual { self.running + 1.0 } else { 0.0 };
            self.learn(age, is_unusual);
        } else {
            self.running = 0.0; // Nothing goes wrong where nothing is asked for.
        }
        self.open(now);
    }

    fn open(&mut self, now: f64) {
        (self.requests, self.wrong, self.began) = (0.0, 0.0, now);
    }

    fn is_unusual(&self) -> bool {
        if self.learned < READY_REQUESTS || self.seconds < READY_S || self.wrong < LEAST {
            return false;
        }
        // As large as the usual share may be by what was seen of it.
        let usual = ((self.learned_wrong + 3.0 * self.learned_wrong.sqrt() + 3.0) / self.learned).min(1.0);
        let by_chance = usual * (1.0 - usual) / self.requests;
        let away = self.share - usual;
        2.0 * usual < self.share && DEVIATIONS * by_chance.max(self.variance) < away * away
    }

    fn learn(&mut self, age: f64, is_unusual: bool) {
        let weight = if is_unusual { UNUSUAL } else { 1.0 };
        if !is_unusual && 0.0 < self.learned {
            let away = self.share - self.usual();
            self.variance += (away * away - self.variance) * age / (self.seconds + age);
        }
        let over = (self.seconds + weight * age - MEMORY_S).max(0.0);
        let kept = 1.0 - over / MEMORY_S;
        self.seconds += weight * age - over;
        self.learned = self.learned * kept + weight * self.requests;
        self.learned_wrong = self.learned_wrong * kept + weight * self.wrong;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of five seconds with so many requests, of which so many go wrong.
    fn windows(alarm: &mut Alarm, now: &mut f64, count: u32, (requests, wrong): (u32, u32)) {
        for _ in 0..count {
            alarm.add(requests, wrong);
            *now += INTERVAL_S;
            alarm.look(*now, 200.0);
        }
    }

    #[test]
    fn two_windows_running_raise_it_and_a_usual_one_ends_it() {
        let (mut alarm, mut now) = (Alarm { began: 1e9, ..Alarm::default() }, 1e9);
        windows(&mut alarm, &mut now, 20, (2_500, 5));
        assert!((alarm.usual() - 0.002).abs() < 1e-9);
        windows(&mut alarm, &mut now, 1, (2_500, 50));
        assert!(!alarm.is_raised());
        windows(&mut alarm, &mut now, 1, (2_500, 50));
        assert!(alarm.is_raised());
        windows(&mut alarm, &mut now, 1, (2_500, 5));
        assert!(!alarm.is_raised());
    }

    #[test]
    fn a_pause_in_traffic_ends_it() {
        for step in [INTERVAL_S, 3.0 * LONGEST_S] {
            let (mut alarm, mut now) = (Alarm { began: 1e9, ..Alarm::default() }, 1e9);
            windows(&mut alarm, &mut now, 20, (2_500, 5));
            windows(&mut alarm, &mut now, 2, (2_500, 500));
            assert!(alarm.is_raised());
            for _ in 0..13 {
                now += step;
                alarm.look(now, 200.0);
            }
            assert!(!alarm.is_raised(), "steps of {step} s: {alarm:?}");
        }
    }

    #[test]
    fn nothing_is_unusual_before_the_usual_is_known() {
        let (mut alarm, mut now) = (Alarm { began: 1e9, ..Alarm::default() }, 1e9);
        windows(&mut alarm, &mut now, 12, (2_500, 2_500));
        assert!(!alarm.is_raised());
    }

    #[test]
    fn a_share_that_stays_becomes_the_usual_one() {
        let (mut alarm, mut now) = (Alarm { began: 1e9, ..Alarm::default() }, 1e9);
        windows(&mut alarm, &mut now, 720, (2_500, 5));
        windows(&mut alarm, &mut now, 1_200, (2_500, 50));
        assert!(alarm.is_raised(), "for more than an hour and a half: {alarm:?}");
        windows(&mut alarm, &mut now, 2_400, (2_500, 50));
        assert!(!alarm.is_raised(), "{alarm:?}");
    }

    #[test]
    fn few_requests_make_a_longer_window_and_a_lone_failure_no_alarm() {
        let (mut alarm, mut now) = (Alarm { began: 1e9, ..Alarm::default() }, 1e9);
        windows(&mut alarm, &mut now, 1_000, (25, 0));
        assert_eq!(alarm.requests, 0.0, "40 seconds are a window: {alarm:?}");
        for _ in 0..8 {
            windows(&mut alarm, &mut now, 1, (1, 1));
            windows(&mut alarm, &mut now, 2, (0, 0));
        }
        assert_eq!((alarm.requests, alarm.share), (0.0, 1.0), "a minute is the longest window: {alarm:?}");
        assert!(!alarm.is_raised(), "four are too few");
        now -= 500.0;
        windows(&mut alarm, &mut now, 1, (25, 0));
        assert_eq!(alarm.requests, 0.0, "the clock was set back");
    }
}
