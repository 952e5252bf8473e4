//! `birthmark mirror`, `audit` and `follow`, beside a running demonstration and after it has ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

use birthmark_ledger::{Head, VoteKey, VoteSigner as _};
use birthmark_testkit::Demonstration;
use tempfile::TempDir;

use crate::process::binary;
use crate::running::{output, texts};

/// A web server that knows nothing but files, and what it was asked for.
fn served(folder: &Path) -> (String, Arc<Mutex<Vec<String>>>) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    let asked_for = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&asked_for);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let asked = lines.next().unwrap().unwrap();
            for line in lines.map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
            }
            log.lock().unwrap().push(asked.clone());
            let path = asked.split(' ').nth(1).unwrap().trim_start_matches('/');
            let (status, body) = match fs::read(folder.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", b"no such file".to_vec()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream
                .write_all(&[head.as_bytes(), &body].concat())
                .unwrap();
        }
    });
    (address, asked_for)
}

fn photo(temporary: &Path) -> PathBuf {
    let day = fs::read_dir(temporary.join("kept/photos")).unwrap();
    let files = day.flat_map(|day| fs::read_dir(day.unwrap().path()).unwrap());
    let mut photos = files.map(|file| file.unwrap().path());
    photos
        .find(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    let (text, errors) = texts(output);
    (output.status.code(), text + &errors)
}

#[test]
fn a_registry_is_copied_checked_and_asked_after_its_validator_has_ended() {
    let temporary = TempDir::new().unwrap();
    let at = |path: &str| temporary.path().join(path);
    let kept = at("kept");
    let arguments = ["--photos", "2", "--dir", kept.to_str().unwrap()];
    let demonstration =
        Demonstration::start(&binary("birthmark-demo"), &arguments, temporary.path());
    let (genesis, copy, state) = (
        at("kept/validator/genesis.toml"),
        at("copy"),
        at("state.json"),
    );
    let (genesis, folder) = (genesis.to_str().unwrap(), copy.to_str().unwrap());
    let run = |asked: &[&str]| said(&output(asked, temporary.path()));
    let node = demonstration.node().to_owned();
    let mirror = ["mirror", &node, folder, "--genesis", genesis];
    for _ in 0..2 {
        let (status, text) = run(&mirror);
        assert_eq!(status, Some(0), "{text}");
    }
    let follow = [
        "follow",
        &node,
        "--state",
        state.to_str().unwrap(),
        "--once",
        "--genesis",
        genesis,
    ];
    for _ in 0..2 {
        let (status, text) = run(&follow);
        assert!(
            status == Some(0) && text.contains("follows what was seen"),
            "{text}"
        );
    }
    let photo = photo(temporary.path());
    let set = at("registry.trusted");
    let named = ["receipt", "trust", set.to_str().unwrap(), "--node", &node];
    let (status, text) = run(&[&named[..], &["--genesis", genesis]].concat());
    assert_eq!(status, Some(0), "{text}");
    whoever_trusts_a_named_set_needs_no_genesis(&node, &set, &photo);
    drop(demonstration);

    let audit = ["audit", folder, "--genesis", genesis];
    let (status, text) = run(&audit);
    assert!(
        status == Some(0) && text.contains("All of it holds"),
        "{text}"
    );
    let (address, asked_for) = served(&copy);
    let verify =
        |subject: &str| run(&["verify", subject, "--node", &address, "--genesis", genesis]);
    let (status, text) = verify(photo.to_str().unwrap());
    assert!(
        status == Some(0) && text.contains("a mirror does not know it"),
        "{text}"
    );
    nobody_was_told_the_digests(&photo, &asked_for.lock().unwrap());
    let (status, text) = verify(&"ab".repeat(32));
    assert!(
        status == Some(1) && text.contains("Proven: not in this registry"),
        "{text}"
    );

    every_bent_file_is_found(&copy, |expected| {
        let (status, text) = run(&audit);
        assert!(matches!(status, Some(1 | 3)), "{expected}: {text}");
        assert!(!text.contains("All of it holds"), "{expected}: {text}");
    });
    let (status, _) = run(&audit);
    assert_eq!(status, Some(0));
}

/// Copied, audited, followed and asked with a file of validators and nothing else; with a file of
/// others nothing of it is believed.
fn whoever_trusts_a_named_set_needs_no_genesis(node: &str, set: &Path, photo: &Path) {
    let folder = set.parent().unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (copy, refused, state) = (at("copy-by-set"), at("refused"), at("by-set.json"));
    let trusting = |set: &Path, words: &[&str]| {
        let named = ["--trusted", set.to_str().unwrap()];
        said(&output(&[words, &named].concat(), folder))
    };
    let asked = [
        vec!["mirror", node, &copy],
        vec!["audit", &copy],
        vec!["follow", node, "--once", "--state", &state],
        vec!["verify", photo.to_str().unwrap(), "--node", node],
    ];
    for words in &asked {
        let (status, text) = trusting(set, words);
        assert_eq!(status, Some(0), "{words:?}: {text}");
    }

    let mut named: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(set).unwrap()).unwrap();
    let vectors = include_str!("../../../../spec/vectors/ledger.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let own = std::mem::replace(
        &mut named["validators"],
        vectors["genesis"]["validators"].clone(),
    );
    let other = folder.join("other.trusted");
    let refuses = |named: &serde_json::Value, reason: &str| {
        fs::write(&other, named.to_string()).unwrap();
        let _ = fs::remove_file(&state);
        for words in &asked {
            let words: Vec<_> = words
                .iter()
                .map(|word| {
                    if *word == copy && words[0] == "mirror" {
                        &refused
                    } else {
                        *word
                    }
                })
                .collect();
            let (status, text) = trusting(&other, &words);
            assert!(matches!(status, Some(1..=3)), "{words:?}: {text}");
            let in_one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(in_one_line.contains(reason), "{words:?}: {text}");
        }
        assert!(!Path::new(&refused).exists());
    };
    refuses(&named, "the handovers in between are missing");
    named["validators"] = own;
    named["since"] = 1_000_000.into();
    refuses(&named, "is older than the trusted validators");
    named["since"] = 1.into();
    named["genesis"] = "ab".repeat(32).into();
    refuses(&named, "belongs to another registry");
}

