//! Output that nobody reads to its end.

use crate::running::{birthmark, texts};

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_worth_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "no picture").unwrap();
    for arguments in [
        vec!["digest", file.to_str().unwrap()],
        vec!["completions", "bash"],
        vec!["man"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = birthmark(&arguments, folder.path());
        let output = command.stdout(writer).output().unwrap();
        let (_, errors) = texts(&output);
        assert_eq!(
            (output.status.code(), errors.as_str()),
            (Some(141), ""),
            "{arguments:?}"
        );
    }
}
