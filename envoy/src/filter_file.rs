//! The filter of a listener in a file that Envoy watches (ECDS, as `ecds/`): its settings change without a restart.

use crate::config::{Bootstrap, PatchError};
use crate::filter::Filter;
use crate::process::replace_file;
use serde_json::{Value, json};
use std::fmt;
use std::io;
use std::path::PathBuf;
use tempfile::TempDir;

/// What stands in the chain in place of the filter, as users copy it.
const DISCOVERY: &str = include_str!("../ecds/filter.yaml");

/// The file, in a folder of its own that goes with it.
#[derive(Debug)]
pub struct FilterFile {
    directory: TempDir,
    filter: Value,
}

impl FilterFile {
    /// Moves the filter of a listener out of the bootstrap and into a file.
    pub fn take(bootstrap: &mut Bootstrap, listener: &str) -> Result<Self, FilterFileError> {
        let directory = TempDir::with_prefix("tracelift-filter-")?;
        let mut discovery = Bootstrap::from_yaml(DISCOVERY)?;
        let path = directory.path().join("tracelift.yaml");
        discovery.set("/config_discovery/config_source/path_config_source/path", json!(path))?;
        let filters = &mut bootstrap.connection_manager(listener)?["http_filters"];
        let filters = filters.as_array_mut().ok_or_else(|| PatchError::NoPointer("/http_filters".to_owned()))?;
        let ours = filters.iter_mut().find(|filter| filter["name"] == discovery.as_value()["name"]);
        let ours = ours.ok_or_else(|| PatchError::NoName { list: "http_filters", name: "tracelift".to_owned() })?;
        let filter = std::mem::replace(ours, discovery.as_value().clone());
        let file = Self { directory, filter };
        file.write()?;
        Ok(file)
    }

    /// Changes the filter's settings; Envoy takes them up within a moment.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) -> Result<(), FilterFileError> {
        let text = &mut self.filter["typed_config"]["config"]["configuration"]["value"];
        let settings = text.as_str().and_then(|text| serde_json::from_str(text).ok());
        let mut settings: Value = settings.ok_or(PatchError::NoPluginJson)?;
        change(&mut settings);
        *text = settings.to_string().into();
        Ok(self.write()?)
    }

    fn write(&self) -> io::Result<()> {
        let resource = json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": self.filter["name"],
            "typed_config": self.filter["typed_config"],
        });
        let mut response = json!({ "resources": [resource] });
        if let Ok(filter) = Filter::of_this_run() {
            filter.put_into(&mut response);
        }
        replace_file(&self.path(), &response.to_string())
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("tracelift.yaml")
    }
}

/// Why there is no such file.
#[derive(Debug)]
pub enum FilterFileError {
    /// The bootstrap is not as it is shipped.
    Patch(PatchError),
    /// The folder or the file.
    Io(io::Error),
}

impl fmt::Display for FilterFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patch(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FilterFileError {}

impl From<PatchError> for FilterFileError {
    fn from(error: PatchError) -> Self {
        Self::Patch(error)
    }
}

impl From<io::Error> for FilterFileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Shipped;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_filter_moves_into_a_file_whose_settings_change() {
        let mut bootstrap = Bootstrap::shipped(Shipped::Gateway, Path::new("/lib/tracelift.wasm")).unwrap();
        let mut file = FilterFile::take(&mut bootstrap, "edge").unwrap();
        let text = bootstrap.as_value().to_string();
        assert!(text.contains("config_discovery") && !text.contains("/lib/tracelift.wasm"), "{text}");
        let written = |file: &FilterFile| fs::read_to_string(file.path()).unwrap();
        assert!(written(&file).contains("/lib/tracelift.wasm") && written(&file).contains(r#"\"ratio\": 0.05"#));
        file.change(|settings| settings["sampling"]["ratio"] = 0.5.into()).unwrap();
        assert!(written(&file).contains(r#"\"ratio\":0.5"#), "{}", written(&file));
        assert!(FilterFile::take(&mut bootstrap, "inbound").is_err());
    }
}
