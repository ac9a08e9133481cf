//! A request on its way through a small mesh: each hop a filter of its own, listeners of one pod joined by what they note.

use serde::{Deserialize, Serialize};

use super::{Answer, Explanation, Hop, Ids, Pod, Request, Surroundings};
use tracelift::policy::Policy;
use tracelift::span::{KindSetting, ListenerDirection};

/// One listener on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// Listeners of one pod share one Envoy.
    pub pod: &'static str,
    /// On which side of its application it is.
    pub side: &'static str,
}

/// gateway -> web (inbound, outbound) -> cart (inbound, outbound) -> stock (inbound).
const PLACES: [Place; 6] = [
    Place { name: "gateway", pod: "gateway", side: "edge" },
    Place { name: "web, inbound", pod: "web", side: "inbound" },
    Place { name: "web, outbound", pod: "web", side: "outbound" },
    Place { name: "cart, inbound", pod: "cart", side: "inbound" },
    Place { name: "cart, outbound", pod: "cart", side: "outbound" },
    Place { name: "stock, inbound", pod: "stock", side: "inbound" },
];

/// How the mesh answers.
#[derive(Clone, Debug, Deserialize)]
pub struct MeshAnswer {
    /// Status of the last application.
    pub status: u16,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
    /// This application, by pod, answers 200 whatever its own call said.
    #[serde(default)]
    pub swallowed_by: Option<String>,
    /// The budget of the hop that sees the failure has room.
    #[serde(default = "yes")]
    pub admit: bool,
}

fn yes() -> bool {
    true
}

/// One hop and everything about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeshHop {
    /// Which.
    #[serde(flatten)]
    pub place: Place,
    /// The status that it passed on.
    pub status: u16,
    /// What it did.
    #[serde(flatten)]
    pub explanation: Explanation,
}

/// Sends the request through all hops and its answer back. Every hop has this policy with the `span_kind` of its side, as the
/// shipped configurations have; `edge` is the gateway's alone.
pub fn mesh(policy: &Policy, request: &Request, answer: &MeshAnswer, ids: Ids) -> Vec<MeshHop> {
    let policies = PLACES.map(|place| Policy {
        span_kind: match place.side {
            "edge" => KindSetting::Both,
            "outbound" => KindSetting::Client,
            _ => KindSetting::Server,
        },
        edge: policy.edge && place.side == "edge",
        ..policy.clone()
    });
    let first = Pod::new(ids);
    let mut pods: Vec<(&str, Pod)> = Vec::new();
    let mut request = request.clone();
    let mut hops = Vec::with_capacity(PLACES.len());
    for (place, policy) in PLACES.into_iter().zip(&policies) {
        let known = pods.iter().find(|(name, _)| *name == place.pod).map(|(_, pod)| pod.clone());
        let pod = known.unwrap_or_else(|| first.another());
        let hop = Hop::request(policy, request, &pod);
        pods.push((place.pod, pod));
        request = hop.forwarded();
        hops.push(hop);
    }
    let mut headers = Vec::new();
    let mut status = answer.status;
    let mut explained = Vec::with_capacity(PLACES.len());
    for (place, hop) in PLACES.into_iter().zip(hops).rev() {
        // Behind an inbound hop is an application, which passes no signal on.
        if place.side == "inbound" {
            headers.clear();
            if answer.swallowed_by.as_deref() == Some(place.pod) {
                status = 200;
            }
        }
        let answer = Answer {
            status: Some(status),
            duration_ms: answer.duration_ms,
            headers,
            admit: answer.admit,
            ..Answer::default()
        };
        let direction = match place.side {
            "inbound" => ListenerDirection::Inbound,
            "outbound" => ListenerDirection::Outbound,
            _ => ListenerDirection::Unspecified,
        };
        let ended = hop.answer_among(&answer, Surroundings { direction, ..Surroundings::default() });
        headers = ended.headers;
        explained.push(MeshHop { place, status, explanation: ended.explanation });
    }
    explained.reverse();
    explained
}
