//! What the log says of exports of request metrics that fail: each kind of problem once, until an export succeeds.

use crate::door::{Host, Level};
use crate::export::Problem;

/// Kinds of problems: they have different causes, so that one does not hide another.
#[derive(Clone, Copy)]
enum Kind {
    NoPipeline,
    Credentials,
    NotSent,
    NoAnswer,
    Rejected,
    TooLarge,
    Other,
}

impl Kind {
    /// `may_have_arrived`: whether the collector may have the points.
    fn of(problem: &Problem, may_have_arrived: bool) -> Self {
        match problem {
            Problem::Http { status: 404 | 405 } | Problem::Grpc { code: 12 } => Self::NoPipeline,
            Problem::Http { status: 401 | 403 } | Problem::Grpc { code: 7 | 16 } => Self::Credentials,
            Problem::Http { status: 413 } | Problem::Grpc { code: 8 } => Self::TooLarge,
            Problem::NoAnswer | Problem::NoCallback => Self::NoAnswer,
            Problem::Http { status: 502..=504 } | Problem::Grpc { code: 4 | 14 } if may_have_arrived => Self::NoAnswer,
            Problem::Http { status: 503 } | Problem::Grpc { code: 14 } | Problem::NotDispatched { .. } => Self::NotSent,
            _ => Self::Other,
        }
    }
}

/// Since exports last succeeded.
#[derive(Default)]
pub(super) struct Trouble {
    /// A bit for each kind that was logged.
    logged: u8,
    /// Nothing is logged any more.
    pub(super) is_over: bool,
}

impl Trouble {
    /// An export failed; `to` is its cluster and path.
    pub(super) fn failed(
        &mut self,
        host: &impl Host,
        to: [&str; 2],
        (problem, detail): (&Problem, &str),
        may_have_arrived: bool,
    ) {
        let kind = Kind::of(problem, may_have_arrived);
        let advice = match kind {
            Kind::NoPipeline => {
                "The collector has no pipeline for metrics: add the OTLP receiver to one, or set `metrics.enabled` to false. Spans are \
                 not affected."
            }
            Kind::NoAnswer if !matches!(problem, Problem::NoAnswer | Problem::NoCallback) => {
                "The connection ended before the answer: let the collector keep idle connections for longer than `metrics.interval_ms`. \
                 With `delta` these points are counted as lost."
            }
            Kind::Credentials | Kind::NotSent | Kind::NoAnswer => problem.advice(),
            Kind::TooLarge => "Set `metrics.max_series` lower, or raise what the collector accepts.",
            Kind::Rejected | Kind::Other => "The collector's own log says more.",
        };
        let separator = if detail.is_empty() { "" } else { ": " };
        self.log(host, to, kind, &[&problem.to_string(), separator, detail, ". ", advice]);
    }

    /// An export was taken but for so many points.
    pub(super) fn took(&mut self, host: &impl Host, to: [&str; 2], rejected: u64, detail: &str) {
        if rejected != 0 {
            let words =
                ["the collector rejected ", &rejected.to_string(), " points: ", detail, ". Its own log says more."];
            self.log(host, to, Kind::Rejected, &words);
        } else if std::mem::take(&mut self.logged) != 0 && !self.is_over {
            host.log(Level::Info, "tracelift: request metrics: exports succeed again");
        }
    }

    fn log(&mut self, host: &impl Host, [cluster, path]: [&str; 2], kind: Kind, words: &[&str]) {
        let bit = 1 << kind as u8;
        if self.logged & bit == 0 && !self.is_over {
            self.logged |= bit;
            let begin = ["tracelift: request metrics: cluster \"", cluster, "\", ", path, ": "];
            host.log(Level::Warn, &[&begin, words].concat().concat());
        }
    }
}
