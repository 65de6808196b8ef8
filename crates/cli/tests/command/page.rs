//! The examples of docs/command.md: each call says exactly what stands there.
//!
//! To write what the calls say today into the page: `WRITE_EXAMPLES=1 cargo test -p wallaroo-cli`.

use std::fmt::Write as _;
use std::path::Path;

use super::stores::{Application, damage, object};
use super::wallaroo;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command.md");

/// The words of a line, as a shell reads them: blanks between them, and single quotes around what has blanks.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is one").push(c),
        }
    }
    words
}

/// The page with what the calls in it say.
fn answered(page: &str, directory: &Path) -> String {
    let (mut text, mut is_console, mut code) = (String::new(), false, 0);
    for line in page.lines() {
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if is_console && !line.starts_with("$ ") {
            continue;
        }
        text.push_str(line);
        text.push('\n');
        if !is_console {
            continue;
        }
        if line == "$ echo $?" {
            let _ = writeln!(text, "{code}");
        } else if let Some(call) = line.strip_prefix("$ wallaroo ") {
            let call = words(call);
            let arguments: Vec<&str> = call.iter().map(String::as_str).collect();
            let said = wallaroo(directory, &arguments);
            text.push_str(&said.output);
            text.push_str(&said.errors);
            code = said.code;
        }
    }
    text
}

#[test]
fn every_example_of_the_page_says_what_stands_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let _application = Application::running(&directory.path().join("stocks"));
    let broken = Application::running(&directory.path().join("broken"));
    damage(&object(&broken.path, "data", "-00000000000000000002-"));
    let page = std::fs::read_to_string(PAGE).expect("is there");
    assert!(page.matches("$ wallaroo ").count() > 8);
    let today = answered(&page, directory.path());
    if std::env::var_os("WRITE_EXAMPLES").is_some() {
        std::fs::write(PAGE, today).expect("can be written");
    } else {
        assert_eq!(page, today, "docs/command.md is not what the command says");
    }
}
