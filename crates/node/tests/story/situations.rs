//! The eight situations in which a journalist was once told something false, or not told what
//! matters (A1 to A8 of `docs/FINDINGS-OF-USE.md`): each on a phone and on a desk, in the light and
//! in the dark, with a picture of the page to look at.

use std::path::{Path, PathBuf};

use birthmark_node::settings::NoticeSettings;
use birthmark_protocol::Timestamp;
use birthmark_testkit::{Browser, Window};
use serde_json::{Value, json};

use crate::browser::{
    ABSENT, Photos, beside, finished, fits, looked_up, opened, readable, registry,
};

/// What is dropped on the page, and the headline of each card in order.
struct Situation {
    name: &'static str,
    files: &'static [&'static str],
    headlines: &'static [&'static str],
    /// The card's colour, by its name in the stylesheet.
    tone: &'static str,
}

const EDITED: &str = "Registered as an edit: content changed";
const UNCOVERED: &str = "Registered; metadata not covered";

const SITUATIONS: [Situation; 7] = [
    Situation {
        name: "a2-content-was-changed",
        files: &["edited.jpg"],
        headlines: &[EDITED],
        tone: "edit",
    },
    Situation {
        name: "a3-metadata-changes-what-is-seen",
        files: &["labelled.jpg", "recoloured.jpg"],
        headlines: &[UNCOVERED, ABSENT],
        tone: "picture",
    },
    Situation {
        name: "a4-several-files",
        files: &["unknown.jpg", "registered.jpg", "edited.jpg"],
        headlines: &[ABSENT, "Registered", EDITED],
        tone: "unknown",
    },
    Situation {
        name: "a5-files-that-cannot-be-looked-at",
        files: &["letter.txt", "empty.jpg", "cut.jpg"],
        headlines: &[
            "Not a picture, and not in this registry as of block 2",
            "This file is empty",
            "Not in this registry as of block 2: the file is damaged",
        ],
        tone: "unknown",
    },
    Situation {
        name: "a7-stripped",
        files: &["stripped.jpg"],
        headlines: &[UNCOVERED],
        tone: "picture",
    },
    Situation {
        name: "a8-not-in-the-registry",
        files: &["unknown.jpg"],
        headlines: &[ABSENT],
        tone: "unknown",
    },
    Situation {
        name: "a1-registered",
        files: &["registered.jpg"],
        headlines: &["Registered"],
        tone: "registered",
    },
];

const WITHDRAWN: [Situation; 2] = [
    Situation {
        name: "a6-withdrawn",
        files: &["registered.jpg"],
        headlines: &["Withdrawn: registered"],
        tone: "withdrawn",
    },
    Situation {
        name: "a6-made-from-a-withdrawn-one",
        files: &["edited.jpg"],
        headlines: &["Made from a withdrawn photo: registered as an edit: content changed"],
        tone: "withdrawn",
    },
];

const FORMS: [(&str, Window); 4] = [
    ("phone-light", Window::PHONE),
    ("phone-dark", Window::PHONE.dark()),
    ("desk-light", Window::DESKTOP),
    ("desk-dark", Window::DESKTOP.dark()),
];

/// Where the pictures of all situations go.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("situations");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A fresh page in each form; `tell` brings about the situation there.
fn in_every_form(browser: &Browser, url: &str, name: &str, tell: impl Fn()) {
    for (form, window) in FORMS {
        browser.resize(window).unwrap();
        browser.open(&format!("{url}/")).unwrap();
        browser
            .wait_for("!document.getElementById('drop').hidden")
            .unwrap();
        tell();
        fits(browser);
        let sideways = "document.documentElement.scrollWidth - innerWidth";
        let sideways = browser.value(sideways).unwrap().as_i64().unwrap();
        assert!(sideways <= 0, "{name} {form}: {sideways} px to the side");
        readable(browser);
        headlines_stand_out(browser);
        let picture = pictures().join(format!("{name}-{form}.png"));
        browser.screenshot(&picture).unwrap();
    }
}

/// A headline is read first: large, and in a colour that holds against its card.
fn headlines_stand_out(browser: &Browser) {
    let small = "[...document.querySelectorAll('.headline')].filter((one) => parseFloat(getComputedStyle(one).fontSize) < 24).map((one) => one.innerText)";
    assert_eq!(browser.value(small).unwrap(), json!([]));
}

