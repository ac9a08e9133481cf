//! The checks of the Python package.

use anyhow::Result;

use crate::run;
use crate::tools::tracelift_otel::TraceliftOtel;

/// Formatting, lints, types, tests; `see` gets each line of the tests.
pub(crate) fn execute(see: impl FnMut(&str)) -> Result<()> {
    let package = TraceliftOtel::ensure()?;
    for arguments in [
        &["-m", "ruff", "format", "--check", "."][..],
        &["-m", "ruff", "check", "--no-cache", "."],
        &["-m", "mypy", "--no-incremental"],
    ] {
        run::run(package.command().args(arguments))?;
    }
    let mut pytest = package.command();
    // Warnings of the interpreter's end (threads, sockets) are the package's to avoid.
    pytest.args(["-X", "dev", "-m", "pytest", "-q", "--color=no"]);
    let status = run::run_seen(&mut pytest, see)?;
    run::check(&pytest, status)
}
