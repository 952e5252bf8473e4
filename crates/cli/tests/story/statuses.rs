//! The table of exit statuses in docs/OPERATING.md, line by line, against the programs as they are
//! built.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::binary;

/// What cannot be reached where nothing runs, whatever else this machine runs.
const NOWHERE: [&str; 3] = [
    "BIRTHMARK_CAPTURE_SOCKET",
    "BIRTHMARK_SIGNER_SOCKET",
    "BIRTHMARK_GPS_SOCKET",
];
/// The commands whose help names its statuses and that have lines of their own.
const ANSWERING: [&[&str]; 9] = [
    &["verify"],
    &["mirror"],
    &["audit"],
    &["follow"],
    &["edit"],
    &["digest"],
    &["receipt", "show"],
    &["receipt", "fetch"],
    &["disclose", "check"],
];

/// A line of the table.
#[derive(Debug)]
struct Line {
    command: String,
    statuses: Vec<i32>,
    /// A program with its arguments, or the name of a test.
    shown: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn table() -> Vec<Line> {
    let text = std::fs::read_to_string(root().join("docs/OPERATING.md")).unwrap();
    let section = text.split("## Exit statuses").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|'));
    let rows = rows.skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [command, statuses, _, shown] = cells[..] else {
            panic!("four cells are wanted: {row}");
        };
        let statuses = statuses.split(", ").map(|one| one.parse().unwrap());
        Line {
            command: command.trim_matches('`').to_owned(),
            statuses: statuses.collect(),
            shown: shown.trim_matches('`').to_owned(),
        }
    })
    .collect()
}

fn run(words: &str, folder: &Path) -> (Option<i32>, String) {
    let mut words = words.split(' ');
    let mut command = Command::new(binary(words.next().unwrap()));
    command.args(words).current_dir(folder);
    for socket in NOWHERE {
        command.env(socket, folder.join("no-socket"));
    }
    let runtime = folder.join("no-runtime-folder");
    for variable in [
        "BIRTHMARK_GENESIS",
        "BIRTHMARK_NODE",
        "CREDENTIALS_DIRECTORY",
    ] {
        command.env_remove(variable);
    }
    let output = command
        .env("XDG_RUNTIME_DIR", runtime)
        .env("XDG_CONFIG_HOME", folder)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Whether there is a test of this name anywhere in the workspace.
fn is_a_test(name: &str) -> bool {
    let mut folders = vec![root().join("crates")];
    let wanted = format!("fn {name}(");
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs")
                && std::fs::read_to_string(&path).unwrap().contains(&wanted)
            {
                return true;
            }
        }
    }
    false
}

#[test]
fn every_documented_exit_status_is_what_the_program_ends_with() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("photo.jpg"), "no picture").unwrap();
    let (made, entry) = run("birthmark-node keys keys --name a.example", folder);
    assert_eq!(made, Some(0), "{entry}");
    std::fs::write(folder.join("validator.toml"), entry).unwrap();
    let genesis = "birthmark-node genesis genesis.toml --chain-id a.example/registry --validator validator.toml";
    let (made, said) = run(genesis, folder);
    assert_eq!(made, Some(0), "{said}");

    let lines = table();
    assert!(lines.len() > 50, "{}", lines.len());
    for line in &lines {
        if line.shown.starts_with("birthmark") {
            let (status, said) = run(&line.shown, folder);
            let wanted = Some(line.statuses[0]);
            assert_eq!(status, wanted, "{}: {said}", line.shown);
        } else {
            assert!(is_a_test(&line.shown), "{line:?}");
        }
    }
}

#[test]
fn every_status_that_a_command_s_help_names_stands_in_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let lines = table();
    for path in ANSWERING {
        let command = format!("birthmark {}", path.join(" "));
        let (_, help) = run(&format!("{command} --help"), folder.path());
        let said = help.split("Exit status: ").nth(1);
        let said = said.unwrap_or_else(|| panic!("{command} names no statuses: {help}"));
        let words = said.split(|letter: char| letter.is_whitespace() || letter == ',');
        let named: BTreeSet<i32> = words.filter_map(|word| word.parse().ok()).collect();
        let listed = lines.iter().filter(|line| line.command == command);
        let listed: BTreeSet<i32> = listed.flat_map(|line| line.statuses.clone()).collect();
        assert!(
            named.is_subset(&listed) && named.len() > 1,
            "{command}: help names {named:?}, docs/OPERATING.md {listed:?}"
        );
    }
}
