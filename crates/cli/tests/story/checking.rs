//! `birthmark verify`, `digest` and `receipt show`, beside a running demonstration.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use birthmark_testkit::Demonstration;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::binary;
use crate::running::{output, texts};

/// A demonstration with one photo, and a folder for what is tried with it.
pub struct Desk {
    demonstration: Demonstration,
    temporary: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        let temporary = TempDir::new().unwrap();
        let kept = temporary.path().join("kept");
        let arguments = ["--photos", "1", "--dir", kept.to_str().unwrap()];
        let demonstration =
            Demonstration::start(&binary("birthmark-demo"), &arguments, temporary.path());
        Self {
            demonstration,
            temporary,
        }
    }

    pub fn folder(&self) -> &Path {
        self.temporary.path()
    }

    pub fn node(&self) -> &str {
        self.demonstration.node()
    }

    pub fn photo(&self) -> PathBuf {
        let day = fs::read_dir(self.temporary.path().join("kept/photos")).unwrap();
        let files = day.flat_map(|day| fs::read_dir(day.unwrap().path()).unwrap());
        let mut photos = files.map(|file| file.unwrap().path());
        photos
            .find(|path| path.extension().is_some_and(|extension| extension == "jpg"))
            .unwrap()
    }

    pub fn genesis(&self) -> PathBuf {
        self.temporary.path().join("kept/validator/genesis.toml")
    }

    fn verify(&self, subject: &Path) -> (Option<i32>, Value) {
        let node = self.demonstration.node();
        let subject = subject.to_str().unwrap();
        let genesis = self.genesis();
        let known = ["--genesis", genesis.to_str().unwrap()];
        let asked = ["verify", "--json", "--node", node, subject];
        let output = output(&[&asked[..], &known].concat(), self.temporary.path());
        let (text, errors) = texts(&output);
        let findings: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{errors}"));
        (output.status.code(), findings[0].clone())
    }

    pub fn show(&self, receipt: &Path, photo: &Path) -> (Option<i32>, String) {
        self.show_against(&self.genesis(), receipt, photo)
    }

    fn show_against(&self, genesis: &Path, receipt: &Path, photo: &Path) -> (Option<i32>, String) {
        let arguments = [
            "receipt",
            "show",
            "--genesis",
            genesis.to_str().unwrap(),
            "--photo",
            photo.to_str().unwrap(),
        ];
        let output = output(
            &[&arguments[..], &[receipt.to_str().unwrap()]].concat(),
            self.temporary.path(),
        );
        let (text, errors) = texts(&output);
        (output.status.code(), text + &errors)
    }
}

#[test]
fn a_fact_checker_learns_what_a_file_proves_and_what_not() {
    let desk = Desk::new();
    let photo = desk.photo();

    let (status, finding) = desk.verify(&photo);
    assert_eq!(
        (status, &finding["outcome"]),
        (Some(0), &Value::from("rehearsal")),
        "{finding:#}"
    );
    assert_eq!(finding["matched"]["role"], "file");
    assert!(!finding["not_proven"].as_array().unwrap().is_empty());
    assert!(
        finding["checked"]
            .as_str()
            .unwrap()
            .contains("validators signed block")
    );

    // A service strips the metadata: the file digest is gone, the image-data digest finds the
    // photo.
    let jpeg = fs::read(&photo).unwrap();
    let stripped = desk.temporary.path().join("kept/stripped.jpg");
    fs::write(&stripped, without_metadata(&jpeg)).unwrap();
    let (status, finding) = desk.verify(&stripped);
    assert_eq!(
        (status, &finding["matched"]["role"]),
        (Some(0), &Value::from("image-data")),
        "{finding:#}"
    );
    assert_eq!(
        finding["headline"],
        "Rehearsal record: registered; metadata not covered"
    );

    // One changed byte of the image itself: nothing finds it, and nobody calls it a fake.
    let mut changed = jpeg.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let other = desk.temporary.path().join("kept/changed.jpg");
    fs::write(&other, changed).unwrap();
    let (status, finding) = desk.verify(&other);
    assert_eq!(
        (status, &finding["outcome"]),
        (Some(1), &Value::from("unknown")),
        "{finding:#}"
    );
    let proven = finding["checked"].as_str().unwrap();
    assert!(
        proven.starts_with("Proven: not in this registry"),
        "{proven}"
    );

    the_whole_folder_in_one_question(&desk);
    a_receipt_is_fetched_once_and_kept(&desk, &photo);

    let receipt = photo.with_added_extension("birthmark");
    let (status, text) = desk.show(&receipt, &photo);
    assert!(
        status == Some(0) && text.contains("the receipt holds"),
        "{text}"
    );
    let (status, text) = desk.show(&receipt, &other);
    assert!(
        status == Some(1) && text.contains("about another photo"),
        "{text}"
    );
    // Another registry of the same name: the hashes tell which is which.
    let other = fs::read_to_string(desk.genesis()).unwrap();
    let start = other
        .lines()
        .find(|line| line.starts_with("start"))
        .unwrap();
    let namesake = desk.temporary.path().join("namesake.toml");
    fs::write(&namesake, other.replace(start, "start = 5")).unwrap();
    let (status, text) = desk.show_against(&namesake, &receipt, &photo);
    assert!(
        status == Some(1) && text.matches("genesis hash").count() == 1,
        "{text}"
    );
    let words = text.split_whitespace();
    let hashes = words.filter(|word| word.trim_end_matches(';').len() == 64);
    assert_eq!(hashes.count(), 2, "{text}");
    let forged = desk.temporary.path().join("kept/forged.birthmark");
    let mut later = fs::read(&receipt).unwrap();
    *later.last_mut().unwrap() ^= 1;
    let middle = later.len() / 2;
    later[middle] ^= 1;
    fs::write(&forged, later).unwrap();
    let (status, text) = desk.show(&forged, &photo);
    assert!(status == Some(1) && text.contains("no proof"), "{text}");
}

