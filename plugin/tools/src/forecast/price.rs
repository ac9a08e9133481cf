//! What a back end asks for traces.

use serde::{Deserialize, Serialize};

/// Prices of a month, in US dollars. What is not asked for is 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceTable {
    /// Whose prices.
    pub name: String,
    /// When and where they were read.
    pub read: String,
    /// For a million traces recorded.
    pub per_million_traces: f64,
    /// Traces of a month that cost nothing.
    pub free_traces: f64,
    /// For a million spans.
    pub per_million_spans: f64,
    /// For 10^9 bytes of OTLP as it leaves the filter, uncompressed.
    pub per_gigabyte: f64,
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Item {
    /// What is charged.
    pub what: String,
    /// In US dollars.
    pub dollars: f64,
}

impl Default for PriceTable {
    /// Nothing costs anything.
    fn default() -> Self {
        Self {
            name: "custom".to_owned(),
            read: "as given".to_owned(),
            per_million_traces: 0.0,
            free_traces: 0.0,
            per_million_spans: 0.0,
            per_gigabyte: 0.0,
        }
    }
}

impl PriceTable {
    /// AWS X-Ray. The price of retrieving traces is left out: it follows from reading, not from sampling.
    pub fn xray() -> Self {
        Self {
            name: "AWS X-Ray".to_owned(),
            read: "aws.amazon.com/xray/pricing as read in 2026-11, traces recorded".to_owned(),
            per_million_traces: 5.0,
            free_traces: 100_000.0,
            ..Self::default()
        }
    }

    /// The bill for a month of so much, without the items that cost nothing.
    pub fn bill(&self, traces: f64, spans: f64, bytes: f64) -> Vec<Item> {
        let charged = (traces - self.free_traces).max(0.0);
        let items = [
            ("traces", charged / 1e6 * self.per_million_traces),
            ("spans", spans / 1e6 * self.per_million_spans),
            ("bytes", bytes / 1e9 * self.per_gigabyte),
        ];
        let items = items.into_iter().filter(|(_, dollars)| 0.0 < *dollars);
        items.map(|(what, dollars)| Item { what: what.to_owned(), dollars }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_own_example_comes_out() {
        // 2,000 requests an hour at 10 % are 148,800 traces in a month of 31 days: $0.24.
        let bill = PriceTable::xray().bill(2000.0 * 24.0 * 31.0 * 0.1, 0.0, 0.0);
        assert_eq!(bill.len(), 1);
        assert!((bill[0].dollars - 0.244).abs() < 1e-9, "{bill:?}");
        assert_eq!(PriceTable::xray().bill(100_000.0, 1e9, 1e12), []);
    }
}
