//! The demo's program; all of it is in the library, which the X-Ray example drives too.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    tracelift_shop::main().await
}
