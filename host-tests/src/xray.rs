//! A stand-in of AWS X-Ray's sampling API: `GetSamplingRules` and `GetSamplingTargets` as the service documents them. It
//! knows no socket and no clock, so that it stands behind a virtual Envoy's callouts and behind a real server alike.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

/// How long a quota holds.
const QUOTA_TTL: Duration = Duration::from_secs(60);
/// How far a report's `Timestamp` may be from the service's clock.
const MAX_SKEW_SECONDS: f64 = 300.0;
/// Documents of one kind in one call.
const MAX_DOCUMENTS: usize = 25;

/// One `SamplingStatisticsDocument` that the service took.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleReport {
    /// `RuleName`.
    pub rule: String,
    /// `ClientID`.
    pub client: String,
    /// `RequestCount`.
    pub requests: u64,
    /// `SampledCount`.
    pub sampled: u64,
    /// `BorrowCount`.
    pub borrowed: u64,
}

/// One `SamplingBoostStatisticsDocument` that the service took.
#[derive(Clone, Debug, PartialEq)]
pub struct BoostReport {
    /// `RuleName`.
    pub rule: String,
    /// `ServiceName`.
    pub service: String,
    /// `TotalCount`.
    pub total: u64,
    /// `AnomalyCount`.
    pub anomalies: u64,
    /// `SampledAnomalyCount`.
    pub sampled_anomalies: u64,
}

/// An answer as it goes over the wire, headers and all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAnswer {
    /// HTTP status.
    pub status: u16,
    /// Beside `content-type`.
    pub headers: Vec<(String, String)>,
    /// JSON, as a rule.
    pub body: String,
}

/// The service: rules, quotas, and what was reported to it.
#[derive(Clone, Debug)]
pub struct SamplingService {
    rules: Vec<Value>,
    modified_at: Duration,
    /// Records in one page of rules.
    pub page_size: usize,
    /// `Interval` of every target, seconds.
    pub interval: u64,
    /// How far its clock is ahead of the caller's, seconds.
    pub ahead_seconds: i64,
    /// Boosts by rule: rate, and until when by the service's clock.
    boosts: BTreeMap<String, (f64, Duration)>,
    /// Answers to the next calls, in place of its own.
    trouble: VecDeque<ServiceAnswer>,
    /// Reports on these rules come back unprocessed, once each, with that `ErrorCode`.
    unprocessed: BTreeMap<String, String>,
    clients: BTreeSet<String>,
    /// Every path that was asked, with the caller's time.
    pub calls: Vec<(Duration, String)>,
    /// What was reported.
    pub reports: Vec<RuleReport>,
    /// What was reported of anomalies.
    pub boost_reports: Vec<BoostReport>,
    /// Calls that broke the contract, in words.
    pub violations: Vec<String>,
}

impl Default for SamplingService {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            modified_at: Duration::ZERO,
            page_size: 100,
            interval: 10,
            ahead_seconds: 0,
            boosts: BTreeMap::new(),
            trouble: VecDeque::new(),
            unprocessed: BTreeMap::new(),
            clients: BTreeSet::new(),
            calls: Vec::new(),
            reports: Vec::new(),
            boost_reports: Vec::new(),
            violations: Vec::new(),
        }
    }
}

impl SamplingService {
    /// A rule for every request to every service, with these changes; `Default` unless they name it.
    pub fn rule(changes: Value) -> Value {
        let mut rule = json!({
            "RuleName": "Default", "Priority": 10_000, "FixedRate": 0.05, "ReservoirSize": 1, "ServiceName": "*",
            "ServiceType": "*", "ResourceARN": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1,
            "Attributes": {},
        });
        if let Value::Object(changes) = changes {
            for (key, value) in changes {
                rule[key] = value;
            }
        }
        let name = rule["RuleName"].as_str().unwrap_or_default();
        rule["RuleARN"] = format!("arn:aws:xray:eu-central-1:123456789012:sampling-rule/{name}").into();
        rule
    }

    /// A service with these rules.
    pub fn with_rules(rules: impl IntoIterator<Item = Value>) -> Self {
        Self { rules: rules.into_iter().collect(), ..Self::default() }
    }

    /// A user changes the rules, at the caller's time `now`.
    pub fn change_rules(&mut self, rules: impl IntoIterator<Item = Value>, now: Duration) {
        self.rules = rules.into_iter().collect();
        self.modified_at = self.clock(now);
    }

    /// The rate of a rule is boosted for a time from `now` on.
    pub fn boost(&mut self, rule: &str, rate: f64, now: Duration, lasting: Duration) {
        let until = self.clock(now) + lasting;
        self.boosts.insert(rule.to_owned(), (rate, until));
    }

    /// The next `calls` are answered so.
    pub fn trouble(&mut self, calls: usize, status: u16, body: &str) {
        let answer = ServiceAnswer { status, headers: Vec::new(), body: body.to_owned() };
        self.trouble.extend(std::iter::repeat_n(answer, calls));
    }

