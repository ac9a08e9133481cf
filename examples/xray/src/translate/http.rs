//! The `http` section: request and response.

use super::attributes::Attributes;
use super::is_ip;
use serde_json::{Map, Value, json};

/// Takes what it shows out of `left`. Old and new keys are read; a span has one or the other.
pub fn section(left: &mut Attributes<'_>, server: bool) -> Value {
    let all = left.clone();
    let text = |keys: &[&str]| keys.iter().find_map(|key| all.text(key));
    let mut request = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            request.insert(key.to_owned(), value);
        }
    };
    let method = text(&["http.request.method", "http.method"]);
    put("method", method.map(Value::from));
    put("user_agent", text(&["user_agent.original", "http.user_agent"]).map(Value::from));
    let (client, peer) = (text(&["client.address"]), text(&["network.peer.address"]));
    put("client_ip", client.or(peer).filter(|address| is_ip(address)).map(Value::from));
    put("x_forwarded_for", (client.is_some() && peer.is_none()).then_some(Value::Bool(true)));
    put("url", url(&all, server).map(Value::from));
    let status = all.int("http.response.status_code").or_else(|| all.int("http.status_code"));
    for key in [
        "http.request.method",
        "http.method",
        "user_agent.original",
        "http.user_agent",
        "client.address",
        "network.peer.address",
        "network.peer.port",
        "http.response.status_code",
        "http.status_code",
        "url.full",
        "http.url",
        "url.scheme",
        "url.path",
        "url.query",
        "server.address",
        "server.port",
    ] {
        left.use_up(key);
    }
    if request.is_empty() && status.is_none() {
        return Value::Null;
    }
    let response = match status {
        Some(status) => json!({ "status": status, "content_length": 0 }),
        None => json!({ "content_length": 0 }),
    };
    json!({ "request": request, "response": response })
}

/// The whole URL as given, else put together; none without a host.
fn url(all: &Attributes<'_>, server: bool) -> Option<String> {
    if let Some(full) = all.text("url.full").or_else(|| all.text("http.url")) {
        return Some(full.to_owned());
    }
    let host = all.text("server.address")?;
    let scheme = all.text("url.scheme").unwrap_or("http");
    // Of a client's span the port of the connection is taken, not that of the server.
    let port = all.int(if server { "server.port" } else { "network.peer.port" });
    let port = port.filter(|port| !matches!((scheme, port), ("http", 80) | ("https", 443)));
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let query = all.text("url.query").map_or_else(String::new, |query| format!("?{query}"));
    Some(format!("{scheme}://{host}{port}{}{query}", all.text("url.path").unwrap_or("/")))
}
