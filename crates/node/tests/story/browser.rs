//! The pages as people use them, in a real browser: what it shows, what it sends, whether a script
//! fails.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use birthmark_ledger::index::Prefix;
use birthmark_ledger::{Frontier, Height, IndexTree, RecordsPart, Trusted};
use birthmark_node::settings::NoticeSettings;
use birthmark_protocol::image_data::{image_data, without_metadata};
use birthmark_protocol::{Digest, Timestamp};
use birthmark_testkit::{Browser, Window};
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::camera::digest;
use crate::edits;
use crate::world::{Base, World, client};

/// Pictures of the test vectors, and files made from them, in a folder.
pub struct Photos {
    folder: tempfile::TempDir,
}

impl Photos {
    pub fn new() -> Self {
        let photos = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let plain = vector("plain.jpg");
        photos.write("registered.jpg", &plain);
        photos.write("labelled.jpg", &labelled(&plain));
        photos.write("stripped.jpg", &without_metadata(&plain).unwrap());
        photos.write("recoloured.jpg", &vector("profile.jpg"));
        photos.write("edited.jpg", &vector("one-pixel.jpg"));
        photos.write("unknown.jpg", &vector("progressive.jpg"));
        photos.write("cut.jpg", &plain[..plain.len() / 2]);
        photos.write("letter.txt", b"Dear editor, this is no picture.");
        photos.write("empty.jpg", b"");
        photos
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// What a camera registers of a file: made-up raw data, the file, its picture.
    fn images(&self, name: &str) -> [Digest; 3] {
        let file = self.bytes(name);
        [
            digest(),
            Digest::of(&file),
            image_data(&file).unwrap().digest,
        ]
    }
}

fn vector(name: &str) -> Vec<u8> {
    let vectors = include_str!("../../../../spec/vectors/image-data.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let mut cases = vectors["cases"].as_array().unwrap().iter();
    let case = cases.find(|case| case["name"] == name).unwrap();
    STANDARD
        .decode(case["file_base64"].as_str().unwrap())
        .unwrap()
}

/// The picture mirrored by its EXIF orientation and given another date.
fn labelled(plain: &[u8]) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02".to_vec();
    exif.extend(b"\x01\x12\0\x03\0\0\0\x01\0\x02\0\0");
    exif.extend(b"\x01\x32\0\x02\0\0\0\x14\0\0\0\x26\0\0\0\0");
    exif.extend(b"2003:04:09 12:00:00\0");
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&plain[..2], b"\xFF\xE1", &length, &exif, &plain[2..]].concat()
}

/// A validator with a camera's photo and an edit of it.
pub async fn registry(photos: &Photos) -> (World, Authority) {
    let (world, authority, camera) = edits::stage(Base::Sqlite).await;
    let photo = photos.images("registered.jpg");
    let edited = photos.images("edited.jpg");
    let mut edit = edits::edit(photo[1], 2);
    (edit.image, edit.image_data) = (edited[1], Some(edited[2]));
    for body in [camera.ours(photo), edits::signed(&edit)] {
        let id = world.submit("/api/v1/submit-cert", &body).await;
        world.stored(&id).await;
    }
    (world, authority)
}

/// Drops files in a corner of the page, far from the box, and reads what the page says when it has
/// finished.
pub fn looked_up(browser: &Browser, photos: &Photos, names: &[&str]) -> String {
    let paths: Vec<_> = names.iter().map(|name| photos.path(name)).collect();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    browser.drop_files((20, 30), &paths).unwrap();
    finished(browser);
    browser.text("#results").unwrap()
}

pub fn finished(browser: &Browser) {
    let done =
        "document.querySelector('#results .card') && !document.querySelector('.card.working')";
    browser.wait_for(&format!("!!({done})")).unwrap();
}

pub fn headline(browser: &Browser) -> String {
    browser.text("#results .headline").unwrap()
}

pub fn opened(url: &str, window: Window) -> Browser {
    let browser = Browser::start(window).unwrap();
    browser.open(&format!("{url}/")).unwrap();
    browser
        .wait_for("!document.getElementById('drop').hidden")
        .unwrap();
    browser
}