    /// Throttles the next `calls`, as the service does.
    pub fn throttle(&mut self, calls: usize) {
        self.trouble(calls, 429, r#"{"__type":"ThrottledException","Message":"Rate exceeded"}"#);
    }

    /// Statistics of that rule come back unprocessed, once.
    pub fn leave_unprocessed(&mut self, rule: &str, code: &str) {
        self.unprocessed.insert(rule.to_owned(), code.to_owned());
    }

    /// The service is well again.
    pub fn heal(&mut self) {
        self.trouble.clear();
    }

    /// Sum over all reports on a rule: requests, sampled, borrowed.
    pub fn reported(&self, rule: &str) -> (u64, u64, u64) {
        let reports = self.reports.iter().filter(|report| report.rule == rule);
        reports.fold((0, 0, 0), |sum, it| (sum.0 + it.requests, sum.1 + it.sampled, sum.2 + it.borrowed))
    }

    /// Sum over all reports on anomalies below a rule: total, anomalies, sampled anomalies.
    pub fn reported_anomalies(&self, rule: &str) -> (u64, u64, u64) {
        let reports = self.boost_reports.iter().filter(|report| report.rule == rule);
        reports.fold((0, 0, 0), |sum, it| (sum.0 + it.total, sum.1 + it.anomalies, sum.2 + it.sampled_anomalies))
    }

    /// Calls of that path.
    pub fn calls_of(&self, path: &str) -> usize {
        self.calls.iter().filter(|(_, called)| called == path).count()
    }

    /// Answers a call at the caller's time `now`, since the epoch.
    pub fn answer(&mut self, path: &str, body: &[u8], now: Duration) -> ServiceAnswer {
        self.calls.push((now, path.to_owned()));
        if let Some(trouble) = self.trouble.pop_front() {
            return trouble;
        }
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let answered = match path {
            "/GetSamplingRules" => self.rules_page(&request),
            "/SamplingTargets" => self.targets(&request, self.clock(now)),
            _ => Err(format!("no such operation: {path}")),
        };
        let headers = vec![("date".to_owned(), http_date(self.clock(now).as_secs()))];
        match answered {
            Ok(body) => ServiceAnswer { status: 200, headers, body: body.to_string() },
            Err(problem) => {
                let body = json!({"__type": "InvalidRequestException", "Message": problem}).to_string();
                self.violations.push(problem);
                ServiceAnswer { status: 400, headers, body }
            }
        }
    }

    fn clock(&self, now: Duration) -> Duration {
        Duration::from_secs_f64((now.as_secs_f64() + self.ahead_seconds as f64).max(0.0))
    }

    fn rules_page(&self, request: &Value) -> Result<Value, String> {
        let request = request.as_object().ok_or("the body is no object")?;
        let first = match request.get("NextToken") {
            None => 0,
            Some(token) => {
                let page = token.as_str().and_then(|token| token.strip_prefix("page-")?.parse::<usize>().ok());
                page.ok_or_else(|| format!("no such page: {token}"))?
            }
        };
        let record =
            |rule| json!({"SamplingRule": rule, "CreatedAt": 0.0, "ModifiedAt": self.modified_at.as_secs_f64()});
        let records: Vec<_> = self.rules.iter().skip(first).take(self.page_size).map(record).collect();
        let next = first + records.len();
        let token = if next < self.rules.len() { json!(format!("page-{next}")) } else { Value::Null };
        Ok(json!({"SamplingRuleRecords": records, "NextToken": token}))
    }

    fn targets(&mut self, request: &Value, clock: Duration) -> Result<Value, String> {
        let documents = request["SamplingStatisticsDocuments"].as_array().ok_or("no SamplingStatisticsDocuments")?;
        let nothing = Vec::new();
        let boosts = request["SamplingBoostStatisticsDocuments"].as_array().unwrap_or(&nothing);
        if MAX_DOCUMENTS < documents.len().max(boosts.len()) {
            return Err(format!("{} and {} documents", documents.len(), boosts.len()));
        }
        let taken = documents.iter().map(|document| read_report(document, clock)).collect::<Result<Vec<_>, _>>()?;
        let boosts = boosts.iter().map(|document| read_boost(document, clock)).collect::<Result<Vec<_>, _>>()?;
        let (mut targets, mut unprocessed) = (Vec::new(), Vec::new());
        for report in taken {
            let rule = self.rules.iter().find(|rule| rule["RuleName"] == report.rule.as_str());
            let code = self.unprocessed.remove(&report.rule);
            match (rule, code) {
                (Some(rule), None) => {
                    self.clients.insert(report.client.clone());
                    let quota = rule["ReservoirSize"].as_u64().unwrap_or(0) / self.clients.len() as u64;
                    let mut target = json!({
                        "RuleName": report.rule, "FixedRate": rule["FixedRate"], "Interval": self.interval,
                        "ReservoirQuota": quota, "ReservoirQuotaTTL": (clock + QUOTA_TTL).as_secs_f64(),
                    });
                    if let Some((rate, until)) = self.boosts.get(&report.rule).filter(|(_, until)| clock < *until) {
                        target["SamplingBoost"] = json!({"BoostRate": rate, "BoostRateTTL": until.as_secs_f64()});
                    }
                    targets.push(target);
                    self.reports.push(report);
                }
                (_, code) => {
                    let code = code.unwrap_or_else(|| "RuleNotFound".to_owned());
                    unprocessed.push(json!({"RuleName": report.rule, "ErrorCode": code, "Message": "not processed"}));
                }
            }
        }
        self.boost_reports.extend(boosts);
        Ok(json!({
            "SamplingTargetDocuments": targets, "LastRuleModification": self.modified_at.as_secs_f64(),
            "UnprocessedStatistics": unprocessed,
        }))
    }
}

fn read_report(document: &Value, clock: Duration) -> Result<RuleReport, String> {
    check_time(document, clock)?;
    let report = RuleReport {
        rule: text(document, "RuleName")?,
        client: text(document, "ClientID")?,
        requests: number(document, "RequestCount")?,
        sampled: number(document, "SampledCount")?,
        borrowed: number(document, "BorrowCount")?,
    };
    let client_is_fine = report.client.len() == 24 && report.client.bytes().all(|byte| byte.is_ascii_hexdigit());
    let counts_are_fine = report.sampled <= report.requests && report.borrowed <= report.sampled;
    if client_is_fine && counts_are_fine { Ok(report) } else { Err(format!("not possible: {document}")) }
}

fn read_boost(document: &Value, clock: Duration) -> Result<BoostReport, String> {
    check_time(document, clock)?;
    let report = BoostReport {
        rule: text(document, "RuleName")?,
        service: text(document, "ServiceName")?,
        total: number(document, "TotalCount")?,
        anomalies: number(document, "AnomalyCount")?,
        sampled_anomalies: number(document, "SampledAnomalyCount")?,
    };
    let fine = report.anomalies <= report.total && report.sampled_anomalies <= report.anomalies;
    if fine { Ok(report) } else { Err(format!("not possible: {document}")) }
}

fn check_time(document: &Value, clock: Duration) -> Result<(), String> {
    let time = document["Timestamp"].as_f64().ok_or_else(|| format!("no Timestamp: {document}"))?;
    if (time - clock.as_secs_f64()).abs() <= MAX_SKEW_SECONDS {
        Ok(())
    } else {
        Err(format!("from another time: {time}"))
    }
}

fn text(document: &Value, key: &str) -> Result<String, String> {
    let text = document[key].as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| format!("no {key}: {document}"))
}

