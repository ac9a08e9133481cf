//! The decision of the request phase, and what an exported span says about it. The flag has authority over *whether* a
//! trace is sampled; `th` only tells how many traces a sampled one stands for.

use super::policy::{Mode, Policy};
use super::rate::Rate;
use super::sampler::Verdict;
use super::threshold::{Randomness, Threshold};
use crate::trace_context::{ThEdit, TraceId};

/// What a caller decided. A caller that deferred its decision is no `Parent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its `sampled` flag.
    pub sampled: bool,
    /// Its `th`.
    pub threshold: Option<Threshold>,
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The caller's flag.
    Parent,
    /// The ratio of this rule.
    Rule {
        /// Into `Policy::rules`.
        index: u16,
    },
    /// The fallback's ratio.
    Ratio,
    /// A sampling rule of AWS X-Ray.
    XRay,
    /// A failure had upgraded the trace before this request was made: it goes on sampled.
    Upgraded,
    /// The rate in force, which follows a target or is raised for a while.
    Adaptive,
    /// A token asked for it.
    Forced {
        /// The place of its key in the configuration.
        key: u8,
    },
}

impl Reason {
    /// All names, by [`Self::index`].
    pub const NAMES: [&'static str; 7] = ["parent", "rule", "ratio", "xray", "upgraded", "forced", "adaptive"];

    /// The place of its name.
    pub const fn index(self) -> u8 {
        match self {
            Self::Parent => 0,
            Self::Rule { .. } => 1,
            Self::Ratio => 2,
            Self::XRay => 3,
            Self::Upgraded => 4,
            Self::Forced { .. } => 5,
            Self::Adaptive => 6,
        }
    }

    /// The name in counters and on spans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Rule { .. } => "rule",
            Self::Ratio => "ratio",
            Self::XRay => "xray",
            Self::Upgraded => "upgraded",
            Self::Forced { .. } => "forced",
            Self::Adaptive => "adaptive",
        }
    }
}

/// Whether a trace is sampled, why, and what the upstream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The flag that goes upstream; the span is exported.
    pub sampled: bool,
    /// Who decided.
    pub reason: Reason,
    /// The known probability of having been sampled. Always `None` when not sampled.
    pub threshold: Option<Threshold>,
    /// What becomes of the incoming `th` on its way upstream. `Set` only when sampled.
    pub th: ThEdit,
    /// A sampled parent whose `th` would have dropped this R: one of both is wrong, so the `th` is erased.
    pub inconsistent: bool,
}

/// Decides one request: `rule` is what [`Policy::first_match`] said, `rate` is in force in place of the fallback, `parent` is `None` for a
/// root and for a caller that deferred. Where the parent's decision stands, a rule has no say in it.
pub fn decide(
    policy: &Policy,
    (rule, rate): (Option<u16>, Option<Rate>),
    parent: Option<&Parent>,
    trace_id: TraceId,
    randomness: Randomness,
) -> Decision {
    match parent {
        Some(parent) if policy.mode == Mode::ParentBased => follow(parent, randomness),
        _ => sample(policy, (rule, rate), trace_id, randomness),
    }
}

fn follow(parent: &Parent, randomness: Randomness) -> Decision {
    let reason = Reason::Parent;
    let (threshold, th, inconsistent) = match parent.threshold {
        _ if !parent.sampled => (None, ThEdit::Erase, false),
        Some(threshold) if !threshold.keeps(randomness) => (None, ThEdit::Erase, true),
        known_or_not => (known_or_not, ThEdit::Keep, false),
    };
    Decision { sampled: parent.sampled, reason, threshold, th, inconsistent }
}

fn sample(
    policy: &Policy,
    (rule, rate): (Option<u16>, Option<Rate>),
    trace_id: TraceId,
    randomness: Randomness,
) -> Decision {
    let own = rule.and_then(|index| Some((Reason::Rule { index }, policy.rule(rule)?.sampler?)));
    let (reason, Verdict { keep, threshold }) = match (own, rate) {
        (None, Some(rate)) => (Reason::Adaptive, by_rate(rate, randomness)),
        (own, _) => {
            let (reason, sampler) = own.unwrap_or((Reason::Ratio, policy.fallback));
            (reason, sampler.sample(trace_id, randomness))
        }
    };
    let th = threshold.map_or(ThEdit::Erase, |threshold| ThEdit::Set(threshold.bits()));
    Decision { sampled: keep, reason, threshold, th, inconsistent: false }
}

fn by_rate(rate: Rate, randomness: Randomness) -> Verdict {
    let threshold = rate.threshold().filter(|threshold| threshold.keeps(randomness));
    Verdict { keep: threshold.is_some(), threshold }
}