/// The genesis was named before: it is remembered for this validator.
fn the_whole_folder_in_one_question(desk: &Desk) {
    let photos = desk.temporary.path().join("kept/photos");
    let asked = ["verify", "--node", desk.demonstration.node()];
    let output = output(
        &[&asked[..], &[photos.to_str().unwrap()]].concat(),
        desk.temporary.path(),
    );
    let (text, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{errors}");
    assert!(
        text.contains("Rehearsal record: registered\n") && text.contains("What is not proven"),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 120),
        "{text}"
    );
}

fn a_receipt_is_fetched_once_and_kept(desk: &Desk, photo: &Path) {
    let kept = desk.temporary.path().join("fetched.birthmark");
    let asked = [
        "receipt",
        "fetch",
        photo.to_str().unwrap(),
        "--node",
        desk.demonstration.node(),
        "--out",
        kept.to_str().unwrap(),
    ];
    let fetched = output(&asked, desk.temporary.path());
    let (text, errors) = texts(&fetched);
    assert_eq!(fetched.status.code(), Some(0), "{text}{errors}");
    let (status, text) = desk.show(&kept, photo);
    assert!(
        status == Some(0) && text.contains("the receipt holds"),
        "{text}"
    );
    let again = output(&asked, desk.temporary.path());
    assert_eq!(again.status.code(), Some(2));
    assert!(texts(&again).1.contains("is not overwritten"));
}

/// A validator that says yes to everything and proves nothing, and one genuine receipt of another
/// photo.
#[test]
fn an_answer_without_a_receipt_that_holds_is_not_called_registered() {
    let temporary = TempDir::new().unwrap();
    let vectors = include_str!("../../../../spec/vectors/ledger.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let genesis = temporary.path().join("genesis.json");
    fs::write(&genesis, vectors["genesis"].to_string()).unwrap();
    let photo = temporary.path().join("photo.jpg");
    fs::write(&photo, b"any photo").unwrap();
    let receipt: birthmark_ledger::Receipt =
        serde_json::from_value(vectors["receipt"].clone()).unwrap();
    for receipt in [None, Some(b"{}".to_vec()), Some(receipt.encode())] {
        let liar = Liar::start(receipt);
        for known in [&[][..], &["--genesis", genesis.to_str().unwrap()]] {
            let photo = photo.to_str().unwrap();
            let asked = ["verify", photo, "--direct", "--node", &liar.address];
            let output = output(&[&asked[..], known].concat(), temporary.path());
            let (text, errors) = texts(&output);
            assert_eq!(output.status.code(), Some(3), "{text}{errors}");
            assert!(
                text.contains("A record is claimed, not proven") && !text.contains("Registered"),
                "{text}"
            );
        }
        fs::remove_dir_all(temporary.path().join("config")).unwrap();
    }
}

/// Answers yes to every digest it is asked about, and remembers what it was asked.
struct Liar {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Liar {
    fn start(receipt: Option<Vec<u8>>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let question = answer(stream.unwrap(), receipt.as_deref());
                log.lock().unwrap().extend(question);
            }
        });
        Self { address, asked }
    }
}

