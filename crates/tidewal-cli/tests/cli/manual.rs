//! Help, completions, manual pages and colors.

use crate::helpers::{Log, command, tidewal};

#[test]
fn help_says_what_matters() {
    let text = tidewal(&["dump", "--help"]).assert_ok().text();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("cannot be followed from another process while a service appends"),
        "{text}"
    );
    let text = tidewal(&["verify", "--help"]).text();
    assert!(
        text.contains("0 if the log is sound, 1 if it is damaged, 2"),
        "{text}"
    );
    let text = tidewal(&["append", "--help"]).text();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("checks only how the log ends"), "{text}");
    assert!(
        tidewal(&["--version"])
            .text()
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn what_is_for_tests_only_is_offered_to_nobody() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(!tidewal(&["completions", shell]).text().contains("rehearse"));
    }
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            tidewal(&["completions", shell])
                .assert_ok()
                .text()
                .contains("salvage")
        );
    }
    let log = Log::empty();
    tidewal(&["man", "--dir", log.path()]).assert_ok();
    assert!(log.dir.join("tidewal-repair.1").exists());
}

#[test]
fn each_command_has_a_manual_page_and_examples() {
    let page = tidewal(&["man"]).assert_ok().text();
    assert!(page.contains(".TH tidewal 1"), "{page}");
    for name in [
        "inspect", "dump", "verify", "repair", "append", "bench", "man",
    ] {
        let page = tidewal(&["man", name]).assert_ok().text();
        assert!(page.contains(&format!(".TH tidewal-{name} 1")), "{page}");
        for help in ["-h", "--help"] {
            let help = tidewal(&[name, help]).assert_ok().text();
            assert!(help.contains("Examples:"), "{help}");
        }
    }
    tidewal(&["man", "mend"]).assert_failed(2, "`tidewal` has no command mend");
    tidewal(&["man", "dump", "it"]).assert_failed(2, "`tidewal dump` has no command it");
}

#[test]
fn colours_are_for_those_who_ask() {
    let log = Log::make();
    let colours = |name: &str, value: &str| {
        let output = command(&["verify", log.path()])
            .env(name, value)
            .output()
            .unwrap();
        output.stdout.contains(&0x1b)
    };
    assert!(!colours("NO_COLOR", "1"));
    assert!(
        colours("CLICOLOR_FORCE", "1"),
        "colours can be asked for in a pipe"
    );
}
