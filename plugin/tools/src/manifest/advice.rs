//! Where a key belongs that stands in the wrong object.

use tracelift::config;

/// The one or two places that have a key of this name, for a message: `{"ratio": 0.05}` means `sampling.ratio`.
pub fn belongs(key: &str) -> Option<String> {
    let mut places: Vec<String> = known().filter(|path| path.rsplit('.').next() == Some(key)).collect();
    // A shadow has what the live policy has, and lists have it again in each element.
    places.retain(|path| !path.starts_with("shadow."));
    places.sort_by_key(String::len);
    match places.as_slice() {
        [] => None,
        [only] => Some(format!("Did you mean `{only}`?")),
        [first, second, ..] => Some(format!("Did you mean `{first}` or `{second}`?")),
    }
}

/// Whether any object of the configuration has a key of this name.
pub fn is_known(key: &str) -> bool {
    known().any(|path| path.rsplit('.').next() == Some(key))
}

/// Whether the key is one of the configuration's own, or may be meant to be.
pub fn is_nearly_at_the_top(key: &str) -> bool {
    let top: Vec<String> = known().filter(|path| !path.contains('.')).collect();
    let top: Vec<&str> = top.iter().map(String::as_str).collect();
    config::nearest(key, &top).is_some()
}

fn known() -> impl Iterator<Item = String> {
    // The names in here are chosen by users.
    config::keys().into_iter().map(|key| key.path).filter(|path| !path.ends_with(".*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_object_is_led_there() {
        for (key, wanted) in [
            ("ratio", Some("Did you mean `sampling.ratio` or `sampling.rules[].ratio`?")),
            ("http_status", Some("Did you mean `upgrade.http_status`?")),
            ("recall", Some("Did you mean `upgrade.recall`?")),
            ("static_resources", None),
            ("*", None),
        ] {
            assert_eq!(belongs(key).as_deref(), wanted, "{key}");
        }
    }
}
