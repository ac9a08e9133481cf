//! The rate in force of a target, at a rate of traffic.

use super::Step;
use tracelift::policy::Policy;
use tracelift::sampling::pace::{Pace, Settings};

/// Lets a policy begin with the ratio that its target comes to at so many new traces a second, once it has settled; says which. Without
/// a target, that there is none.
pub fn at_rate(policy: &mut Policy, roots_per_second: f64) -> Step {
    let Some(settings) = &mut policy.sampling.pace else {
        return said(
            "no `sampling.target` and no `sampling.boost`: the ratio is the same at every rate of traffic".to_owned(),
        );
    };
    settings.ratio = settings.settled(roots_per_second);
    let percent = format!("{:.4} %", settings.ratio * 100.0);
    let at = format!("at {roots_per_second} new traces a second the ratio in force is {percent}");
    let Some(target) = settings.target else {
        return said(format!("{at}: `sampling.ratio`, which a boost raises for a while"));
    };
    let why = match target.per_second / roots_per_second {
        wanted if wanted < target.min_ratio => ", since `sampling.target.min_ratio` wins over the target",
        wanted if target.max_ratio < wanted => ", since `sampling.target.max_ratio` is the highest",
        _ => "",
    };
    let kept = settings.ratio * roots_per_second;
    let routes = if 1 < settings.rates { "; this is the ratio if all of them are of one route" } else { "" };
    said(format!(
        "{at}{why}: {kept:.2} a second are kept, and {:.2} are aimed at in this Envoy{routes}",
        target.per_second
    ))
}

/// The ratio that an Envoy begins with.
pub(super) fn first(settings: &Settings) -> f64 {
    Pace::new(settings, 0).ratio(settings, 0)
}

fn said(said: String) -> Step {
    Step { topic: "rate", said }
}