/// Whether everything fits the width of the window.
pub fn fits(browser: &Browser) {
    let too_wide = "[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.wide')).map((one) => one.outerHTML.slice(0, 200))";
    assert_eq!(browser.value(too_wide).unwrap(), json!([]));
}

/// A picture of the page for whoever wants to look at it, where the environment names a folder.
fn seen(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("BIRTHMARK_SCREENSHOTS") {
        let file = Path::new(&folder).join(format!("{name}.png"));
        browser.screenshot(&file).unwrap();
    }
}

pub const ABSENT: &str = "Not in this registry as of block 2";

const CASES: [(&str, &str, &str); 9] = [
    (
        "registered.jpg",
        "Registered",
        "This exact data was registered by a camera",
    ),
    (
        "labelled.jpg",
        "Registered; metadata not covered",
        "show the picture mirrored",
    ),
    (
        "stripped.jpg",
        "Registered; metadata not covered",
        "date, place, caption and orientation are not covered",
    ),
    ("recoloured.jpg", ABSENT, "proves nothing about the photo"),
    (
        "edited.jpg",
        "Registered as an edit: content changed",
        "made it from another registered image",
    ),
    ("unknown.jpg", ABSENT, "Proven as of block 2, "),
    (
        "cut.jpg",
        "Not in this registry as of block 2: the file is damaged",
        "get an intact copy",
    ),
    (
        "letter.txt",
        "Not a picture, and not in this registry as of block 2",
        "no picture in a format known here",
    ),
    ("empty.jpg", "This file is empty", "nothing in this file"),
];

/// Runs what waits for a browser beside the validator that answers it.
pub async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verify_page_says_what_is_proven_and_sends_no_photo() {
    let photos = Photos::new();
    let (mut world, authority) = registry(&photos).await;
    let url = world.url.clone();
    let photos = beside(move || {
        let browser = opened(&url, Window::DESKTOP);
        for (name, expected, words) in CASES {
            let text = looked_up(&browser, &photos, &[name]);
            assert_eq!(headline(&browser), expected, "{name}");
            assert!(
                text.contains(name) && text.contains(words),
                "{name}: {text}"
            );
            seen(&browser, &format!("desktop-{name}"));
        }
        the_receipt_can_be_kept_under_the_photos_name(&browser, &photos);
        held_sideways_the_answer_is_in_sight(&browser, &photos);
        an_answer_stands_under_its_own_file_only(&browser, &photos);
        many_files_and_folders_are_all_looked_up(&browser, &photos);
        no_file_is_said_to_be_none(&browser);
        assert_eq!(browser.complaints().unwrap(), [""; 0]);
        nothing_that_names_a_photo_left(&browser, &url, &photos);
        photos
    })
    .await;
    // What is known later against the camera stands first, in the answer about the edit as well.
    world.stop().await;
    world.settings.notices = vec![NoticeSettings {
        authority: "test-maker".into(),
        device_family: None,
        from: Timestamp::from_unix(0),
        until: None,
        reason: "the maker lost its keys".into(),
    }];
    world.start().await;
    let url = world.url.clone();
    beside(move || {
        let browser = opened(&url, Window::PHONE);
        let text = looked_up(&browser, &photos, &["registered.jpg"]);
        assert_eq!(headline(&browser), "Withdrawn: registered");
        assert!(
            text.contains("Withdrawn: the maker lost its keys. Before that:"),
            "{text}"
        );
        seen(&browser, "phone-withdrawn");
        looked_up(&browser, &photos, &["edited.jpg"]);
        assert_eq!(
            headline(&browser),
            "Made from a withdrawn photo: registered as an edit: content changed"
        );
        fits(&browser);
        seen(&browser, "phone-edit-of-withdrawn");
        assert_eq!(browser.complaints().unwrap(), [""; 0]);
    })
    .await;
    world.stop().await;
    drop(authority);
}