/// The name, the headline and the tone of each card on the page.
fn cards(browser: &Browser) -> Vec<[String; 3]> {
    let read = "[...document.querySelectorAll('#results .card')].map((card) => [card.querySelector('.name').innerText, card.querySelector('.headline').innerText, card.className])";
    let cards: Vec<[String; 3]> = serde_json::from_value(browser.value(read).unwrap()).unwrap();
    cards
}

fn check(browser: &Browser, photos: &Photos, situation: &Situation) {
    looked_up(browser, photos, situation.files);
    let cards = cards(browser);
    let names: Vec<_> = cards.iter().map(|[name, ..]| name.as_str()).collect();
    assert_eq!(names, situation.files, "an answer names its file");
    let headlines: Vec<_> = cards.iter().map(|[_, said, _]| said.as_str()).collect();
    assert_eq!(headlines, situation.headlines, "{}", situation.name);
    let tones: Vec<_> = cards[0][2].split(' ').collect();
    let has_no_tone = situation.tone == "unknown" && tones == ["card"];
    assert!(
        has_no_tone || tones.contains(&situation.tone),
        "{}: {tones:?}",
        situation.name
    );
}

/// The answer to the first question comes after the second one was asked: it stands under neither.
fn the_first_answer_comes_late(browser: &Browser, photos: &Photos) {
    const HOLD: &str = "window.plainFetch ??= window.fetch; { let held = true; window.fetch = async (...asked) => { if (held && String(asked[0]).endsWith('/api/v1/head')) { held = false; await new Promise((done) => setTimeout(done, 700)); window.cameLate = true; } return plainFetch(...asked); }; } 0";
    browser.value(HOLD).unwrap();
    let registered = photos.path("registered.jpg");
    browser.drop_files((20, 30), &[&registered]).unwrap();
    browser
        .wait_for("document.querySelector('#results').innerText.includes('registered.jpg')")
        .unwrap();
    let unknown = photos.path("unknown.jpg");
    browser.drop_files((20, 30), &[&unknown]).unwrap();
    browser.wait_for("window.cameLate === true").unwrap();
    finished(browser);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let cards = cards(browser);
    assert_eq!(cards.len(), 1, "{cards:?}");
    assert_eq!(cards[0][..2], ["unknown.jpg", ABSENT]);
}

/// A folder in which nothing can be looked at is said to be one.
fn a_folder_without_files(browser: &Browser, photos: &Photos) {
    let folder = photos.path("nothing in here");
    std::fs::create_dir_all(&folder).unwrap();
    browser.drop_files((20, 30), &[&folder]).unwrap();
    browser
        .wait_for("document.getElementById('say').innerText.trim() !== ''")
        .unwrap();
    let said = browser.text("#say").unwrap();
    assert!(
        said.contains("There is no file in what was dropped"),
        "{said}"
    );
    assert_eq!(
        browser
            .value("document.querySelectorAll('#results .card').length")
            .unwrap(),
        Value::from(0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_situation_that_misled_is_told_right_in_all_four_forms() {
    println!("pictures of all situations: {}", pictures().display());
    let photos = Photos::new();
    let (mut world, authority) = registry(&photos).await;
    let url = world.url.clone();
    let photos = beside(move || {
        let browser = opened(&url, Window::DESKTOP);
        for situation in &SITUATIONS {
            in_every_form(&browser, &url, situation.name, || {
                check(&browser, &photos, situation)
            });
        }
        in_every_form(&browser, &url, "a1-the-first-answer-comes-late", || {
            the_first_answer_comes_late(&browser, &photos);
        });
        in_every_form(&browser, &url, "a5-a-folder-without-files", || {
            a_folder_without_files(&browser, &photos);
        });
        assert_eq!(browser.complaints().unwrap(), [""; 0]);
        photos
    })
    .await;
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
        let browser = opened(&url, Window::DESKTOP);
        for situation in &WITHDRAWN {
            in_every_form(&browser, &url, situation.name, || {
                check(&browser, &photos, situation)
            });
        }
        assert_eq!(browser.complaints().unwrap(), [""; 0]);
    })
    .await;
    world.stop().await;
    drop(authority);
}
