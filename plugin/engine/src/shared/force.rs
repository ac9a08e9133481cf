//! Tokens that were used in this process: how many there may be, and whose, once an hour.

use super::SharedBudget;
use super::keys::seconds;
use crate::door::{Host, Level, Update};
use crate::force::{Admitted, MAX_KEYS};
use crate::upgrade::Budget;

/// Attempts against other workers.
const TRIES: usize = 4;
/// The number is the version of the layout: another layout is another key.
const PREFIX: &str = "tracelift.force.1.";
/// Seconds in which the use of a key is logged once.
const HOUR: u32 = 3600;

/// What one worker knows of them.
pub struct Force {
    budget: SharedBudget,
    plugin: String,
    /// Ids of keys, and the Unix second in which their use was logged last.
    logged: Vec<(String, u32)>,
}

impl Force {
    /// What the name of its budget ends with: no name of a filter has a NUL.
    pub const BUDGET: &str = "\0force";

    /// The filters of that name in this process share it.
    pub fn new(plugin: &str) -> Self {
        let budget = SharedBudget::new(&[plugin, Self::BUDGET].concat());
        Self { budget, plugin: plugin.to_owned(), logged: Vec::new() }
    }

    /// Charges a request with a token that is good; `false` refuses it. The first use of its key in an hour is logged, by one worker.
    pub fn admit(&mut self, host: &impl Host, budget: &Budget, admitted: &Admitted) -> bool {
        let is_admitted = self.budget.admit(budget, host);
        if is_admitted && self.is_first(host, &admitted.claims.key) {
            host.log(Level::Info, &line(admitted));
        }
        is_admitted
    }

    fn is_first(&mut self, host: &impl Host, id: &str) -> bool {
        let now = seconds(host);
        let is_recent = |last: u32| now.wrapping_sub(last) < HOUR;
        if self.logged.iter().any(|(known, last)| known == id && is_recent(*last)) {
            return false;
        }
        let mut last = now;
        let key = [PREFIX, &self.plugin, "\0", id].concat();
        let update = host.update(key.as_bytes(), TRIES, |shared| {
            let shared = shared.and_then(|bytes| bytes.first_chunk::<4>());
            let known = shared.map(|bytes| u32::from_le_bytes(*bytes)).filter(|known| is_recent(*known));
            last = known.unwrap_or(now);
            known.is_none().then(|| now.to_le_bytes())
        });
        self.logged.retain(|(known, _)| known != id);
        self.logged.truncate(MAX_KEYS.saturating_sub(1));
        self.logged.push((id.to_owned(), last));
        update != Update::Left
    }
}

fn line(admitted: &Admitted) -> String {
    let claims = &admitted.claims;
    let all = claims.scope.host.is_empty() && claims.scope.path.is_empty();
    let scope = if all { "every request" } else { &[claims.scope.host.as_str(), &claims.scope.path].concat() };
    let until = claims.expiry.to_string();
    [
        "tracelift: a token of the force key \"",
        &claims.key,
        "\" is used, for the first time in an hour: for ",
        scope,
        ", good until Unix second ",
        &until,
    ]
    .concat()
}