/// Which class of traces an exported span stands for. Classes follow from outcome and time only, never from R; without
/// that, thresholds would not count right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportClass {
    /// Sampled by the request phase, with nothing special since.
    Head,
    /// Of a class kept whole: an error, or a slow request, that the budget admitted, *also when the head had sampled it*.
    KeptWhole,
    /// Kept because the upstream said that it sampled; how probable that was is not known here.
    Signalled,
}

impl Decision {
    /// The decision for a later call of a trace that was upgraded: sampled, with a probability that nobody knows.
    pub const UPGRADED: Self =
        Self { sampled: true, reason: Reason::Upgraded, threshold: None, th: ThEdit::Erase, inconsistent: false };

    /// The decision for a request with a token, whoever decided before: it is of a class that is kept whole, since a token comes and is
    /// charged whatever R is.
    pub const fn forced(key: u8) -> Self {
        Self {
            sampled: true,
            reason: Reason::Forced { key },
            threshold: Some(Threshold::ALWAYS),
            th: ThEdit::Set(Threshold::ALWAYS.bits()),
            inconsistent: false,
        }
    }

    /// The threshold by which an exported span of this class counts; `None`: it cannot be counted. The lower of the head's
    /// and the class's: what two ways could have kept was as likely to be kept as by the likelier one.
    pub fn exported_threshold(&self, class: ExportClass) -> Option<Threshold> {
        match class {
            ExportClass::Head | ExportClass::Signalled => self.threshold, // A signalled trace that was dropped has none.
            ExportClass::KeptWhole => Some(Threshold::ALWAYS),
        }
    }
}

