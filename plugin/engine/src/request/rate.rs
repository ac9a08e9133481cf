//! Which rate decides a request whose trace is decided here: of all traces, or of its route.

use super::outline::Route;
use super::{Parts, RequestContext, Scope};
use crate::door::{Exchange, HeaderView};
use crate::policy::Policy;
use crate::sampling::{Mode, Rate, Reason};
use crate::shared::Rates;
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
        if let Some(rates) = steering.live.as_mut().filter(|_| is_by_rate(stream)) {
            rates.offered(self.number);
        }
        if let Some(rates) = steering.shadow.as_mut().filter(|_| shadow.is_some_and(is_by_rate)) {
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
    let number = match parts.policy.paced {
        Some(_) => route(parts.policy, context, extracted, headers),
        None => 0,
    };
    let of = |rates: &Option<Rates>| rates.as_ref().map(|rates| rates.rate(number));
    let live = of(&steering.live);
    let shadow = match &parts.policy.shadow {
        None => None,
        Some(shadow) if shadow.sampling.is_some() => of(&steering.shadow),
        Some(_) => live, // Without `sampling` it decides as the live policy does.
    };
    Found { number, live, shadow }
}

/// Where a caller's decision stands, no route is looked for.
#[inline(never)] // Where there is a rate for each route.
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
