//! Those who lie: a share of the clients outside, and of the pods' applications. What they say is drawn by the seed, from
//! randomness of its own, so that the honest part of a run stays as it is.

use std::collections::{BTreeSet, VecDeque};

use super::call::Ending;
use super::context::Context;
use super::hop::HopId;
use super::marks::{self, MARK};
use super::options::Options;
use super::serving::ServingId;
use super::simulation::Mesh;
use super::topology::PodId;
use crate::Headers;
use crate::random::SeededRandom;

/// How often an application that lies does so.
const OFTEN: f64 = 0.6;
/// Trace-ids that clients repeat for ever.
const REPEATED: usize = 3;
/// Traces that liars remember, to speak of them elsewhere.
const REMEMBERED: usize = 64;

/// Who lies, and what they know.
#[derive(Debug)]
pub(crate) struct Liars {
    share: f64,
    pub(crate) random: SeededRandom,
    pods: BTreeSet<PodId>,
    repeated: Vec<u128>,
    seen: VecDeque<u128>,
    /// Recalls that were sent to them.
    pub(crate) captured: VecDeque<Headers>,
    pub(crate) figures: Lies,
}

/// What liars did, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lies {
    /// Pods whose application lies.
    pub pods: usize,
    /// Answers with marks that no filter wrote, or with what SDKs write of a trace.
    pub answers: usize,
    /// Healthy hops that were kept because of one, the hops above included.
    pub believed: usize,
    /// Failures that were shed because of one, the hops above included.
    pub hidden: usize,
    /// Requests of clients that chose their trace-id or their randomness.
    pub chosen: usize,
    /// Of these: the ones that the head sampled.
    pub sampled: usize,
    /// Recalls that they made up or had stolen, and sent to others.
    pub recalls: usize,
    /// Requests of traces that were upgraded already, and were not kept for that reason.
    pub joins_refused: u64,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug)]
enum Tale {
    Upgraded,
    Shed,
    Kept,
    Others,
    Several,
    TooMany,
    TooLong,
    Garbage,
    /// `traceresponse` as the SDKs write it, which is no lie.
    Sdk(u8),
    /// That, and `Server-Timing`: the signal of version 1.
    Timing(u8),
}

const TALES: [Tale; 13] = [
    Tale::Upgraded,
    Tale::Shed,
    Tale::Shed,
    Tale::Kept,
    Tale::Others,
    Tale::Several,
    Tale::TooMany,
    Tale::TooLong,
    Tale::Garbage,
    Tale::Sdk(0),
    Tale::Sdk(1),
    Tale::Timing(0),
    Tale::Timing(1),
];

impl Liars {
    pub(crate) fn choose(options: &Options) -> Self {
        let mut random = SeededRandom::new(options.seed, u64::MAX - 1);
        let pods: BTreeSet<PodId> = (1..=options.pods).filter(|_| random.chance(options.liars)).collect();
        let repeated = (0..REPEATED).map(|_| id(random.next(), random.next())).collect();
        let figures = Lies { pods: pods.len(), ..Lies::default() };
        Self { share: options.liars, random, pods, repeated, seen: VecDeque::new(), captured: VecDeque::new(), figures }
    }

    /// Whether a pod's application lies.
    pub(crate) fn has(&self, pod: PodId) -> bool {
        self.pods.contains(&pod)
    }

    /// Whether clients repeat this trace-id: what one request made of it, others find.
    pub(crate) fn repeat(&self, trace: u128) -> bool {
        self.repeated.contains(&trace)
    }

    /// What a client that lies sends along; `None` if this one is honest.
    pub(crate) fn context(&mut self) -> Option<Context> {
        if self.share == 0.0 || !self.random.chance(self.share) {
            return None;
        }
        let (high, low, span) = (self.random.next(), self.random.next(), self.random.next() | 1);
        let (edge, flags) = (self.random.below(256) as u64, self.random.below(2));
        let mut headers = Headers::new();
        let (mut trace, number) = (id(high, low), self.random.below(6));
        match number {
            0 => trace = self.repeated[self.random.below(REPEATED)],
            1 => trace = id(high, low | 0x00ff_ffff_ffff_ffff ^ edge),
            2 => trace = id(high, edge + 1),
            3 => headers.add("tracestate", format!("ot=rv:ffffffffffff{edge:02x}")),
            4 => headers.add("tracestate", format!("other=1,ot=rv:000000000000{edge:02x};th:0")),
            _ => return Some(Context { headers: self.recall_mark(), ..Context::default() }),
        }
        headers.add("traceparent", format!("00-{trace:032x}-{span:016x}-0{flags}"));
        headers.add(MARK, format!("2;upgraded;{trace:032x}"));
        Some(Context { headers, ..Context::default() })
    }

