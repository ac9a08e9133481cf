//! One file: the page, its style, its scripts and the engine, so that it works from anywhere, also without a network.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wasm_bindgen_cli_support::Bindgen;

const PAGE: &str = include_str!("../page/index.html");
const STYLE: &str = include_str!("../page/style.css");
const SCRIPTS: [&str; 7] = [
    include_str!("../page/editor.js"),
    include_str!("../page/mesh.js"),
    include_str!("../page/plot.js"),
    include_str!("../page/forecast.js"),
    include_str!("../page/timeline.js"),
    include_str!("../page/rate.js"),
    include_str!("../page/main.js"),
];

/// Writes the page.
pub fn bundle(engine: &Path, page: &Path) -> Result<()> {
    let mut output = Bindgen::new()
        .input_path(engine)
        .no_modules(true)?
        .typescript(false)
        .remove_producers_section(true)
        .generate_output()
        .with_context(|| format!("{} is no module that wasm-bindgen made", engine.display()))?;
    let wasm = STANDARD.encode(output.wasm_mut().emit_wasm());
    let text = [
        ("<!-- style -->", format!("<style>\n{STYLE}</style>")),
        ("<!-- engine -->", format!("<script>\n{}\nconst ENGINE = \"{wasm}\";\n</script>", output.js())),
        ("<!-- scripts -->", format!("<script>\n\"use strict\";\n{}</script>", SCRIPTS.concat())),
    ]
    .iter()
    .try_fold(PAGE.to_owned(), |text, (place, part)| {
        ensure!(text.matches(place).count() == 1, "the page has not exactly one {place}");
        // An end tag inside of a script would end it.
        ensure!(part.matches("</script").count() <= 1, "a script holds the end of a script");
        Ok(text.replacen(place, part, 1))
    })?;
    if let Some(folder) = page.parent() {
        fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    }
    fs::write(page, &text).with_context(|| format!("could not write {}", page.display()))?;
    println!("{}  {} bytes", page.display(), text.len());
    Ok(())
}