fn an_answer_stands_under_its_own_file_only(browser: &Browser, photos: &Photos) {
    // The answer to the first question comes after the second one was asked.
    browser
        .value(
            "window.plainFetch = window.fetch; let held = true; window.fetch = async (...asked) => { if (held && String(asked[0]).endsWith('/api/v1/head')) { held = false; await new Promise((done) => setTimeout(done, 1500)); } return plainFetch(...asked); }; 0",
        )
        .unwrap();
    let registered = photos.path("registered.jpg");
    browser.drop_files((20, 30), &[&registered]).unwrap();
    browser
        .wait_for("document.querySelector('#results').innerText.includes('Asking')")
        .unwrap();
    looked_up(browser, photos, &["unknown.jpg"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(headline(browser), ABSENT);
    assert!(!browser.text("#results").unwrap().contains("registered.jpg"));
    browser
        .value("window.fetch = window.plainFetch; 0")
        .unwrap();
}

fn the_receipt_can_be_kept_under_the_photos_name(browser: &Browser, photos: &Photos) {
    looked_up(browser, photos, &["registered.jpg"]);
    let name = "document.querySelector('#results a[download]').download";
    assert_eq!(browser.value(name).unwrap(), "registered.jpg.birthmark");
}

/// Keeps the receipt that stands on the page, as a reader does.
fn kept_receipt(browser: &Browser, photos: &Photos, name: &str) -> PathBuf {
    let folder = json!({"behavior": "allow", "downloadPath": photos.folder.path()});
    browser.call("Page.setDownloadBehavior", folder).unwrap();
    browser.click("#results a[download]").unwrap();
    let file = photos.path(&format!("{name}.birthmark"));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !file.exists() {
        assert!(
            std::time::Instant::now() < end,
            "the receipt was never kept"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    file
}

/// A receipt proves its photo without a network, beside it or alone, and a changed one proves
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn kept_receipts_are_checked_without_a_network_on_the_page_and_in_the_saved_file() {
    let photos = Photos::new();
    let (mut world, authority) = registry(&photos).await;
    let url = world.url.clone();
    let saved = photos.path("birthmark.html");
    let asked = client().get(format!("{url}/birthmark.html?registry={url}"));
    let page = asked.send().await.unwrap();
    assert!(
        page.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment")
    );
    std::fs::write(&saved, page.bytes().await.unwrap()).unwrap();
    let asked = client().get(format!("{url}/birthmark.html?registry=https://a.example;"));
    assert_eq!(asked.send().await.unwrap().status(), 422);
    // Validators that are trusted in place of the genesis: from the first block on, and too late.
    let trusted = Trusted::genesis(&world.genesis);
    let set = trusted.validators().clone();
    let late = trusted.clone().later(Height::new(900), set);
    for (name, trusted) in [("first.trusted", trusted), ("late.trusted", late)] {
        photos.write(name, &serde_json::to_vec(&trusted).unwrap());
    }
    let photos = beside(move || {
        let browser = opened(&url, Window::DESKTOP);
        looked_up(&browser, &photos, &["registered.jpg"]);
        let receipt = kept_receipt(&browser, &photos, "registered.jpg");
        let bytes = std::fs::read(&receipt).unwrap();
        assert!(bytes.starts_with(b"Birthmark receipt.") && bytes.len() < 4096);
        let mut bent = bytes.clone();
        let middle = bent.len() / 2;
        bent[middle] ^= 1;
        photos.write("bent.birthmark", &bent);
        photos.write("none.birthmark", b"{}");
        let before = browser.sent().unwrap().len();
        the_receipts_are_checked(&browser, &photos);
        for sent in &browser.sent().unwrap()[before..] {
            assert!(sent.url.ends_with("/api/v1/notices"), "{sent:?}");
        }
        // A saved page asks its registry like the one it was saved from.
        let disk = Browser::start(Window::PHONE).unwrap();
        disk.open(&format!(
            "file://{}",
            photos.path("birthmark.html").display()
        ))
        .unwrap();
        disk.wait_for("!document.getElementById('drop').hidden")
            .unwrap();
        looked_up(&disk, &photos, &["edited.jpg"]);
        assert_eq!(headline(&disk), "Registered as an edit: content changed");
        looked_up(&disk, &photos, &["unknown.jpg"]);
        assert_eq!(headline(&disk), ABSENT);
        fits(&disk);
        seen(&disk, "phone-saved");
        assert_eq!(disk.complaints().unwrap(), [""; 0]);
        photos
    })
    .await;
    world.stop().await;
    beside(move || {
        let disk = Browser::start(Window::DESKTOP).unwrap();
        disk.open(&format!(
            "file://{}",
            photos.path("birthmark.html").display()
        ))
        .unwrap();
        disk.wait_for("!document.getElementById('drop').hidden")
            .unwrap();
        the_receipts_are_checked(&disk, &photos);
        assert!(disk.text("#results").unwrap().contains("nobody was asked"));
        seen(&disk, "desktop-saved");
        let kept = ["registered.jpg", "registered.jpg.birthmark"];
        let text = looked_up(&disk, &photos, &[&["late.trusted"], &kept[..]].concat());
        assert_eq!(headline(&disk), "This receipt was refused");
        assert!(text.contains("older than the trusted validators"), "{text}");
        let said = disk.text("#say").unwrap();
        assert!(
            said.contains("late.trusted, trusted from block 900 on"),
            "{said}"
        );
        looked_up(&disk, &photos, &[&["first.trusted"], &kept[..]].concat());
        assert_eq!(headline(&disk), "Registered");
        looked_up(&disk, &photos, &["unknown.jpg"]);
        assert_eq!(headline(&disk), "It could not be found out");
    })
    .await;
    drop(authority);
}

fn the_receipts_are_checked(browser: &Browser, photos: &Photos) {
    let text = looked_up(browser, photos, &["none.birthmark"]);
    assert_eq!(headline(browser), "This receipt was refused");
    assert!(text.contains("does not begin like one"), "{text}");
    let text = looked_up(browser, photos, &["bent.birthmark"]);
    assert_eq!(headline(browser), "This receipt was refused", "{text}");
    assert!(!text.contains("Registered"), "{text}");
    // Of another photo: each is answered for itself.
    let text = looked_up(browser, photos, &["registered.jpg.birthmark"]);
    assert_eq!(headline(browser), "Registered", "{text}");
    let text = looked_up(
        browser,
        photos,
        &["registered.jpg", "registered.jpg.birthmark"],
    );
    assert_eq!(headline(browser), "Registered", "{text}");
    assert_eq!(
        browser
            .value("document.querySelectorAll('#results .card').length")
            .unwrap(),
        1
    );
}

fn held_sideways_the_answer_is_in_sight(browser: &Browser, photos: &Photos) {
    let sideways = Window {
        width: 844,
        height: 390,
        is_dark: false,
    };
    browser.resize(sideways).unwrap();
    looked_up(browser, photos, &["registered.jpg"]);
    let seen = "(() => { const at = document.querySelector('#results .headline').getBoundingClientRect(); return at.top >= 0 && at.bottom <= innerHeight; })()";
    browser.wait_for(seen).unwrap();
    browser.resize(Window::DESKTOP).unwrap();
}

fn many_files_and_folders_are_all_looked_up(browser: &Browser, photos: &Photos) {
    let text = looked_up(
        browser,
        photos,
        &["unknown.jpg", "registered.jpg", "edited.jpg"],
    );
    for name in ["unknown.jpg", "registered.jpg", "edited.jpg"] {
        assert!(text.contains(name), "{text}");
    }
    let before = browser.sent().unwrap().len();
    browser
        .drop_files((20, 30), &[photos.folder.path()])
        .unwrap();
    browser
        .wait_for(
            "/^9 files: .*without a record/.test(document.getElementById('summary').innerText)",
        )
        .unwrap();
    let summary = browser.text("#summary").unwrap();
    assert!(
        summary.starts_with(
            "9 files: 1 registered; 2 registered, metadata not covered; 1 registered as an edit"
        ),
        "{summary}"
    );
    // One question for all of them.
    let sent = browser.sent().unwrap();
    let questions = sent[before..]
        .iter()
        .filter(|sent| sent.url.ends_with("/api/v1/head"));
    assert_eq!(questions.count(), 1);
    seen(browser, "desktop-folder");
}

fn no_file_is_said_to_be_none(browser: &Browser) {
    browser
        .drop_text((20, 30), "text/uri-list", "https://news.example/photo.jpg")
        .unwrap();
    browser
        .wait_for("document.getElementById('say').innerText.includes('Save it first')")
        .unwrap();
    browser.fill("#image_hash", "not a digest").unwrap();
    browser.click("#digest-form button").unwrap();
    browser
        .wait_for("document.getElementById('say').innerText.includes('no SHA-256 digest')")
        .unwrap();
}

/// Every way in which a digest or the bytes of a photo are usually written, each as a piece that
/// cannot be there by chance.
fn names_of(photos: &Photos) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(photos.folder.path()).unwrap() {
        let file = std::fs::read(entry.unwrap().path()).unwrap();
        let picture = image_data(&file).ok().map(|data| data.digest);
        for digest in [Some(Digest::of(&file)), picture].into_iter().flatten() {
            let bytes = digest.as_bytes();
            names.push(hex::encode(&bytes[..8]));
            names.push(STANDARD.encode(bytes)[..16].to_owned());
            names.push(URL_SAFE_NO_PAD.encode(bytes)[..16].to_owned());
        }
        // The first bytes of every JPEG are alike.
        if let Some(bytes) = file.get(200..240) {
            names.extend([hex::encode(bytes), STANDARD.encode(bytes)[..40].to_owned()]);
        }
    }
    names
}

/// Neither a byte of a photo nor a digest of one went anywhere: not in an address, a header or a
/// body.
fn nothing_that_names_a_photo_left(browser: &Browser, url: &str, photos: &Photos) {
    let (sent, names) = (browser.sent().unwrap(), names_of(photos));
    assert!(sent.len() > 10 && names.len() > 30);
    for sent in sent {
        let path = sent
            .url
            .strip_prefix(url)
            .unwrap_or_else(|| panic!("{sent:?}"));
        assert!(sent.method == "GET" && sent.body.is_none(), "{sent:?}");
        let is_known = match path.strip_prefix("/api/v1/") {
            None => path.len() < 20,
            Some("genesis" | "head" | "notices" | "records/0" | "headers/0") => true,
            // In a registry so small the range is all of it.
            Some(range) => range.starts_with("index/") && range.ends_with("/all"),
        };
        assert!(is_known, "{sent:?}");
        let said = format!("{} {}", sent.url, sent.headers);
        for name in &names {
            assert!(!said.contains(name), "{name} stands in {sent:?}");
            assert!(
                !said.to_lowercase().contains(&name.to_lowercase()),
                "{sent:?}"
            );
        }
    }
}

/// What stands between a visitor and an answer is said in a sentence that says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_work_is_said_in_sentences() {
    let photos = Photos::new();
    let (mut world, authority) = registry(&photos).await;
    let url = world.url.clone();
    beside(move || {
        let browser = opened(&url, Window::PHONE);
        let answers = [
            (
                "new Response('{\"detail\": \"the database is away\"}', { status: 503, headers: { 'retry-after': '120' } })",
                "The validator says: the database is away. Try again in 120 seconds.",
            ),
            (
                "new Response('{\"detail\": \"slow down\"}', { status: 429, headers: { 'retry-after': '60' } })",
                "The validator says: slow down. Try again in 60 seconds.",
            ),
            ("new Response('<html>', { status: 502 })", "status 502"),
            ("Promise.reject(new TypeError('Failed to fetch'))", "Check your connection"),
        ];
        for (answer, expected) in answers {
            browser.open(&format!("{url}/?{}", expected.len())).unwrap();
            browser.wait_for("!document.getElementById('drop').hidden").unwrap();
            browser.value(&format!("window.fetch = async () => {answer}; 0")).unwrap();
            let text = looked_up(&browser, &photos, &["registered.jpg"]);
            assert!(text.contains("registered.jpg") && text.contains(expected), "{text}");
            assert!(!text.contains("Registered"), "{text}");
            fits(&browser);
        }
        seen(&browser, "phone-offline");

        // Over plain HTTP from another machine; a browser treats only this machine's own addresses
        // as safe.
        let elsewhere = url.replace("127.0.0.1", "validator.test");
        browser.open(&format!("{elsewhere}/")).unwrap();
        browser.wait_for("!document.getElementById('drop').hidden").unwrap();
        let said = browser.text("#say").unwrap();
        assert!(
            said.contains("plain HTTP") && said.contains(&format!("--node {elsewhere}")),
            "{said}"
        );
        looked_up(&browser, &photos, &["registered.jpg"]);
        assert_eq!(headline(&browser), "Registered");
        seen(&browser, "phone-plain-http");

        let no_wasm = json!({"source": "delete window.WebAssembly"});
        browser.call("Page.addScriptToEvaluateOnNewDocument", no_wasm).unwrap();
        browser.open(&format!("{url}/?again")).unwrap();
        browser.wait_for("!document.getElementById('say').hidden").unwrap();
        let said = browser.text("#say").unwrap();
        assert!(said.contains(&format!("birthmark verify photo.jpg --node {url}")), "{said}");
    })
    .await;
    world.stop().await;
    drop(authority);
}

/// Answers of a validator that hides a record or lies about its index are refused, each with its
/// own sentence, whatever photo is asked about.
#[tokio::test(flavor = "multi_thread")]
async fn a_lying_validator_is_not_believed_by_the_page() {
    let photos = Photos::new();
    let (mut world, authority) = registry(&photos).await;
    let url = world.url.clone();
    let part = client().get(format!("{url}/api/v1/records/0"));
    let part = part.send().await.unwrap().bytes().await.unwrap();
    let blocks = RecordsPart::parse(&part).unwrap();
    let stored: Vec<_> = blocks
        .blocks()
        .iter()
        .map(|(block, by)| (block.encode(), by.encode()))
        .collect();
    let bytes = stored[..1].iter().map(|(block, by)| (&block[..], &by[..]));
    let without_the_last = RecordsPart::write(&Frontier::new().encode(), bytes);
    let without_all = IndexTree::new().prove(Prefix::ALL).encode();
    beside(move || {
        let lies = [
            ("/api/v1/records/", without_the_last, "record 1 is missing or another"),
            ("/api/v1/index/", without_all, "something was changed, added or left out"),
            ("/api/v1/head", b"{}".to_vec(), "its newest block cannot be read"),
        ];
        for (file, lie, words) in lies {
            let browser = opened(&url, Window::DESKTOP);
            let lie = STANDARD.encode(lie);
            browser
                .value(&format!("window.plainFetch = window.fetch; window.fetch = async (...asked) => String(asked[0]).includes('{file}') ? new Response(Uint8Array.from(atob('{lie}'), (one) => one.charCodeAt(0))) : plainFetch(...asked); 0"))
                .unwrap();
            for name in ["edited.jpg", "registered.jpg", "unknown.jpg"] {
                let text = looked_up(&browser, &photos, &[name]);
                assert_eq!(headline(&browser), "The answer was refused: it does not hold");
                assert!(text.contains(words) && !text.contains("Registered"), "{text}");
                assert!(!text.contains("Not in this registry"), "{text}");
            }
            seen(&browser, "desktop-refused");
        }
    })
    .await;
    world.stop().await;
    drop(authority);
}

/// What people read is in their language, whatever was found, and the other one is a link away.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_speaks_german_to_whoever_wants_that() {
    let photos = Photos::new();
    let (mut world, authority) = registry(&photos).await;
    let url = world.url.clone();
    beside(move || {
        for (name, window) in [
            ("desktop", Window::DESKTOP),
            ("phone-dark", Window::PHONE.dark()),
        ] {
            let browser = Browser::start(window).unwrap();
            browser.open(&format!("{url}/?lang=de")).unwrap();
            browser
                .wait_for("!document.getElementById('drop').hidden")
                .unwrap();
            let page = browser.text("body").unwrap();
            assert!(
                page.contains("Ist dieses Foto registriert?") && page.contains("English"),
                "{page}"
            );
            let all = [
                "registered.jpg",
                "labelled.jpg",
                "stripped.jpg",
                "edited.jpg",
                "unknown.jpg",
            ];
            for photo in all
                .into_iter()
                .chain(["cut.jpg", "letter.txt", "empty.jpg"])
            {
                let found = looked_up(&browser, &photos, &[photo]);
                let told = browser.text("#told").unwrap();
                for english in [
                    " the ",
                    " registered",
                    " is ",
                    " of ",
                    " with ",
                    "Proven",
                    "proven",
                ] {
                    assert!(
                        !found.contains(english) && !told.contains(english),
                        "{found}{told}"
                    );
                }
                fits(&browser);
                seen(&browser, &format!("{name}-german-{photo}"));
            }
            looked_up(&browser, &photos, &all);
            seen(&browser, &format!("{name}-german-many"));
            assert_eq!(browser.complaints().unwrap(), [""; 0]);
            browser.click("#language").unwrap();
            browser
                .wait_for("document.title === 'Is this photo registered?'")
                .unwrap();
        }
    })
    .await;
    world.stop().await;
    drop(authority);
}

/// A link that somebody shares names the photo behind #, which no browser sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_shared_link_names_no_photo_to_the_validator() {
    let photos = Photos::new();
    let (mut world, authority) = registry(&photos).await;
    let url = world.url.clone();
    beside(move || {
        let browser = opened(&url, Window::PHONE);
        looked_up(&browser, &photos, &["registered.jpg"]);
        let links = "[...document.querySelectorAll('#results a.button')].map((link) => link.href).filter((link) => link.includes('#'))";
        let links = browser.value(links).unwrap();
        let link = links[0].as_str().unwrap().to_owned();
        let digest = Digest::of(&photos.bytes("registered.jpg"));
        assert_eq!(link, format!("{url}/#{digest}"));
        let other = Browser::start(Window::PHONE).unwrap();
        other.open(&link).unwrap();
        finished(&other);
        assert_eq!(headline(&other), "Registered");
        nothing_that_names_a_photo_left(&other, &url, &photos);
        // Its edits are asked for only when somebody wants that, and then the photo is named.
        other.click("#results .actions button").unwrap();
        other.wait_for("document.querySelector('.family').innerText.includes('edit, content changed')").unwrap();
        assert!(other.sent().unwrap().iter().any(|sent| sent.url.contains("/api/v1/provenance/")));
        // It is drawn: the photo itself once, with what was made from it below.
        let drawn = "[...document.querySelectorAll('.tree > li')].map((box) => box.className).join(' ')";
        let drawn = other.value(drawn).unwrap();
        let drawn = drawn.as_str().unwrap();
        assert!(drawn.starts_with("own into"), "{drawn}");
        seen(&other, "phone-family");
    })
    .await;
    world.stop().await;
    drop(authority);
}

