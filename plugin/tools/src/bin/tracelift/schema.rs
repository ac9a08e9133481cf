//! `tracelift schema`.

use anyhow::Result;
use clap::Args;

use crate::{Outcome, file};

/// Print the JSON Schema of the configuration (draft 2020-12)
#[derive(Args)]
pub struct Schema {
    /// The reference of all keys as a Markdown table instead
    #[arg(long)]
    markdown: bool,
}

impl Schema {
    /// A schema is JSON in any case.
    pub fn execute(&self) -> Result<Outcome> {
        if self.markdown {
            file::print(&tracelift_tools::reference::configuration())?;
        } else {
            file::print_json(&tracelift::config::schema())?;
        }
        Ok(Outcome::Fine)
    }
}
