//! `birthmark software-authority` and `birthmark edit`, against a real validator.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::Credentials;
use birthmark_ledger::{ChainId, KeyName};
use birthmark_node::settings::{ServerSettings, Settings, SoftwareAuthoritySettings};
use birthmark_node::setup;
use birthmark_protocol::{Digest, Timestamp};
use birthmark_testkit::Running;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::{output, texts};

const TOKEN: &str = "a token for tests only";

struct Studio {
    folder: TempDir,
    node: String,
    running: Running,
}

/// Two pictures that differ in their image data, from the vectors of the format.
fn pictures() -> [Vec<u8>; 2] {
    let text = include_str!("../../../../spec/vectors/image-data.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let different = |case: &&Value| case["same_as"].is_null();
    let mut cases = vectors["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(different);
    [(); 2].map(|()| {
        STANDARD
            .decode(cases.next().unwrap()["file_base64"].as_str().unwrap())
            .unwrap()
    })
}

impl Studio {
    /// A software authority made by the command, a certified editor, and a validator that pins the
    /// authority.
    async fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let settings = prepare(folder.path());
        let credentials = Credentials::at(folder.path().join("keys"));
        let running = Running::start(settings, credentials, birthmark_node::run)
            .await
            .unwrap();
        let address = running
            .addresses()
            .tcp(birthmark_node::HTTP_SOCKET)
            .unwrap();
        Self {
            folder,
            node: format!("http://{address}"),
            running,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Registers a file on the submission server's word, as the original.
    async fn register(&self, name: &str) {
        let digest = Digest::of(&std::fs::read(self.at(name)).unwrap());
        let body = json!({"image_hash": digest, "timestamp": 1_790_000_000, "submission_server_id": "gateway", "modification_level": 0});
        let client = reqwest::Client::new();
        let request = client
            .post(format!("{}/api/v1/blockchain/submit", self.node))
            .bearer_auth(TOKEN)
            .json(&body);
        assert_eq!(request.send().await.unwrap().status(), 202);
        for _ in 0..600 {
            if self.answer(&digest).await["verified"] == true {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the original was never registered");
    }

    async fn answer(&self, digest: &Digest) -> Value {
        let url = format!("{}/api/v1/verify/{digest}", self.node);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    /// Runs `birthmark edit`: its exit status and everything it said.
    fn edit(&self, edited: &str, parent: &str, level: &str, more: &[&str]) -> (i32, String) {
        self.edit_with("editor", edited, parent, level, more)
    }

    fn edit_with(
        &self,
        editor: &str,
        edited: &str,
        parent: &str,
        level: &str,
        more: &[&str],
    ) -> (i32, String) {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let files = [
            edited,
            &format!("{editor}/editor.pem"),
            &format!("{editor}/editor.key.pem"),
            "genesis.toml",
        ]
        .map(|name| text(self.at(name)));
        let arguments = [
            "edit",
            &files[0],
            "--parent",
            parent,
            "--level",
            level,
            "--certificate",
            &files[1],
            "--key",
            &files[2],
            "--genesis",
            &files[3],
            "--node",
            &self.node,
        ];
        birthmark(self.folder.path(), &[&arguments[..], more].concat())
    }

    async fn close(self) {
        self.running.stop().await.unwrap();
    }
}

fn birthmark(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = output(arguments, folder);
    let (out, err) = texts(&output);
    (output.status.code().unwrap(), out + &err)
}

fn authority(folder: &Path, name: &str) {
    let place = folder.join(name);
    let place = place.to_str().unwrap();
    let (status, text) = birthmark(
        folder,
        &[
            "software-authority",
            "found",
            place,
            "--name",
            "Test Software Authority",
        ],
    );
    assert_eq!(status, 0, "{text}");
    // A key that exists is never overwritten.
    assert_eq!(
        birthmark(
            folder,
            &["software-authority", "found", place, "--name", "Again"]
        )
        .0,
        2
    );
}

fn certify(folder: &Path, authority: &str, out: &str) {
    let (place, out) = (folder.join(authority), folder.join(out));
    let (status, text) = birthmark(
        folder,
        &[
            "software-authority",
            "certify",
            place.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--developer",
            "Test Developers",
            "--endpoint",
            "https://editor.example",
            "--application",
            "Test Editor",
            "--software-version",
            "2.1",
        ],
    );
    assert_eq!(status, 0, "{text}");
}

fn prepare(folder: &Path) -> Settings {
    let at = |name: &str| folder.join(name);
    authority(folder, "authority");
    certify(folder, "authority", "editor");
    let [original, edited] = pictures();
    std::fs::write(at("original.jpg"), original).unwrap();
    std::fs::write(at("edited.jpg"), &edited).unwrap();
    std::fs::write(at("again.jpg"), [&edited[..], b"trailing"].concat()).unwrap();
    std::fs::write(at("notes.txt"), "no picture").unwrap();

    let validator =
        setup::create_keys(&at("keys"), KeyName::new("library.example").unwrap()).unwrap();
    let chain = ChainId::new("test.example/registry").unwrap();
    let genesis = setup::genesis(
        chain,
        Timestamp::from_unix(1_700_000_000),
        true,
        vec![validator],
    )
    .unwrap();
    setup::write_genesis(&at("genesis.toml"), &genesis).unwrap();
    let mut settings = Settings::new(
        format!("sqlite://{}", at("node.db").display()),
        at("genesis.toml"),
    );
    settings.http.listen = "127.0.0.1:0".parse().unwrap();
    settings.blocks.batch_wait_ms = 20;
    settings.software_authorities = vec![SoftwareAuthoritySettings {
        id: "test-software".into(),
        ca: vec![at("authority/authority.pem")],
        revoked: Some(at("authority/authority.crl")),
    }];
    settings.submission_servers = vec![ServerSettings {
        id: "gateway".into(),
        token_sha256: Digest::of(TOKEN.as_bytes()),
    }];
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_picture_is_registered_with_its_parent_and_gets_a_receipt() {
    let studio = Studio::open().await;
    let original = studio.at("original.jpg").display().to_string();

    // Before its parent is registered an edit has no place.
    let (status, text) = studio.edit("edited.jpg", &original, "1", &[]);
    assert!(
        status == 2 && text.contains("register the original first"),
        "{status} {text}"
    );
    studio.register("original.jpg").await;
    let (status, text) = studio.edit("edited.jpg", &original, "2", &[]);
    assert!(
        status == 0 && text.contains("registered"),
        "{status} {text}"
    );

    let digest = Digest::of(&std::fs::read(studio.at("edited.jpg")).unwrap());
    let answer = studio.answer(&digest).await;
    let parent = Digest::of(&std::fs::read(&original).unwrap()).to_hex();
    assert_eq!(
        (
            answer["modification_level"].as_u64(),
            answer["parent_image_hash"].as_str(),
            answer["device_family"].as_str()
        ),
        (Some(2), Some(parent.as_str()), Some("Test Editor 2.1")),
        "{answer}"
    );
    let receipt = studio.at("edited.jpg.birthmark").display().to_string();
    let [genesis, photo] =
        ["genesis.toml", "edited.jpg"].map(|name| studio.at(name).display().to_string());
    let shown = [
        "receipt",
        "show",
        &receipt,
        "--genesis",
        &genesis,
        "--photo",
        &photo,
    ];
    let (status, text) = birthmark(studio.folder.path(), &shown);
    assert!(status == 0 && text.contains("the receipt holds"), "{text}");
    let verify = [
        "verify",
        &photo,
        "--node",
        &studio.node,
        "--genesis",
        &genesis,
    ];
    let (status, answered) = birthmark(studio.folder.path(), &verify);
    assert_eq!(status, 0, "{answered}");
    for words in [&text, &answered] {
        let names_its_maker = words.contains("Software        Test Editor 2.1");
        assert!(names_its_maker && !words.contains("camera's"), "{words}");
        let says_what_it_is = words.contains("registered as an edit: content changed");
        assert!(says_what_it_is && words.contains("Made from"), "{words}");
    }

    // The same again: never over an existing receipt, and elsewhere the first receipt once more.
    let (status, text) = studio.edit("edited.jpg", &original, "2", &[]);
    assert!(
        status == 2 && text.contains("is not overwritten"),
        "{status} {text}"
    );
    let copy = studio.at("copy.birthmark").display().to_string();
    let (status, text) = studio.edit("edited.jpg", &parent, "2", &["--receipt", &copy, "--json"]);
    let outcome: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &outcome["registered"], &outcome["checked"]),
        (0, &json!(true), &json!(true)),
        "{text}"
    );
    let receipts = [&receipt, &copy].map(|path| std::fs::read(path).unwrap());
    assert_eq!(receipts[0], receipts[1]);

    // An edit of the edit cannot come closer to the sensor; metadata-level copies of it are other
    // files.
    let (status, text) = studio.edit("again.jpg", &digest.to_hex(), "1", &[]);
    assert!(
        status == 1 && text.contains("not lower than the parent's"),
        "{status} {text}"
    );
    let (status, text) = studio.edit(
        "edited.jpg",
        &digest.to_hex(),
        "2",
        &["--receipt", "own.json"],
    );
    assert!(
        status == 1 && text.contains("its own parent"),
        "{status} {text}"
    );
    studio.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_a_stolen_certificate_and_a_revoked_one_register_nothing() {
    let studio = Studio::open().await;
    let folder = studio.folder.path().to_owned();
    let original = studio.at("original.jpg").display().to_string();
    studio.register("original.jpg").await;

    authority(&folder, "stranger");
    certify(&folder, "stranger", "foreign");
    let (status, text) = studio.edit_with("foreign", "edited.jpg", &original, "1", &[]);
    assert!(
        status == 1 && text.contains("not issued by an authority"),
        "{status} {text}"
    );

    // The certificate of one with the key of another: noticed before anything is sent.
    certify(&folder, "authority", "second");
    std::fs::copy(
        studio.at("editor/editor.pem"),
        studio.at("foreign/editor.pem"),
    )
    .unwrap();
    let (status, text) = studio.edit_with("foreign", "edited.jpg", &original, "1", &[]);
    assert!(
        status == 2 && text.contains("not the one the certificate is about"),
        "{status} {text}"
    );

    let revoke = |authority: &str, editor: &str| {
        let [authority, editor] =
            [authority, editor].map(|name| folder.join(name).display().to_string());
        birthmark(
            &folder,
            &[
                "software-authority",
                "revoke",
                &authority,
                &format!("{editor}/editor.pem"),
            ],
        )
    };
    assert_eq!(
        revoke("stranger", "editor").0,
        2,
        "it is not the stranger's"
    );
    assert_eq!(revoke("authority", "second").0, 0);
    assert_eq!(revoke("authority", "editor").0, 0);
    // The validator reads the list again by itself. Until it has, the picture's registration may go
    // through.
    let mut last = (0, String::new());
    for round in 0..60 {
        std::fs::write(studio.at("round.jpg"), format!("round {round}")).unwrap();
        let _ = std::fs::remove_file(studio.at("round.jpg.birthmark"));
        last = studio.edit("round.jpg", &original, "1", &[]);
        if last.0 == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert!(last.0 == 1 && last.1.contains("revoked"), "{last:?}");
    let (status, text) = studio.edit_with("second", "edited.jpg", &original, "1", &[]);
    assert!(status == 1 && text.contains("revoked"), "{status} {text}");
    studio.close().await;
}
