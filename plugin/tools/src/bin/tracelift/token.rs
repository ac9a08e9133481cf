//! `tracelift token`.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use tracelift::config::{self, Environment};
use tracelift::force::{Claims, MAX_TOKEN, Policy, Scope};
use tracelift::span::NodeMetadata;

use crate::choice::{Choice, Refused};
use crate::{Outcome, file};

/// Make a token that has requests recorded, whatever their ratio: a header for one request, or for a time
///
/// Keys are those of --config, else of the environment variable TRACELIFT_FORCE_KEYS (id=secret, joined by commas); a secret is
/// never an argument, which others on the machine could read. What is printed is the whole header, as in
/// curl -H "$(tracelift token --key dev --ttl 1h --path /checkout)" https://shop.example/checkout
#[derive(Args)]
pub struct Token {
    #[command(flatten)]
    choice: Choice,
    /// The id of the key; with a single key it may be left out
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// How long the token is good: 90s, 15m, 1h, 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    ttl: u64,
    /// The path, with every path below it, that it is good for; left out, every path
    #[arg(long, value_name = "PATH", default_value = "")]
    path: String,
    /// The host that it is good for; left out, every host
    #[arg(long, value_name = "HOST", default_value = "")]
    host: String,
    /// `service.namespace` of the Envoy that the request meets first, where the configuration does not say it: with Istio, the
    /// Kubernetes namespace
    #[arg(long, value_name = "NAMESPACE")]
    audience: Option<String>,
}

#[derive(Serialize)]
struct Printed<'a> {
    header: &'a str,
    token: &'a str,
    key: &'a str,
    expiry: u64,
    scope: &'a str,
    audience: &'a str,
}

fn ttl(text: &str) -> Result<u64, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("allowed is a number with s, m, h or d behind it".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "allowed is a number with s, m, h or d behind it".to_owned())?;
    number.checked_mul(seconds).filter(|ttl| 0 < *ttl).ok_or_else(|| "allowed is 1 second or more".to_owned())
}

/// Unix seconds.
#[allow(clippy::disallowed_methods, reason = "a command for a person, whose clock tokens end by")]
pub fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock of this machine is before 1970")?.as_secs())
}

impl Token {
    /// Prints the header.
    pub fn execute(&self, json: bool) -> Result<Outcome> {
        let chosen = self.choice.read()?.policy;
        let given = std::env::vars_os();
        let given = given.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let environment: Environment = given.collect();
        let beside = config::load(b"{}", &environment);
        let policy = match &chosen.force {
            Some(force) => force.clone(),
            None => of_environment(beside.map_err(refused)?)?,
        };
        let audience = match &self.audience {
            Some(audience) => audience.clone(),
            None => chosen.resource.merge(&NodeMetadata::default()).service_namespace().to_owned(),
        };
        let claims = self.claims(&policy)?;
        let secret = policy.keys.iter().find(|key| key.id == claims.key).map(|key| key.secret.as_str());
        let secret = secret.filter(|secret| !secret.is_empty());
        let token = claims.sign(secret.context("--key: that key has no secret")?.as_bytes(), &audience);
        if MAX_TOKEN < token.len() {
            bail!("the token would be longer than {MAX_TOKEN} bytes, which are read; take a shorter --path or --host");
        }
        if json {
            let scope = [claims.scope.host.as_str(), &claims.scope.path].concat();
            let (header, token, key, audience) = (policy.header.as_str(), &*token, &*claims.key, &*audience);
            file::print_json(&Printed { header, token, key, expiry: claims.expiry, scope: &scope, audience })?;
        } else {
            file::print(&format!("{}: {token}\n", policy.header.as_str()))?;
        }
        Ok(Outcome::Fine)
    }

    fn claims(&self, policy: &Policy) -> Result<Claims> {
        let ids: Vec<_> = policy.keys.iter().map(|key| key.id.as_str()).collect();
        let key = match (&self.key, &ids[..]) {
            (Some(key), _) => key.clone(),
            (None, [only]) => (*only).to_owned(),
            (None, _) => bail!("there are {} keys; choose one with --key: {}", ids.len(), ids.join(", ")),
        };
        if !ids.contains(&key.as_str()) {
            bail!("--key: found {key}; allowed is {}", ids.join(", "));
        }
        if policy.max_ttl_s < self.ttl {
            bail!("--ttl: found {} s; allowed by `force.max_ttl_s` are {} s", self.ttl, policy.max_ttl_s);
        }
        if !self.path.is_empty() && !self.path.starts_with('/') {
            bail!("--path: found {}; allowed is a path that begins with `/`", self.path);
        }
        if self.path.contains(['?', '#']) {
            bail!("--path: found {}; allowed is a path without query and fragment", self.path);
        }
        if self.host.contains(['/', '?', '#']) || has_port(&self.host) {
            bail!("--host: found {}; allowed is a host without scheme, port and path", self.host);
        }
        let scope = Scope { host: self.host.clone(), path: self.path.clone() };
        if !self.path.bytes().chain(self.host.bytes()).all(|byte| byte.is_ascii_graphic()) {
            bail!("--path, --host: allowed is visible ASCII, percent-encoded as the request has it");
        }
        Ok(Claims { key, expiry: now()?.saturating_add(self.ttl), scope })
    }
}

/// The keys of the environment. Variables that cannot be read are warnings there, and the reason here.
fn of_environment(loaded: config::Loaded) -> Result<Policy> {
    const NAME: &str = "TRACELIFT_FORCE_KEYS";
    if let Some(force) = loaded.policy.force {
        return Ok(force);
    }
    if let Some(warning) = loaded.warnings.into_iter().find(|warning| warning.contains(NAME)) {
        bail!(warning);
    }
    bail!("no key: name a file with `force.keys` by --config, or set {NAME} to id=secret")
}

/// Hosts are compared without their port. The colons of an IPv6 address stand in brackets.
fn has_port(host: &str) -> bool {
    host.contains(':') && !(host.starts_with('[') && host.ends_with(']'))
}

/// The environment alone is no configuration, unless a variable of it is wrong.
fn refused(error: config::ConfigError) -> anyhow::Error {
    anyhow::Error::from(Refused::of("the environment")).context(error.to_string())
}
