//! What every daemon answers on the command line.

use crate::running::{Place, ask};

fn check(lines: &str) -> (i32, String, String, String) {
    let place = Place::with(lines);
    let file = place.path("clock.toml").display().to_string();
    let (status, out, err) = ask(&["check-config", "--config", &file]);
    (status, out, err, file)
}

#[test]
fn it_says_its_name_and_version() {
    let (status, out, _) = ask(&["--version"]);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        (
            status,
            out.starts_with(&format!("birthmark-clock {version}"))
        ),
        (0, true),
        "{out}"
    );
}

#[test]
fn help_manual_and_completions_know_every_command() {
    for arguments in [
        &["--help"][..],
        &["man"],
        &["completions", "bash"],
        &["completions", "fish"],
    ] {
        let (status, out, err) = ask(arguments);
        assert_eq!((status, err.as_str()), (0, ""));
        if arguments == ["--help"] {
            assert!(
                out.starts_with("Tells the time to those who may ask"),
                "{out}"
            );
        }
        for command in ["check-config", "completions", "now"] {
            let plain = out.replace("\\-", "-");
            assert!(
                plain.contains(command),
                "{arguments:?} does not mention {command}"
            );
        }
    }
}

#[test]
fn the_help_of_a_command_names_its_own_options_first() {
    let (status, out, _) = ask(&["check-config", "--help"]);
    assert_eq!(status, 0);
    assert!(out.contains("without the files it names"), "{out}");
    let (own, everywhere) = out.split_once("Options of every command:").unwrap();
    assert!(own.contains("--show") && own.contains("--help"), "{out}");
    for option in ["--config", "--log", "--log-dependencies", "--grace"] {
        assert!(
            everywhere.contains(option) && !own.contains(option),
            "{option}: {out}"
        );
    }
}

#[test]
fn a_command_of_its_own_runs_with_the_settings() {
    let place = Place::with("");
    let file = place.path("clock.toml").display().to_string();
    let (status, _, log) = ask(&["now", "--config", &file]);
    assert_eq!(status, 1);
    assert!(log.contains("error: cannot reach "), "{log}");
    let _running = place.start(&[]);
    let (status, out, _) = ask(&["now", "--config", &file]);
    assert_eq!(status, 0);
    assert!(out.trim().parse::<i64>().unwrap() > 1_700_000_000);
    std::fs::write(&file, "colour = 1\n").unwrap();
    assert_eq!(ask(&["now", "--config", &file]).0, 78);
}

#[test]
fn a_wrong_command_line_is_no_configuration_error() {
    assert_eq!(ask(&["--colour"]).0, 2);
    assert_eq!(ask(&["--log", "loud"]).0, 2);
}

#[test]
fn a_good_configuration_is_called_good() {
    let (status, out, err, file) = check("listen = \"127.0.0.1:0\"");
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(
        out,
        format!("{file}: good; the files it names were not looked at\n")
    );
}

#[test]
fn all_settings_can_be_shown_as_they_apply() {
    let place = Place::with("sealed = true");
    let file = place.path("clock.toml").display().to_string();
    let (status, out, _) = ask(&["check-config", "--show", "--config", &file]);
    assert_eq!(status, 0);
    assert!(
        out.contains("sealed = true\n") && out.contains("idle_milliseconds = 60000\n"),
        "{out}"
    );
}

#[test]
fn a_bad_configuration_ends_with_78_and_place_field_reason() {
    let (status, out, err, file) = check("colour = \"red\"");
    assert_eq!((status, out.as_str()), (78, ""));
    let expected = format!("error: {file}:2:1: `colour`: unknown field");
    assert!(err.starts_with(&expected), "{err}");
    let (status, _, err, file) = check("\nlisten = \"0.0.0.0:80\"");
    let expected = format!("error: {file}:3:1: `listen`: must be a loopback address\n");
    assert_eq!((status, err), (78, expected));
}

#[test]
fn the_daemon_itself_refuses_what_check_config_refuses() {
    let place = Place::with("sealed = \"yes\"");
    let file = place.path("clock.toml").display().to_string();
    let (status, _, err) = ask(&["--config", &file]);
    assert_eq!(status, 78);
    assert!(
        err.contains(&format!("{file}:2:10: `sealed`: invalid type")),
        "{err}"
    );
    assert_eq!(ask(&["--config", "/nonexistent/clock.toml"]).0, 78);
}

#[test]
fn a_command_that_needs_no_settings_runs_before_there_are_any() {
    let (status, out, err) = ask(&["zones", "--config", "/nonexistent/clock.toml"]);
    assert_eq!((status, out.as_str()), (0, "UTC\n"), "{err}");
    assert_eq!(ask(&["now", "--config", "/nonexistent/clock.toml"]).0, 78);
}