/// Every page of a validator, on a phone and on a desk, in the light and in the dark.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_phones_and_desks_in_both_themes() {
    let photos = Photos::new();
    let (mut world, authority) = registry(&photos).await;
    let url = world.url.clone();
    beside(move || {
        let windows = [
            ("phone", Window::PHONE),
            ("phone-dark", Window::PHONE.dark()),
            ("desktop", Window::DESKTOP),
            ("desktop-dark", Window::DESKTOP.dark()),
        ];
        let browser = opened(&url, Window::DESKTOP);
        for (name, window) in windows {
            browser.resize(window).unwrap();
            browser.open(&format!("{url}/")).unwrap();
            browser
                .wait_for("!document.getElementById('drop').hidden")
                .unwrap();
            looked_up(
                &browser,
                &photos,
                &["edited.jpg", "labelled.jpg", "registered.jpg", "cut.jpg"],
            );
            fits(&browser);
            headlines_are_larger_than_everything_else(&browser);
            readable(&browser);
            seen(&browser, &format!("{name}-verify"));
            for path in ["/status", "/docs", "/no/such/page"] {
                browser.open(&format!("{url}{path}")).unwrap();
                if path == "/docs" {
                    every_status_is_said_in_words(&browser);
                }
                fits(&browser);
                readable(&browser);
                seen(&browser, &format!("{name}{}", path.replace('/', "-")));
            }
        }
        // The page that does not exist is the one complaint there may be.
        let complaints = browser.complaints().unwrap();
        let others = complaints
            .iter()
            .filter(|text| !text.contains("/no/such/page"));
        assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
    })
    .await;
    world.stop().await;
    drop(authority);
}

