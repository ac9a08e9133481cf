//! Prints the JSON Schema of the configuration: `cargo run -p tracelift-tools --features schema --example schema`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(&tracelift::config::schema())?;
    text.push('\n');
    std::io::stdout().write_all(text.as_bytes())
}
