//! Statuses and flags as logs and dumps write them.

use crate::explain;
use tracelift::http::{GrpcStatus, ResponseFlags};

/// An HTTP status; `None` for 0, which Envoy writes where there was no answer, and for what is not one.
pub fn http(text: &str) -> Option<u16> {
    text.parse().ok().filter(|status| *status != 0)
}

/// A gRPC status by its number, by its name, or by the name in Envoy's default, `DeadlineExceeded`. Whatever else it is, is
/// unknown, as it is to gRPC; `None` where nothing is said.
pub fn grpc(text: &str) -> Option<GrpcStatus> {
    if ["", "-"].contains(&text) {
        return None;
    }
    let fold = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let wanted = fold(text);
    // Envoy, like Go, writes it with one L.
    let wanted = if wanted == "CANCELED" { "CANCELLED".to_owned() } else { wanted };
    let named = GrpcStatus::names().iter().find(|name| fold(name) == wanted);
    let named = named.and_then(|name| GrpcStatus::from_name(name));
    Some(named.unwrap_or_else(|| GrpcStatus::from_header(text.as_bytes())))
}

/// Envoy's response flags by their short names. A name that is not known, of a later Envoy, says nothing.
pub fn flags(names: &str) -> ResponseFlags {
    let known = names.split(',').filter_map(|name| explain::flags(name).ok());
    ResponseFlags::from_bits(known.fold(0, |bits, flags| bits | flags.bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_grpc_status_is_read_in_each_of_its_forms() {
        for (text, code) in [
            ("OK", 0),
            ("Ok", 0),
            ("0", 0),
            ("Canceled", 1),
            ("CANCELLED", 1),
            ("DeadlineExceeded", 4),
            ("DEADLINE_EXCEEDED", 4),
            ("PermissionDenied", 7),
            ("DataLoss", 15),
            ("16", 16),
            ("17", 2),
            ("InvalidCode", 2),
        ] {
            assert_eq!(grpc(text), GrpcStatus::from_code(code), "{text}");
        }
        assert_eq!((grpc("-"), grpc("")), (None, None));
    }

    #[test]
    fn a_flag_of_a_later_envoy_hides_no_other() {
        assert_eq!(flags("UF,ZZ,URX").bits(), flags("UF,URX").bits());
        assert_eq!((flags("-").bits(), flags("").bits()), (0, 0));
    }
}
