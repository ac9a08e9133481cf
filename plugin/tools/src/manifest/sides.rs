//! The two sides of an application: which listener sees which calls, and whether both sample alike.

use super::find::{Direction, Found};
use super::source::Source;
use super::{Finding, Located};
use tracelift::policy::Policy;
use tracelift::sampling;
use tracelift::span::KindSetting;

/// An accepted configuration and what it is for.
pub struct Side<'f, 't> {
    /// Its document, from 0.
    pub document: usize,
    /// The plugin.
    pub found: &'f Found<'t>,
    /// Which traces it records.
    pub sampling: sampling::Policy,
    /// Which side of a call its spans describe.
    pub kind: KindSetting,
}

impl Side<'_, '_> {
    fn direction(&self) -> Direction {
        match (self.found.around.direction, self.kind) {
            (Direction::Unspecified, KindSetting::Server) => Direction::Inbound,
            (Direction::Unspecified, KindSetting::Client) => Direction::Outbound,
            (direction, _) => direction,
        }
    }

    fn listener(&self) -> Option<&Located> {
        self.found.around.listener
    }

    fn place(&self) -> super::Position {
        self.found.configuration.unwrap_or(self.found.plugin).at
    }
}

/// A kind that the direction says the opposite of.
pub fn kind(found: &Found<'_>, policy: &Policy, source: &Source<'_>, findings: &mut Vec<Finding>) {
    let (kind, calls, direction) = match (policy.span_kind, found.around.direction) {
        (KindSetting::Server, Direction::Outbound) => ("server", "that the application makes", "outbound"),
        (KindSetting::Client, Direction::Inbound) => ("client", "that come to the application", "inbound"),
        _ => return,
    };
    let message = format!(
        "\"{kind}\" on an {direction} listener, which sees the calls {calls}: back ends would draw the service map the wrong \
         way round. \"auto\" goes by the direction."
    );
    findings.push(Finding::warning(source.place("span_kind", false), "span_kind", message));
}

/// What only several configurations together show.
pub fn look(sides: &[Side<'_, '_>], findings: &mut Vec<Finding>) {
    directions(sides, findings);
    ratios(sides, findings);
}

/// Under `auto` a listener without direction makes SERVER spans: right for one, wrong for one of two.
fn directions(sides: &[Side<'_, '_>], findings: &mut Vec<Finding>) {
    for side in sides {
        let Some(listener) = side.listener().filter(|_| side.kind == KindSetting::Auto) else { continue };
        let is_other = |other: &&Side<'_, '_>| {
            other.document == side.document && other.listener().is_some_and(|other| other.at != listener.at)
        };
        if side.found.around.direction == Direction::Unspecified && sides.iter().any(|other| is_other(&other)) {
            let message = "is not set, and `span_kind` = \"auto\" makes SERVER spans then, of the application's own calls, too. \
                           Set INBOUND or OUTBOUND on each listener, or `span_kind`.";
            findings.push(Finding::warning(listener.at, "traffic_direction", message));
        }
    }
}

/// A trace that begins at the application's own call is decided by its outbound side.
fn ratios(sides: &[Side<'_, '_>], findings: &mut Vec<Finding>) {
    let of = |direction: Direction| sides.iter().filter(move |side| side.direction() == direction);
    for outbound in of(Direction::Outbound) {
        let is_same_pod = |inbound: &&Side<'_, '_>| {
            inbound.found.home == outbound.found.home
                && inbound.found.scope == outbound.found.scope
                && (inbound.document == outbound.document || !inbound.found.scope.is_empty())
        };
        let Some(inbound) = of(Direction::Inbound).find(is_same_pod) else { continue };
        // Matchers hold compiled expressions, which compare by how they print.
        let differs = format!("{:?}", inbound.sampling) != format!("{:?}", outbound.sampling);
        if differs {
            let message = format!(
                "ratio or rules are not those of the inbound side (line {}): traces that begin here are sampled by others. \
                 Give both the same `sampling`.",
                inbound.place().line
            );
            findings.push(Finding::warning(outbound.place(), "sampling", message));
        }
    }
}

/// Listeners of one pod meet through shared data, which is kept by `vm_id`.
pub fn vm_ids(found: &[Found<'_>], findings: &mut Vec<Finding>) {
    let mut ids = found.iter().filter_map(|one| one.vm_id.as_ref());
    let Some((first, _)) = ids.next() else { return };
    for (id, at) in ids.filter(|(id, _)| id != first) {
        let message = format!(
            "\"{id}\" here and \"{first}\" on another listener: one would not learn of the other's upgrades. Give all of them \
             the same."
        );
        findings.push(Finding::warning(*at, "vm_id", message));
    }
}
