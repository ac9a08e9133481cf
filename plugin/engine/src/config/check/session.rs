//! `sampling.session`: one place that names a session, and a secret that makes a randomness of it.

use super::{Findings, LONG_TOKEN_ALLOWED, is_long_token};
use crate::config::bounded::is_token as is_name_byte;
use crate::config::error::{self, Problem};
use crate::config::raw;
use crate::json::Named;
use crate::sampling::{Session, Source};
use crate::trace_context::Propagator;

const PATH: &str = "sampling.session";

/// Reads `sampling.session`; `None` where it is not there, or wrong.
pub fn policy(sampling: &raw::Sampling, propagators: &[Propagator], findings: &mut Findings) -> Option<Session> {
    let raw = sampling.session.as_ref()?;
    let source = match (&raw.cookie, &raw.header) {
        (Some(cookie), None) => Source::Cookie(cookie.0.clone()),
        (None, Some(header)) => Source::Header(header.0.clone()),
        (Some(_), Some(_)) => {
            let found = "both `sampling.session.cookie` and `sampling.session.header`";
            findings.problems.push(Problem::new(PATH, found, "one of the two").advise("Set one of the two."));
            return None;
        }
        (None, None) => {
            findings.warn(PATH, "has neither `cookie` nor `header`, so that it has no effect");
            return None;
        }
    };
    if let Source::Cookie(name) = &source
        && !name.bytes().all(is_name_byte)
    {
        let allowed = "the name of a cookie: letters, digits or -_.!#$%&'*+^`|~";
        findings.refuse(&[PATH, ".cookie"].concat(), "a text with other characters", allowed);
    }
    let secret = &raw.key.0;
    if !is_long_token(secret) {
        let found = if secret.is_empty() { "no key" } else { "a text that is shorter, longer or has other characters" };
        let problem = Problem::new([PATH, ".key"].concat(), found, LONG_TOKEN_ALLOWED);
        let advice = "Set a secret that all gateways share, here or in the environment variable TRACELIFT_SESSION_KEY.";
        findings.problems.push(problem.advise(advice));
    }
    if sampling.algorithm != raw::Algorithm::Consistent {
        let found =
            ["`sampling.algorithm` = ", &error::quoted(sampling.algorithm.name()), ", which reads the trace-id"];
        findings.refuse(PATH, &found.concat(), "`sampling.algorithm` = \"consistent\" beside it");
    }
    if !propagators.contains(&Propagator::TraceContext) {
        findings.warn(PATH, "is known to this hop alone: without `tracecontext` in `propagators` no `rv` is written");
    }
    Some(Session::new(source, secret))
}
