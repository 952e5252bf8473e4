//! The demonstration as people run it: from shutter to verified, and nothing left behind.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use birthmark_testkit::Demonstration;
use birthmark_testkit::demonstration::{children, command};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_photo_goes_from_shutter_to_verified_and_stays_where_asked() {
    let temporary = TempDir::new().unwrap();
    let kept = temporary.path().join("kept");
    let dir = kept.to_str().unwrap();
    let output = output(&["--json", "--photos", "2", "--dir", dir], temporary.path());
    let (text, errors) = texts(&output);
    assert!(output.status.success(), "{text}\n{errors}");
    assert_eq!(errors, "", "nothing is said that people need not read");
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(summary["all_verified"], true, "{summary:#}");
    let photos = summary["photos"].as_array().unwrap();
    assert_eq!(photos.len(), 2);
    assert_ne!(photos[0]["digest"], photos[1]["digest"]);
    for photo in photos {
        let path = Path::new(photo["path"].as_str().unwrap());
        let jpeg = fs::read(path).unwrap();
        assert_eq!(
            jpeg[..3],
            [0xFF, 0xD8, 0xFF],
            "{} is a JPEG",
            path.display()
        );
        assert_eq!(
            photo["answer"]["assurance"], "attested",
            "the emulated TPM attested the key"
        );
        assert!(path.with_extension("jpg.birthmark").exists());
        assert!(
            photo["answer"]["revocations_checked"].is_string(),
            "its validator asks for the list of what was withdrawn: {photo:#}"
        );
    }
    assert!(
        summary["key_store"].as_str().unwrap().contains("swtpm"),
        "the tests run with a TPM emulator"
    );
    assert_only_kept(temporary.path(), &kept);
}

/// A photo of a network is found at all of its validators, each of which signed for it.
#[test]
fn four_validators_decide_together_and_all_sign_for_the_photo() {
    let temporary = TempDir::new().unwrap();
    let kept = temporary.path().join("kept");
    let dir = kept.to_str().unwrap();
    let arguments = ["--photos", "1", "--dir", dir, "--validators", "4"];
    let (text, errors) = texts(&output(
        &[&arguments[..], &["--once"]].concat(),
        temporary.path(),
    ));
    for word in [
        "validator-4.demo.birthmark.example registers at",
        "cosigned by all 4",
    ] {
        assert!(text.contains(word), "{word}: {text}\n{errors}");
    }
    // The folder knows how many there are, and which votes its receipts need.
    let again = ["--json", "--photos", "1", "--dir", dir];
    let told = output(&again, temporary.path());
    let (text, errors) = texts(&told);
    assert!(told.status.success(), "{text}\n{errors}");
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(summary["all_verified"], true, "{summary:#}");
    let photo = &summary["photos"][0];
    let cosigners = photo["cosigners"].as_array().unwrap().iter();
    let cosigners: BTreeSet<_> = cosigners.map(|name| name.as_str().unwrap()).collect();
    assert_eq!(cosigners.len(), 4, "{summary:#}");
    let path = Path::new(photo["path"].as_str().unwrap());
    let receipt = fs::read(path.with_extension("jpg.birthmark")).unwrap();
    let receipt = birthmark_ledger::Receipt::parse(&receipt).unwrap();
    let votes = receipt.certificate.signatures;
    assert!(votes.len() >= 3, "more than two thirds decided: {votes:?}");
    let other = output(
        &[&again[..], &["--validators", "7"]].concat(),
        temporary.path(),
    );
    let (_, errors) = texts(&other);
    assert_eq!(other.status.code(), Some(2));
    assert!(errors.contains("has 4, not 7"), "{errors}");
}

