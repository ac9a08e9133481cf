//! The X-Ray exporter's settings, as a collector's configuration has them.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// What the shipped configuration may say of `exporters.awsxray`. An unknown key is refused, as the collector does.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct ExporterSettings {
    /// Where segments go; from the environment when empty.
    pub region: String,
    /// Another address than the region's.
    pub endpoint: String,
    /// Attributes that become annotations, which X-Ray searches; the others become metadata.
    pub indexed_attributes: Vec<String>,
    /// All attributes become annotations.
    pub index_all_attributes: bool,
    /// Calls at a time; 0 is the exporter's default, 8.
    pub num_workers: u32,
    /// Tries of one call after the first; 0 is the exporter's default, 2.
    pub max_retries: u32,
}

impl ExporterSettings {
    /// Reads them from a collector's whole configuration, in YAML.
    pub fn from_collector(configuration: &str) -> Result<Self> {
        let whole: Value = yaml_serde::from_str(configuration).context("the collector's configuration")?;
        let exporter = whole.pointer("/exporters/awsxray").context("no exporters.awsxray in the configuration")?;
        serde_json::from_value(exporter.clone()).context("exporters.awsxray")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_refused() {
        let read = |yaml: &str| ExporterSettings::from_collector(yaml);
        assert!(read("exporters: { awsxray: { indexed_attributes: [a] } }").is_ok());
        let error = read("exporters: { awsxray: { index_attributes: [a] } }").unwrap_err();
        assert!(format!("{error:#}").contains("index_attributes"), "{error:#}");
        assert!(read("exporters: {}").is_err());
    }
}