/// Neither a whole digest of the photo nor its beginning, in hexadecimal or in bits, beyond what a
/// range of all has: nothing.
fn nobody_was_told_the_digests(photo: &Path, asked_for: &[String]) {
    let digests = output(
        &["digest", "--json", photo.to_str().unwrap()],
        photo.parent().unwrap(),
    );
    let found: serde_json::Value = serde_json::from_str(&texts(&digests).0).unwrap();
    let found = &found.as_object().unwrap().values().next().unwrap()["digests"];
    let digests = found.as_array().unwrap();
    assert!(
        digests.len() >= 2 && asked_for.len() >= 4,
        "{found} {asked_for:?}"
    );
    for digest in digests {
        let hex = digest["digest"].as_str().unwrap();
        assert!(
            asked_for.iter().all(|asked| !asked.contains(&hex[..6])),
            "{asked_for:?}"
        );
    }
    let ranges = asked_for
        .iter()
        .filter(|asked| asked.contains("/api/v1/index/"));
    assert!(
        ranges.into_iter().all(|asked| asked.contains("/all ")),
        "{asked_for:?}"
    );
}

/// One file after another is bent, cut off and taken away, and put right again.
fn every_bent_file_is_found(folder: &Path, check: impl Fn(&str)) {
    let mut files = Vec::new();
    let mut folders = vec![folder.join("api/v1")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("genesis") {
                files.push(path);
            }
        }
    }
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let right = fs::read(&file).unwrap();
        let mut bent = right.clone();
        let middle = bent.len() / 2;
        bent[middle] ^= 1;
        let name = file.display().to_string();
        for wrong in [bent, right[..middle].to_vec(), Vec::new()] {
            fs::write(&file, wrong).unwrap();
            check(&name);
        }
        fs::remove_file(&file).unwrap();
        check(&name);
        fs::write(&file, right).unwrap();
    }
}

/// The same height decided twice: what nobody but the validator itself can make.
fn another_decision(head: &str, key: &Path) -> String {
    let mut head = Head::from_json(head).unwrap();
    let key = VoteKey::from_pem(&fs::read_to_string(key).unwrap()).unwrap();
    head.header.time = head.header.time.plus_millis(1);
    head.certificate.block = head.header.hash();
    let vote = head.certificate.vote(head.header.chain).signed_bytes();
    head.certificate.signatures[0].signature = key.sign(&vote).unwrap();
    serde_json::to_string(&head).unwrap()
}

#[test]
fn a_validator_that_decides_two_blocks_of_one_height_is_found() {
    let temporary = TempDir::new().unwrap();
    let kept = temporary.path().join("kept");
    let arguments = ["--photos", "1", "--dir", kept.to_str().unwrap()];
    let demonstration =
        Demonstration::start(&binary("birthmark-demo"), &arguments, temporary.path());
    let (copy, state) = (
        temporary.path().join("copy"),
        temporary.path().join("state.json"),
    );
    let genesis = kept.join("validator/genesis.toml");
    let genesis = genesis.to_str().unwrap();
    let run = |asked: &[&str]| said(&output(asked, temporary.path()));
    let node = demonstration.node().to_owned();
    let (status, text) = run(&[
        "mirror",
        &node,
        copy.to_str().unwrap(),
        "--genesis",
        genesis,
    ]);
    assert_eq!(status, Some(0), "{text}");
    let (address, _) = served(&copy);
    let follow = [
        "follow",
        &address,
        "--state",
        state.to_str().unwrap(),
        "--once",
        "--genesis",
        genesis,
    ];
    assert_eq!(run(&follow).0, Some(0));

    let seen = fs::read_to_string(&state).unwrap();
    fs::write(
        &state,
        another_decision(&seen, &kept.join("validator/credentials/vote-key")),
    )
    .unwrap();
    let (status, text) = run(&follow);
    assert!(
        status == Some(1) && text.contains("FORK: two blocks were decided"),
        "{text}"
    );
    assert!(temporary.path().join("state.fork.json").exists());

    // Headers that do not lead to the newest block are no proof of anything, and no agreement
    // either.
    fs::write(&state, seen).unwrap();
    let headers = copy.join("api/v1/headers/0");
    let mut bent = fs::read(&headers).unwrap();
    bent[10] ^= 1;
    fs::write(&headers, bent).unwrap();
    let (status, text) = run(&follow);
    assert_eq!(status, Some(3), "{text}");
}