#[test]
fn a_number_of_validators_that_is_worth_less_than_it_looks_is_refused_with_the_reason() {
    let temporary = TempDir::new().unwrap();
    for (size, reason) in [
        ("2", "stops when one validator is away"),
        ("3", "take 1 or 4"),
        ("5", "take 4 or 7"),
        ("0", "must be 1, 4, 7 or 10"),
        ("13", "must be 1, 4, 7 or 10"),
    ] {
        let refused = output(&["--once", "--validators", size], temporary.path());
        let (_, errors) = texts(&refused);
        assert_eq!(refused.status.code(), Some(2), "{size}");
        assert!(errors.contains(reason), "{size}: {errors}");
    }
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// What a demonstration must not leave behind, whatever ends it.
fn assert_nothing_is_left(signal: &str, status: Option<i32>) {
    let temporary = TempDir::new().unwrap();
    let demonstration = start(&["--photos", "1"], temporary.path());
    let processes = children(demonstration.pid());
    assert!(
        processes.len() >= 2,
        "an emulated TPM and the reaper belong to the demonstration: {processes:?}"
    );
    let address = demonstration
        .node()
        .trim_start_matches("http://")
        .to_owned();
    let ended = demonstration.end_with(signal).unwrap();
    assert_eq!(ended.code(), status, "{signal}");
    until("everything is cleared", || {
        let files = fs::read_dir(temporary.path()).unwrap();
        // The folder of what can be found stays, empty.
        let files = files.filter(|file| file.as_ref().unwrap().file_name() != "birthmark");
        let found = fs::read_dir(temporary.path().join("birthmark")).unwrap();
        // What has ended and is not yet collected has no command line.
        let is_gone = |process: &u32| {
            fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| line.is_empty())
                || !Path::new(&format!("/proc/{process}")).exists()
        };
        files.count() == 0 && found.count() == 0 && processes.iter().all(is_gone)
    });
    TcpListener::bind(&address).expect("the port is free again");
}

#[test]
fn ctrl_c_leaves_neither_files_nor_processes() {
    assert_nothing_is_left("INT", Some(130));
}

#[test]
fn an_order_to_stop_leaves_neither_files_nor_processes() {
    assert_nothing_is_left("TERM", Some(143));
}

#[test]
fn a_closed_window_leaves_neither_files_nor_processes() {
    assert_nothing_is_left("HUP", Some(129));
}

#[test]
fn even_a_killed_one_leaves_neither_files_nor_processes() {
    assert_nothing_is_left("KILL", None);
}