    /// A recall, as far as somebody outside can write one.
    fn recall_mark(&mut self) -> Headers {
        let (version, trace) = (1 + self.random.below(2), self.another());
        let mut headers = Headers::from([("x-tracelift-token", "a-guess"), ("x-tracelift-mac", "1;1764371000;00")]);
        headers.add("traceparent", format!("ff-tracelift-recall-{version}"));
        headers.add("x-tracelift-recall", format!("{version};{trace:032x}"));
        headers
    }

    /// Some trace: one that was seen, or none.
    pub(crate) fn another(&mut self) -> u128 {
        let random = id(self.random.next(), self.random.next());
        let seen = self.random.below(REMEMBERED);
        self.seen.get(seen).copied().unwrap_or(random)
    }

    /// Adds to an answer for this trace what its application would have others believe.
    fn tell(&mut self, trace: u128, headers: &mut Headers) {
        let (other, span) = (self.another(), self.random.next() | 1);
        let mark = |word: &str, trace: u128| format!("2;{word};{trace:032x}");
        let context = |flags: u8| format!("00-{trace:032x}-{span:016x}-0{flags}");
        match TALES[self.random.below(TALES.len())] {
            Tale::Upgraded => headers.add(MARK, mark("upgraded", trace)),
            Tale::Shed => headers.add(MARK, mark("shed", trace)),
            Tale::Kept => headers.add(MARK, [mark("kept", trace), mark("here", trace)].join(", ")),
            Tale::Others => headers.add(MARK, [mark("upgraded", other), mark("shed", other)].join(",")),
            Tale::Several => {
                headers.add(MARK, mark("shed", trace));
                headers.add(MARK, format!("{},{};p=1", mark("upgraded", other), mark("upgraded", trace)));
            }
            Tale::TooMany => {
                headers.add(MARK, [mark("here", other).as_str(); 4].join(",") + "," + &mark("shed", trace))
            }
            Tale::TooLong => headers.add(MARK, format!("{};{}", mark("upgraded", trace), "x".repeat(600))),
            Tale::Garbage => {
                let length = self.random.below(80);
                // What HTTP lets pass.
                let allowed = |byte: &u8| !matches!(byte, 0 | b'\r' | b'\n');
                let bytes: Vec<u8> = self.random.bytes(length).into_iter().filter(allowed).collect();
                headers.add(MARK, &bytes);
                headers.add("traceresponse", bytes);
            }
            Tale::Sdk(flags) => headers.add("traceresponse", context(flags)),
            Tale::Timing(flags) => {
                headers.add("traceresponse", context(flags));
                headers.add("server-timing", format!("db;dur=53, trace;desc={}", context(flags)));
            }
        }
    }

    fn remember(&mut self, trace: u128) {
        self.seen.push_front(trace);
        self.seen.truncate(REMEMBERED);
    }
}

impl Mesh {
    /// An application that lies writes into its answer what no filter said.
    pub(crate) fn lie(&mut self, id: ServingId, headers: &mut Headers, ending: &mut Ending) {
        let Some(serving) = self.servings.get_mut(&id) else { return };
        let liars = &mut self.liars;
        let Some(trace) = serving.trace.filter(|_| liars.has(serving.pod) && liars.random.chance(OFTEN)) else {
            return;
        };
        liars.tell(trace, headers);
        if let Ending::Trailers(trailers) = ending {
            liars.tell(trace, trailers);
        }
        liars.remember(trace);
        liars.figures.answers += 1;
        serving.lied = true;
        let (call, attempt) = (serving.call, serving.attempt);
        if let Some(call) = self.waiting(call, attempt) {
            call.lied = true;
        }
        self.forge_recall();
    }

    /// A hop hears an answer whose application has lied; `part` is 0 for headers and 1 for trailers.
    pub(crate) fn hear_lie(&mut self, hop: HopId, part: usize, headers: &Headers) {
        self.hops[hop].lied[part] = marks::read(headers, self.hops[hop].trace);
    }

    /// Counts a request whose client chose its ids.
    pub(crate) fn count_choice(&mut self, hop: HopId) {
        self.liars.figures.chosen += 1;
        self.liars.figures.sampled += usize::from(self.hops[hop].sampled);
    }

    /// Whoever chooses trace-ids or randomness is sampled as often as everybody else.
    pub(crate) fn check_choices(&mut self) {
        let Lies { chosen, sampled, .. } = self.liars.figures;
        let (all, ratio) = (chosen as f64, self.options.ratio);
        let expected = all * ratio;
        // Four standard deviations; a binomial of few is wider than its own.
        let allowed = 4.0 * (expected * (1.0 - ratio)).sqrt() + 3.0;
        if allowed < (sampled as f64 - expected).abs() {
            let details = format!("{sampled} of {chosen} requests, not {expected:.1} give or take {allowed:.1}");
            self.violations.add(self.now - self.started, "clients decided what is sampled", details);
        }
    }
}

fn id(high: u64, low: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low | 1 << 63)
}
