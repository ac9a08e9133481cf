//! The room `trace_context` against tables made from the specifications by other code.

use serde_json::Value;
use tracelift::trace_context::xray::{self, XRayError, XRayHeader, XRaySampled};
use tracelift::trace_context::{
    FieldError, HeaderEdit, OtMember, OutgoingContext, SpanId, ThEdit, TraceId, TraceParent, TraceState,
    TraceStateError,
};

fn cases(file: &str, array: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = json[array].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn joined(case: &Value) -> Vec<u8> {
    let lines: Vec<&str> = case["headers"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    lines.join(",").into_bytes()
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn traceparent_is_read_as_the_conformance_suite_expects() {
    for case in cases("traceparent.json", "cases") {
        let found = TraceParent::parse(&joined(&case));
        if text(&case, "action") == "restart" {
            assert!(found.is_err(), "{case}");
            continue;
        }
        let (found, expect) = (found.unwrap_or_else(|error| panic!("{error:?}: {case}")), &case["expect"]);
        assert_eq!(found.trace_id.to_string(), text(expect, "trace_id"));
        assert_eq!(found.parent_id.to_string(), text(expect, "parent_id"));
        assert_eq!(found.flags.sampled(), expect["sampled"]);
        assert_eq!(found.flags.random(), expect["random"]);
        for (sampled, key) in [(true, "out_flags_if_sampled"), (false, "out_flags_if_not_sampled")] {
            let written = TraceParent { flags: found.flags.with_sampled(sampled), ..found }.write();
            let expected = format!("00-{}-{}-{}", found.trace_id, found.parent_id, text(expect, key));
            assert_eq!(utf8(&written), expected);
        }
    }
}

#[test]
fn tracestate_is_read_as_the_conformance_suite_expects() {
    for case in cases("tracestate.json", "parse") {
        let combined = joined(&case);
        let found = TraceState::parse(&combined);
        if !case["valid"].as_bool().unwrap() {
            let reason = match found {
                Err(TraceStateError::Key) => "bad-key",
                Err(TraceStateError::NoEquals) => "no-equals",
                Err(TraceStateError::Value) => "bad-value",
                other => panic!("{other:?}: {case}"),
            };
            assert_eq!(reason, text(&case, "reason"), "{case}");
            continue;
        }
        let found = found.unwrap_or_else(|error| panic!("{error:?}: {case}"));
        let members = found.unique_members();
        let pairs: Vec<_> = members.iter().map(|member| (utf8(member.key), utf8(member.value))).collect();
        let expected: Vec<_> = case["members"].as_array().unwrap().iter().map(|pair| (&pair[0], &pair[1])).collect();
        assert_eq!(pairs.len(), expected.len(), "{case}");
        for ((key, value), expected) in pairs.iter().zip(expected) {
            assert_eq!((*key, *value), (expected.0.as_str().unwrap(), expected.1.as_str().unwrap()));
            assert_eq!(found.get(key.as_bytes()), Some(value.as_bytes()));
        }
        let serialized: Vec<_> = members.iter().map(|member| utf8(member.text)).collect();
        assert_eq!(serialized.join(","), text(&case, "serialized"));
        assert_eq!(found.level1_keys_only(), case["level1_keys_only"], "{case}");
        assert_eq!(found.duplicates() as u64, case["duplicates_dropped"], "{case}");
    }
}

#[test]
fn the_ot_member_is_read_as_the_collector_reads_it() {
    for case in cases("tracestate.json", "ot_value") {
        let found = OtMember::parse(text(&case, "ot").as_bytes());
        assert_eq!(found.is_some(), case["valid"].as_bool().unwrap(), "{case}");
        let Some(found) = found else { continue };
        let hex = |number: Option<u64>| number.map(|number| format!("{number:014x}"));
        assert_eq!(hex(found.th).as_deref(), case["th"].as_str(), "{case}");
        assert_eq!(hex(found.rv).as_deref(), case["rv"].as_str(), "{case}");
        let rest: Vec<_> = found.rest().map(utf8).collect();
        assert_eq!(
            rest,
            case["rest"].as_array().unwrap().iter().map(|pair| pair.as_str().unwrap()).collect::<Vec<_>>()
        );
        let combined = format!("ot={}", text(&case, "ot"));
        let edit =
            TraceState::parse(combined.as_bytes()).unwrap().edit(found.th.map_or(ThEdit::Erase, ThEdit::Set), None);
        let canonical = text(&case, "canonical");
        match edit {
            HeaderEdit::Keep => {
                let canonical = OtMember::parse(canonical.as_bytes()).unwrap_or_default();
                assert_eq!((canonical.th, canonical.rv), (found.th, found.rv), "{case}");
            }
            HeaderEdit::Remove => assert_eq!(canonical, ""),
            HeaderEdit::Replace(header) => assert_eq!(utf8(&header), format!("ot={canonical}")),
        }
    }
}

#[test]
fn tracestate_is_changed_as_its_rules_say() {
    let number = |digits: &str| u64::from_str_radix(&format!("{digits:0<14}"), 16).unwrap();
    for case in cases("tracestate.json", "mutate") {
        let th = match (case["set_th"].as_str(), case["erase_th"].as_bool()) {
            (Some(th), _) => ThEdit::Set(number(th)),
            (None, Some(true)) => ThEdit::Erase,
            (None, _) => ThEdit::Keep,
        };
        let combined = text(&case, "in");
        let state = TraceState::parse(combined.as_bytes()).unwrap();
        let edit = state.edit(th, case["insert_rv_if_absent"].as_str().map(number));
        let expected = case["out"].as_str().unwrap_or(combined);
        match edit {
            HeaderEdit::Keep => assert_eq!(combined, expected, "{case}"),
            HeaderEdit::Remove => assert_eq!("", expected, "{case}"),
            HeaderEdit::Replace(header) => assert_eq!(utf8(&header), expected, "{case}"),
        }
    }
}

#[test]
fn the_x_ray_header_is_read_as_aws_reads_it() {
    for case in cases("xray_header.json", "parse") {
        let found = XRayHeader::parse(text(&case, "header").as_bytes());
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                let reason = match error {
                    XRayError::NoRoot => "no-root",
                    XRayError::Root(FieldError::AllZero) => "zero-root",
                    XRayError::Root(_) => "bad-root",
                    XRayError::Sampled => "bad-sampled",
                    XRayError::PairWithoutEquals => "pair-without-equals",
                    other => panic!("{other:?}: {case}"),
                };
                assert_eq!(reason, text(&case, "reason"), "{case}");
                continue;
            }
        };
        assert_eq!(case["valid"], true, "{case}");
        assert_eq!(found.trace_id.to_string(), text(&case, "trace_id"));
        assert_eq!(found.parent_id.map(|id| id.to_string()).as_deref(), case["parent_id"].as_str());
        let sampled = match found.sampled {
            XRaySampled::Yes => Value::Bool(true),
            XRaySampled::No => Value::Bool(false),
            XRaySampled::Ask => Value::from("ask"),
            XRaySampled::Absent => Value::Null,
        };
        assert_eq!(sampled, case["sampled"], "{case}");
        assert_eq!(found.self_id.map(utf8), case["self"].as_str());
        let others: Vec<_> = found.others().map(|field| utf8(field).to_owned()).collect();
        let extra = case["extra"].as_array().unwrap().iter();
        assert_eq!(
            others,
            extra
                .map(|pair| format!("{}={}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn the_x_ray_header_is_written_as_aws_writes_it() {
    for case in cases("xray_header.json", "format") {
        let context = OutgoingContext {
            trace_id: TraceId::parse(text(&case, "trace_id").as_bytes()).unwrap(),
            span_id: SpanId::parse(text(&case, "span_id").as_bytes()).unwrap(),
            sampled: case["sampled"].as_bool().unwrap(),
            random: false,
            debug: false,
        };
        assert_eq!(utf8(&xray::write(&context, None)), text(&case, "header"));
    }
}