#[test]
fn a_kept_folder_is_opened_again_with_its_camera_and_photos() {
    let temporary = TempDir::new().unwrap();
    let kept = temporary.path().join("kept");
    let arguments = ["--json", "--photos", "1", "--dir", kept.to_str().unwrap()];
    let run = || {
        let output = output(&arguments, temporary.path());
        let (text, errors) = texts(&output);
        assert!(output.status.success(), "{text}\n{errors}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let (first, second) = (run(), run());
    assert_eq!(second["all_verified"], true, "{second:#}");
    assert_eq!(first["authority"], second["authority"]);
    let path = |run: &serde_json::Value| run["photos"][0]["path"].as_str().unwrap().to_owned();
    assert_ne!(path(&first), path(&second));
    assert!(
        Path::new(&path(&first)).exists(),
        "the first run's photo is kept"
    );
    assert_eq!(first["key_store"], second["key_store"]);
    let block = |run: &serde_json::Value| run["photos"][0]["answer"]["block_height"].as_u64();
    assert!(
        block(&second) > block(&first),
        "the registry goes on: {second:#}"
    );
}

#[test]
fn the_command_finds_a_running_demonstration_by_itself() {
    let temporary = TempDir::new().unwrap();
    let demonstration = start(&["--photos", "1"], temporary.path());
    let printed = demonstration.printed.join("\n");
    for word in [
        "verify ",
        "receipt show ",
        "status",
        "--node http://127.0.0.1:",
    ] {
        assert!(printed.contains(word), "{word}: {printed}");
    }
    let mut lines = demonstration.printed.iter();
    let photo = lines.find_map(|line| line.trim().split_once(" verify "));
    let photo = photo.unwrap().1.to_owned();
    let birthmark = Path::new(env!("CARGO_BIN_EXE_birthmark-demo")).with_file_name("birthmark");
    let ask = |arguments: &[&str]| {
        let output = command(&birthmark, arguments, temporary.path())
            .output()
            .unwrap();
        let (text, errors) = texts(&output);
        (output.status.code(), text + &errors)
    };
    let (status, said) = ask(&["verify", &photo]);
    assert_eq!(status, Some(0), "{said}");
    for command in [&["verify", "--help"][..], &["receipt", "fetch", "--help"]] {
        assert!(ask(command).1.contains(demonstration.node()), "{command:?}");
    }
    assert!(ask(&["info"]).1.contains("DEMO-"), "{:?}", ask(&["info"]));
    let (status, said) = ask(&["capture"]);
    assert_eq!(status, Some(0), "{said}");
    demonstration.end_with("TERM").unwrap();
    let (_, said) = ask(&["verify", "--help"]);
    assert!(
        said.contains("127.0.0.1:8545"),
        "the usual validator is asked again: {said}"
    );
    let (status, said) = ask(&["verify", &"ab".repeat(32)]);
    assert_eq!(status, Some(3), "{said}");
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("--node or BIRTHMARK_NODE"), "{said}");
}

/// A terminal shows what is waited for, and no bar that never moves.
#[test]
fn a_terminal_shows_what_is_waited_for() {
    let temporary = TempDir::new().unwrap();
    let program = env!("CARGO_BIN_EXE_birthmark-demo");
    let line = format!("{program} --once --photos 1");
    let log = temporary.path().join("terminal");
    let ended = command(Path::new("script"), &["-qec", &line], temporary.path())
        .arg(&log)
        .env("TERM", "xterm")
        .output()
        .unwrap();
    let shown = fs::read(&log).unwrap();
    let shown = String::from_utf8_lossy(&shown);
    assert!(ended.status.success(), "{shown}");
    assert!(shown.contains("photo 1: "), "{shown}");
    assert!(!shown.contains("0/0"), "{shown}");
}

#[test]
fn a_taken_port_is_one_sentence() {
    let temporary = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for option in ["--sma-port", "--node-port"] {
        let output = output(&["--once", option, &port], temporary.path());
        let (_, errors) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(
            errors.contains(option) && errors.contains(&port),
            "{errors}"
        );
        assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_in_use_is_left_as_it_is() {
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path().join("thesis");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("chapter.txt"), "years of work").unwrap();
    let output = output(
        &["--once", "--dir", folder.to_str().unwrap()],
        temporary.path(),
    );
    let (_, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("is not empty"), "{errors}");
    assert_only_kept(temporary.path(), &folder);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_made_is_one_sentence() {
    let temporary = TempDir::new().unwrap();
    let file = temporary.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let below = file.join("folder");
    let output = output(
        &["--once", "--dir", below.to_str().unwrap()],
        temporary.path(),
    );
    let (_, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("--dir: cannot make the folder"), "{errors}");
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
}

/// A full disk: a file system of one megabyte, where this machine lets us mount one.
#[test]
fn a_full_disk_is_a_sentence_and_no_panic() {
    let temporary = TempDir::new().unwrap();
    let script =
        r#"mount -t tmpfs -o size=1m none "$1" && exec "$2" --once --photos 1 --dir "$1/demo""#;
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    command
        .arg(temporary.path().join("small"))
        .arg(env!("CARGO_BIN_EXE_birthmark-demo"));
    fs::create_dir(temporary.path().join("small")).unwrap();
    let output = command.env("TMPDIR", temporary.path()).output().unwrap();
    let (text, errors) = texts(&output);
    if errors.contains("unshare") || errors.contains("mount") {
        panic!("this test needs user namespaces: {errors}");
    }
    assert_eq!(output.status.code(), Some(2), "{text}\n{errors}");
    let sentence = errors.lines().last().unwrap();
    assert!(sentence.starts_with("birthmark-demo: "), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

/// Nothing but `kept` is left in the folder for temporary files.
fn assert_only_kept(temporary: &Path, kept: &Path) {
    let left: Vec<_> = fs::read_dir(temporary)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // Where a running one can be found; empty by now.
        .filter(|path| !path.ends_with("birthmark"))
        .collect();
    assert_eq!(left, [kept]);
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_birthmark-demo"))
}

fn start(arguments: &[&str], temporary: &Path) -> Demonstration {
    Demonstration::start(program(), arguments, temporary)
}

fn output(arguments: &[&str], temporary: &Path) -> Output {
    command(program(), arguments, temporary).output().unwrap()
}

/// What a program wrote to standard output and standard error.
fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Waits for something that happens by itself.
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(begin.elapsed() < PATIENCE, "{what}: this did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}
