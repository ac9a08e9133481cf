//! Which rate decides a request whose trace is decided here: of all traces, or of its route.

use super::outline::Route;
use super::{Parts, RequestContext, Scope};
use crate::door::{Exchange, HeaderView};
use crate::policy::Policy;
use crate::sampling::{Mode, Rate, Reason};
use crate::shared::{Rates, Steering};
use crate::stream::Stream;
use crate::trace_context::{CallerDecision, Extracted};

/// The rates of a request.
#[derive(Clone, Copy, Default)]
pub struct Found {
    /// One more than the place of its route; 0 for one without.
    number: usize,
    live: Option<Rate>,
    shadow: Option<Rate>,
}

impl Found {
    /// What is in force for it.
    pub fn live(&self) -> Option<Rate> {
        self.live
    }

    /// What would be under the shadow policy.
    pub fn shadow(&self) -> Option<Rate> {
        self.shadow
    }

    /// Counts it where a rate has decided, sampled or not.
    #[inline(always)] // For every request.
    pub fn count(&self, scope: &mut Scope, stream: &Stream, shadow: Option<&Stream>) {
        let Some(steering) = &mut scope.steering else { return };
        let is_by_rate = |stream: &Stream| matches!(stream.decision().reason, Reason::Adaptive);
        if is_by_rate(stream) {
            steering.offered(self.number);
        }
        if shadow.is_some_and(is_by_rate)
            && let Some(rates) = &mut steering.shadow
        {
            rates.offered(self.number);
        }
    }
}

/// Finds them. Its route, if metrics or coverage look at that, is known by now.
#[inline(always)] // For every request; where nothing steers it pays for a test.
pub fn of<'a, X: Exchange, V: HeaderView<'a>>(
    parts: &Parts<'_, X>,
    context: &RequestContext,
    extracted: &Extracted,
    headers: V,
) -> Found {
    let Some(steering) = &parts.scope.steering else { return Found::default() };
    if parts.policy.paced.is_none() && parts.policy.shadow.is_none() {
        return Found { live: steering.first(), ..Found::default() };
    }
    each(steering, parts.policy, context, extracted, headers)
}

/// The same where there is a rate for each route, or a shadow policy.
#[inline(never)]
fn each<'a, V: HeaderView<'a>>(
    steering: &Steering,
    policy: &Policy,
    context: &RequestContext,
    extracted: &Extracted,
    headers: V,
) -> Found {
    let number = match policy.paced {
        Some(_) => route(policy, context, extracted, headers),
        None => 0,
    };
    let of = |rates: &Option<Rates>| rates.as_ref().map(|rates| rates.rate(number));
    let live = of(&steering.live);
    let shadow = match &policy.shadow {
        None => None,
        Some(shadow) if shadow.sampling.is_some() => of(&steering.shadow),
        Some(_) => live, // Without `sampling` it decides as the live policy does.
    };
    Found { number, live, shadow }
}

/// Where a caller's decision stands, no route is looked for.
fn route<'a, V: HeaderView<'a>>(policy: &Policy, context: &RequestContext, extracted: &Extracted, headers: V) -> usize {
    let is_independent = |mode: Mode| mode == Mode::Independent;
    let decides = policy.edge
        || extracted.decision == CallerDecision::Deferred
        || is_independent(policy.sampling.mode)
        || policy.shadow_rules().is_some_and(|shadow| is_independent(shadow.sampling.mode));
    let place = match context.route {
        _ if !decides => None,
        Route::Template(place) => Some(place),
        Route::Unknown if context.is_looked_at() => None,
        _ => policy.paced.as_ref().zip(headers.first(":path")).and_then(|(paced, path)| paced.routes.find(path)),
    };
    place.map_or(0, |place| usize::from(place).saturating_add(1))
}
