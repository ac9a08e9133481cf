//! Why a span was kept, in the words of `tracelift explain`.

use crate::span::Span;

/// What the filter did with the stream that became this span. `head_sampled` is of its trace; `answer_told` says that a hop
/// below it had the same verdict and sent it up with the answer.
pub fn why(span: &Span, head_sampled: bool, answer_told: bool) -> String {
    if span.application {
        return released(span.trigger.as_deref());
    }
    let reason = span.reason.as_deref().unwrap_or_default();
    let sampled_on = head_sampled || reason == "upgraded";
    match span.trigger.as_deref() {
        Some("recall") => "upgraded (recall): an instance that had called or been called failed".to_owned(),
        Some("slow") => {
            "upgraded (slow): its answer took longer than is usual here, and nothing below it was slow: it is the culprit".to_owned()
        }
        Some(trigger) if sampled_on => {
            format!("triggered ({trigger}): the head had sampled it; the span counts for itself (th:0)")
        }
        Some(trigger) if trigger == "signal" || answer_told => {
            format!("upgraded ({trigger}): the verdict came with the answer, nothing is charged here")
        }
        Some(trigger) => format!("upgraded ({trigger}): the budget had room"),
        None => match reason {
            "parent" => "sampled: the caller's flag decides (`mode` is parent_based)".to_owned(),
            "upgraded" => {
                "sampled: a failure had upgraded this trace in this Envoy before: later calls go on sampled".to_owned()
            }
            "forced" => "sampled: a token forces it".to_owned(),
            "adaptive" => "sampled: by the rate in force, which follows its target".to_owned(),
            "ratio" => "sampled: `sampling.ratio` decides".to_owned(),
            other => format!("sampled: {other} decides"),
        },
    }
}

/// What an application's SDK did with a span that ended, as `docs/applications.md` has it.
fn released(trigger: Option<&str>) -> String {
    match trigger {
        Some("error") => "released (error): a span of this trace failed in the application, which had held them all",
        Some("signal") => "released (signal): the answer to its call said that the trace is kept",
        Some("sidecar") => "released (sidecar): its sidecar listed the trace as upgraded",
        Some(other) => return format!("released ({other})"),
        None => "sampled: the caller's flag decides, or the application had released the trace before",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Kind;
    use crate::testing::span;

    #[test]
    fn every_way_to_be_kept_has_its_words() {
        let plain = || span("cart", Kind::Server, 1, 1, None);
        let cases = [
            (
                plain().reason("ratio").upgraded(503).build(),
                false,
                false,
                "upgraded (http_status): the budget had room",
            ),
            (
                plain().reason("parent").upgraded(503).build(),
                false,
                true,
                "upgraded (http_status): the verdict came with the answer, nothing is charged here",
            ),
            (
                plain().reason("parent").signalled().build(),
                false,
                false,
                "upgraded (signal): the verdict came with the answer, nothing is charged here",
            ),
            (
                plain().reason("ratio").upgraded(503).build(),
                true,
                true,
                "triggered (http_status): the head had sampled it; the span counts for itself (th:0)",
            ),
            (
                plain().reason("parent").recalled().build(),
                false,
                false,
                "upgraded (recall): an instance that had called or been called failed",
            ),
            (plain().reason("ratio").build(), true, false, "sampled: `sampling.ratio` decides"),
            (
                plain().of_application("GET").released("sidecar").build(),
                false,
                true,
                "released (sidecar): its sidecar listed the trace as upgraded",
            ),
            (
                plain().of_application("GET").build(),
                true,
                false,
                "sampled: the caller's flag decides, or the application had released the trace before",
            ),
            (
                plain().reason("parent").build(),
                true,
                false,
                "sampled: the caller's flag decides (`mode` is parent_based)",
            ),
            (
                plain().reason("upgraded").build(),
                false,
                false,
                "sampled: a failure had upgraded this trace in this Envoy before: later calls go on sampled",
            ),
        ];
        for (span, head_sampled, answer_told, expected) in cases {
            assert_eq!(why(&span, head_sampled, answer_told), expected);
        }
    }
}