fn number(document: &Value, key: &str) -> Result<u64, String> {
    document[key].as_u64().ok_or_else(|| format!("no {key}: {document}"))
}

/// `Thu, 01 Jan 2026 00:00:00 GMT` of Unix seconds. The day's name is not looked at by anyone here, and always Thursday.
fn http_date(seconds: u64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while 365 + u64::from(leap(year)) <= days {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while lengths[month] <= days {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("Thu, {:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT", days + 1, MONTHS[month])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_has_them() {
        for (seconds, wanted) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Thu, 06 Nov 1994 08:49:37 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_767_225_600, "Thu, 01 Jan 2026 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(seconds), wanted);
        }
    }

    #[test]
    fn a_report_that_breaks_the_contract_is_refused_and_remembered() {
        let now = Duration::from_secs(1_767_225_600);
        let fine = json!({"RuleName": "Default", "ClientID": "0123456789abcdef01234567", "Timestamp": now.as_secs(),
                          "RequestCount": 3, "SampledCount": 2, "BorrowCount": 1});
        let mut service = SamplingService::with_rules([SamplingService::rule(json!({}))]);
        for (key, value) in [
            ("RuleName", json!(null)),
            ("ClientID", json!("short")),
            ("Timestamp", json!(0)),
            ("SampledCount", json!(4)),
            ("BorrowCount", json!(3)),
            ("RequestCount", json!(-1)),
        ] {
            let mut document = fine.clone();
            document[key] = value;
            let body = json!({"SamplingStatisticsDocuments": [document]}).to_string();
            assert_eq!(service.answer("/SamplingTargets", body.as_bytes(), now).status, 400, "{key}");
        }
        assert_eq!((service.violations.len(), service.reports.len()), (6, 0));
        let body = json!({"SamplingStatisticsDocuments": [fine]}).to_string();
        assert_eq!(service.answer("/SamplingTargets", body.as_bytes(), now).status, 200);
        assert_eq!(service.reported("Default"), (3, 2, 1));
    }
}
