//! A Chromium and its WebDriver, for the tests of the pages.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::run;
use crate::tools::debian;

/// Names the driver to the tests.
pub(crate) const VARIABLE: &str = "TRACELIFT_CHROMEDRIVER";

const DRIVER: &str = "chromedriver";
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// The driver on `PATH`, installed where we may.
pub(crate) fn ensure() -> Result<PathBuf> {
    if run::find_on_path(DRIVER).is_none() && debian::can_install() {
        debian::install(&PACKAGES)?;
    }
    match run::find_on_path(DRIVER) {
        Some(driver) => Ok(driver),
        None => bail!(
            "{DRIVER} is not on PATH; the tests of the demo's page and of the playground click through them. Run:\n  {}\nor install Chrome and the \
             chromedriver of its version.",
            debian::install_line(&PACKAGES)
        ),
    }
}