/// What becomes of the incoming `th` in the `trace_state` of an exported span, where it may differ from what went upstream:
/// the children keep the head's threshold, by which they were kept.
pub fn exported_th(decision: &Decision, class: ExportClass) -> ThEdit {
    match class {
        ExportClass::Head | ExportClass::Signalled => decision.th, // Not sampled is `Erase` already.
        ExportClass::KeptWhole => ThEdit::Set(Threshold::ALWAYS.bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::matcher::RequestMatcher;
    use super::super::policy::Rule;
    use super::super::sampler::{Algorithm, Sampler};
    use super::*;

    const LOW: Randomness = Randomness::from_rv(0x10_0000_0000_0000);
    const HIGH: Randomness = Randomness::from_rv(0xf0_0000_0000_0000);

    fn th(text: &str) -> Threshold {
        Threshold::parse(text.as_bytes()).unwrap()
    }

    fn id() -> TraceId {
        TraceId::from_u128(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736).unwrap()
    }

    fn sampler(ratio: f64) -> Sampler {
        Sampler::new(Algorithm::Consistent, ratio).unwrap()
    }

    /// Fallback 50 %, a rule of 100 %, one of 0 % and one without a ratio.
    fn policy(mode: Mode) -> Policy {
        let rule = |sampler| Rule {
            name: String::new(),
            matcher: RequestMatcher::default(),
            sampler,
            upgrade: true,
            latency_ms: None,
            metrics: true,
        };
        let rules = vec![rule(Some(sampler(1.0))), rule(Some(sampler(0.0))), rule(None)];
        Policy { mode, fallback: sampler(0.5), pace: None, rules }
    }

    fn sampled(reason: Reason, threshold: Option<Threshold>, th: ThEdit) -> Decision {
        Decision { sampled: true, reason, threshold, th, inconsistent: false }
    }

    fn dropped(reason: Reason) -> Decision {
        Decision { sampled: false, reason, threshold: None, th: ThEdit::Erase, inconsistent: false }
    }

    #[test]
    fn a_parents_flag_decides_and_its_th_only_counts() {
        let policy = policy(Mode::ParentBased);
        let inconsistent = Decision { inconsistent: true, ..sampled(Reason::Parent, None, ThEdit::Erase) };
        let cases = [
            (true, None, LOW, sampled(Reason::Parent, None, ThEdit::Keep)),
            (true, Some(th("e666")), HIGH, sampled(Reason::Parent, Some(th("e666")), ThEdit::Keep)),
            (true, Some(th("1")), LOW, sampled(Reason::Parent, Some(th("1")), ThEdit::Keep)),
            (true, Some(th("e666")), LOW, inconsistent),
            (false, None, HIGH, dropped(Reason::Parent)),
            (false, Some(th("0")), HIGH, dropped(Reason::Parent)),
            (false, Some(th("e666")), LOW, dropped(Reason::Parent)),
        ];
        for (flag, threshold, randomness, wanted) in cases {
            let parent = Parent { sampled: flag, threshold };
            for rule in [None, Some(0), Some(1), Some(2)] {
                let decision = decide(&policy, (rule, None), Some(&parent), id(), randomness);
                assert_eq!(decision, wanted, "{parent:?} {randomness:?} rule {rule:?}");
            }
        }
    }

    #[test]
    fn without_a_parent_or_in_independent_mode_the_ratio_decides() {
        let half = ThEdit::Set(th("8").bits());
        let first = Reason::Rule { index: 0 };
        let cases = [
            (None, HIGH, sampled(Reason::Ratio, Some(th("8")), half)),
            (None, LOW, dropped(Reason::Ratio)),
            (Some(0), LOW, sampled(first, Some(Threshold::ALWAYS), ThEdit::Set(0))),
            (Some(1), HIGH, dropped(Reason::Rule { index: 1 })),
            (Some(2), HIGH, sampled(Reason::Ratio, Some(th("8")), half)),
            (Some(2), LOW, dropped(Reason::Ratio)),
            (Some(99), LOW, dropped(Reason::Ratio)),
        ];
        let parents = [
            Parent { sampled: true, threshold: None },
            Parent { sampled: true, threshold: Some(th("f")) },
            Parent { sampled: false, threshold: Some(th("0")) },
        ];
        for (rule, randomness, wanted) in cases {
            let root = decide(&policy(Mode::ParentBased), (rule, None), None, id(), randomness);
            assert_eq!(root, wanted, "root, rule {rule:?}, {randomness:?}");
            for parent in &parents {
                let decision = decide(&policy(Mode::Independent), (rule, None), Some(parent), id(), randomness);
                assert_eq!(decision, wanted, "{parent:?}, rule {rule:?}, {randomness:?}");
            }
        }
    }

    #[test]
    fn a_rate_in_force_decides_what_no_rule_with_a_ratio_does() {
        let tenth = Some(Rate::new(0.1));
        let threshold = sampler(0.1).threshold();
        let by_rate = sampled(Reason::Adaptive, threshold, ThEdit::Set(threshold.map_or(0, Threshold::bits)));
        for (rule, randomness, wanted) in [
            (None, HIGH, by_rate),
            (None, Randomness::from_rv(0xe0_0000_0000_0000), dropped(Reason::Adaptive)),
            (Some(1), HIGH, dropped(Reason::Rule { index: 1 })),
            (Some(2), HIGH, by_rate),
        ] {
            let decision = decide(&policy(Mode::ParentBased), (rule, tenth), None, id(), randomness);
            assert_eq!(decision, wanted, "rule {rule:?}, {randomness:?}");
        }
        let parent = Parent { sampled: true, threshold: None };
        let followed = decide(&policy(Mode::ParentBased), (None, Some(Rate::new(0.0))), Some(&parent), id(), LOW);
        assert_eq!(followed.reason, Reason::Parent);
    }

    #[test]
    fn an_algorithm_that_does_not_read_r_erases_the_th_it_meets() {
        let fallback = Sampler::new(Algorithm::Modulo, 1.0).unwrap();
        let policy = Policy { mode: Mode::Independent, fallback, pace: None, rules: Vec::new() };
        let parent = Parent { sampled: true, threshold: Some(th("8")) };
        let decision = decide(&policy, (None, None), Some(&parent), id(), HIGH);
        assert_eq!(decision, sampled(Reason::Ratio, None, ThEdit::Erase));
    }

    #[test]
    fn an_exported_span_counts_by_its_class() {
        use ExportClass::{Head, KeptWhole, Signalled};
        let head = sampled(Reason::Ratio, Some(th("e666")), ThEdit::Set(th("e666").bits()));
        let from_parent = sampled(Reason::Parent, Some(th("c")), ThEdit::Keep);
        let unknown = sampled(Reason::Parent, None, ThEdit::Keep);
        let missed = dropped(Reason::Ratio);
        let whole = (Some(Threshold::ALWAYS), ThEdit::Set(0));
        let cases = [
            (head, Head, (Some(th("e666")), head.th)),
            (head, KeptWhole, whole),
            (head, Signalled, (Some(th("e666")), head.th)),
            (from_parent, Head, (Some(th("c")), ThEdit::Keep)),
            (from_parent, KeptWhole, whole),
            (unknown, Head, (None, ThEdit::Keep)),
            (unknown, KeptWhole, whole),
            (missed, KeptWhole, whole),
            (missed, Signalled, (None, ThEdit::Erase)),
        ];
        for (decision, class, wanted) in cases {
            let found = (decision.exported_threshold(class), exported_th(&decision, class));
            assert_eq!(found, wanted, "{decision:?} {class:?}");
        }
    }
}