fn answer(mut stream: std::net::TcpStream, receipt: Option<&[u8]>) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut asked = Vec::new();
    let mut buffer = [0; 4096];
    let question = loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            return None;
        }
        asked.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8(asked.clone()).unwrap();
        if text.starts_with("GET ") && text.ends_with("\r\n\r\n") || text.ends_with("]}") {
            break text;
        }
    };
    let (status, body) = if question.starts_with("POST /api/v1/verify ") {
        let question: Value =
            serde_json::from_str(question.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let yes = |digest: &Value| serde_json::json!({"verified": true, "image_hash": digest});
        let digests = question["image_hashes"].as_array().unwrap();
        let results: Vec<_> = digests.iter().map(yes).collect();
        (
            "200 OK",
            serde_json::json!({ "results": results })
                .to_string()
                .into_bytes(),
        )
    } else if let (true, Some(receipt)) = (question.starts_with("GET /api/v1/receipt/"), receipt) {
        ("200 OK", receipt.to_owned())
    } else {
        ("404 Not Found", br#"{"detail": "there is none"}"#.to_vec())
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream
        .write_all(&[head.as_bytes(), &body].concat())
        .unwrap();
    Some(question)
}

#[test]
fn a_validator_without_an_index_is_not_told_the_digest_instead() {
    let temporary = TempDir::new().unwrap();
    let liar = Liar::start(None);
    let vectors = include_str!("../../../../spec/vectors/ledger.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let genesis = temporary.path().join("genesis.json");
    fs::write(&genesis, vectors["genesis"].to_string()).unwrap();
    let (genesis, digest) = (genesis.to_str().unwrap(), "ab".repeat(32));
    let asked = [
        "verify",
        &digest,
        "--node",
        &liar.address,
        "--genesis",
        genesis,
    ];
    let refused = output(&asked, temporary.path());
    let (text, errors) = texts(&refused);
    assert_eq!(refused.status.code(), Some(3), "{text}{errors}");
    assert!(text.contains("--direct"), "{text}");
    let heard = liar.asked.lock().unwrap();
    assert!(!heard.is_empty() && heard.iter().all(|asked| !asked.contains(&digest[..8])));
}

#[test]
fn what_cannot_be_found_out_is_never_reported_as_unknown() {
    let temporary = TempDir::new().unwrap();
    let nobody = "http://127.0.0.1:9";
    let digest = "ab".repeat(32);
    let refused = output(&["verify", "--node", nobody, &digest], temporary.path());
    let (text, _) = texts(&refused);
    assert_eq!(refused.status.code(), Some(3), "{text}");
    assert!(
        text.contains("It could not be found out") && !text.contains("No record"),
        "{text}"
    );
    let missing = output(
        &["verify", "--node", nobody, "missing.jpg"],
        temporary.path(),
    );
    assert_eq!(missing.status.code(), Some(3));
    assert!(texts(&missing).0.contains("cannot read missing.jpg"));
    let wrong = output(
        &["verify", "--node", "ftp://example", &digest],
        temporary.path(),
    );
    assert_eq!(wrong.status.code(), Some(2));
    assert!(texts(&wrong).1.contains("does not begin with http"));
}

#[test]
fn a_set_of_validators_is_named_in_a_file_and_trusted_in_place_of_the_genesis() {
    let desk = Desk::new();
    let (photo, genesis) = (desk.photo(), desk.genesis());
    let (photo, genesis) = (photo.to_str().unwrap(), genesis.to_str().unwrap());
    let at = |name: &str| desk.folder().join(name);
    let (set, kept) = (at("registry.trusted"), at("short.birthmark"));
    let (set_name, kept_name) = (set.to_str().unwrap(), kept.to_str().unwrap());
    let asked = ["--node", desk.node(), "--genesis", genesis];
    let run = |words: &[&str]| {
        let ended = output(&[&["receipt"], words].concat(), desk.folder());
        let (text, errors) = texts(&ended);
        (ended.status.code(), text + &errors)
    };
    let (status, said) = run(&[&["trust", set_name], &asked[..]].concat());
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("that decide from block 1 on"), "{said}");
    let (status, said) = run(&[&["trust", set_name], &asked[..]].concat());
    assert!(
        status == Some(2) && said.contains("not overwritten"),
        "{said}"
    );
    let named = ["--trusted", set_name, "--out", kept_name];
    let (status, said) = run(&[&["fetch", photo], &asked[..], &named].concat());
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = desk.show_against(&set, &kept, Path::new(photo));
    assert_eq!(status, Some(0), "{said}");

    // Other validators in it, and the receipt says which ones it needs.
    let mut other: Value = serde_json::from_str(&fs::read_to_string(&set).unwrap()).unwrap();
    let vectors = include_str!("../../../../spec/vectors/ledger.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    other["validators"] = vectors["genesis"]["validators"].clone();
    fs::write(&set, other.to_string()).unwrap();
    let (status, said) = desk.show_against(&set, &kept, Path::new(photo));
    assert!(
        status == Some(1) && said.contains("name the set as trusted"),
        "{said}"
    );
    other["since"] = "tomorrow".into();
    fs::write(&set, other.to_string()).unwrap();
    let (status, said) = desk.show_against(&set, &kept, Path::new(photo));
    assert!(status == Some(2) && said.contains("tomorrow"), "{said}");
}

/// Drops APP1 to APP15 and comments, as services do.
fn without_metadata(jpeg: &[u8]) -> Vec<u8> {
    let mut out = jpeg[..2].to_vec();
    let mut rest = &jpeg[2..];
    while rest[0] == 0xFF && rest[1] != 0xDA {
        let length = 2 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if !matches!(rest[1], 0xE1..=0xEF | 0xFE) {
            out.extend(&rest[..length]);
        }
        rest = &rest[length..];
    }
    out.extend(rest);
    out
}