/// The description is drawn whole, and no status stands there without what it means.
fn every_status_is_said_in_words(browser: &Browser) {
    browser
        .wait_for("document.querySelectorAll('#main details').length > 10")
        .unwrap();
    let silent = "[...document.querySelectorAll('#main h3')].filter((title) => /^Answer [45]/.test(title.textContent) && title.nextElementSibling?.tagName !== 'P').map((title) => title.parentElement.textContent)";
    assert_eq!(browser.value(silent).unwrap(), json!([]));
}

fn headlines_are_larger_than_everything_else(browser: &Browser) {
    let larger = "(() => { const size = (one) => parseFloat(getComputedStyle(one).fontSize); const smallest = Math.min(...[...document.querySelectorAll('.headline')].map(size)); return [...document.querySelectorAll('body *:not(.headline)')].filter((one) => one.innerText && size(one) >= smallest).map((one) => one.outerHTML.slice(0, 100)); })()";
    assert_eq!(browser.value(larger).unwrap(), json!([]));
}

/// Text against its background 4.5 to 1, borders of what can be used 3 to 1, as WCAG asks.
pub fn readable(browser: &Browser) {
    let poor = r"(() => {
        const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
        const light = (colour) => { const [r, g, b] = [...rgb(colour)].map((part) => { const s = part / 255; return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const contrast = (one, two) => { const [high, low] = [light(one), light(two)].sort((a, b) => b - a); return (high + 0.05) / (low + 0.05); };
        const behind = (one) => { for (let at = one; at; at = at.parentElement) { const colour = getComputedStyle(at).backgroundColor; if (rgb(colour)[3] === 255) return colour; } return getComputedStyle(document.body).backgroundColor; };
        const poor = [];
        for (const one of document.querySelectorAll('body *')) {
            if (!one.checkVisibility()) continue;
            const style = getComputedStyle(one);
            const hasText = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
            if (hasText && contrast(style.color, behind(one)) < 4.5) poor.push('text ' + contrast(style.color, behind(one)).toFixed(2) + ' ' + one.outerHTML.slice(0, 120));
            const isUsed = one.matches('input, select, button, .button, .drop, .card, details');
            if (isUsed && contrast(style.borderTopColor, behind(one.parentElement)) < 3) poor.push('border ' + contrast(style.borderTopColor, behind(one.parentElement)).toFixed(2) + ' ' + one.outerHTML.slice(0, 120));
        }
        return poor;
    })()";
    assert_eq!(browser.value(poor).unwrap(), json!([]));
}

/// 50 MB are read and hashed in the browser; how long that takes is printed beside what the same
/// code takes here.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_hashed_in_pieces_and_gives_the_digests_of_every_machine() {
    let photos = Photos::new();
    let (mut world, authority) = registry(&photos).await;
    let url = world.url.clone();
    let large: Vec<u8> = (0..50_000_000u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    photos.write("large.bin", &large);
    beside(move || {
        let start = std::time::Instant::now();
        let mut hasher = birthmark_verify::FileHasher::default();
        large.chunks(1 << 16).for_each(|chunk| hasher.update(chunk));
        let expected = hasher.finish().digests[0].digest;
        let native = start.elapsed();
        let browser = opened(&url, Window::DESKTOP);
        let start = std::time::Instant::now();
        let text = looked_up(&browser, &photos, &["large.bin"]);
        let asked = start.elapsed();
        assert!(text.contains("large.bin"), "{text}");
        let details = browser.value("document.querySelector('#results .card').textContent").unwrap();
        assert!(details.as_str().unwrap().contains(&expected.to_hex()), "{details}");
        println!("50 MB: {native:?} here (tests are built without optimisation), {asked:?} from drop to answer in the browser");
    })
    .await;
    world.stop().await;
    drop(authority);
}
