//! Help, and a mistake on the command line, are answered at once: nothing is built or looked for before.

use std::process::{Command, Output};

/// The program where nothing can be built: no Cargo, nothing on `PATH`.
fn xtask(arguments: &[&str]) -> Output {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.args(arguments).env("CARGO", "/nonexistent/cargo").env("PATH", "/nonexistent");
    xtask.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_never_builds() {
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--help"], &["demo", "mesh", "playground"]),
        (&["mesh", "--help"], &["--recall", "--sabotage", "storm"]),
        (&["mesh", "-h"], &["--recall"]),
        (&["demo", "--help"], &["--xray", "--failures", "--port", "--aws"]),
        (&["demo", "--", "--help"], &["--failures", "--port"]),
        (&["demo", "--xray", "--", "--help"], &["--aws", "--failures"]),
        (&["bench", "--help"], &["--accept", "--against", "--scene"]),
        (&["bench", "--", "--help"], &["--against", "--scene"]),
        (&["playground", "--help"], &["--port", "7879"]),
    ];
    for (arguments, expected) in cases {
        let output = xtask(arguments);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        for word in expected {
            assert!(said.contains(word), "{arguments:?} does not name {word}:\n{said}");
        }
    }
}

#[test]
fn a_wrong_option_is_refused_before_anything_is_built() {
    let cases: [(&[&str], &str); 5] = [
        (&["mesh", "--troubles", "calm"], "--troubles"),
        (&["mesh", "--trouble", "rain"], "everyday"),
        (&["demo", "--failures", "5%"], "not a number"),
        (&["demo", "--xray", "--port", "1"], "--port"),
        (&["bench", "--", "--sceme", "x"], "--sceme"),
    ];
    for (arguments, expected) in cases {
        let output = xtask(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_an_error_before_anything_is_built() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for command in ["demo", "playground"] {
        let output = xtask(&[command, "--port", &port]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(said.contains(&format!("port {port} of 127.0.0.1 is not available")), "{command}: {said}");
        assert!(!text(&output.stdout).contains("Building"), "{command}");
    }
}

#[test]
fn nobody_waits_before_a_silent_terminal() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let alias = std::fs::read_to_string(format!("{root}/.cargo/config.toml")).unwrap();
    assert!(alias.contains("xtask = \"run ") && !alias.contains("--quiet"), "{alias}");
    let commands = format!("{root}/xtask/src/commands");
    let files = ["", "/test"].map(|folder| std::fs::read_dir(format!("{commands}{folder}")).unwrap());
    for path in files.into_iter().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("\"--quiet\""), "{} builds quietly", path.display());
    }
}
