//! `birthmark report`: one page that a newsroom keeps, opened in a real browser without a network.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_testkit::{Browser, Window};

use crate::checking::Desk;
use crate::running::{output, texts};

/// What stands between two words, the first time they come.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap().1;
    rest.split_once(after).unwrap().0
}

#[test]
fn a_report_is_one_page_that_can_be_checked_again_without_us() {
    let desk = Desk::new();
    let (folder, photo, genesis) = (desk.folder(), desk.photo(), desk.genesis());
    let unknown = folder.join("unknown.jpg");
    fs::copy(&photo, &unknown).unwrap();
    let mut bytes = fs::read(&unknown).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&unknown, bytes).unwrap();
    let page = folder.join("report.html");
    let asked = [
        "report",
        photo.to_str().unwrap(),
        unknown.to_str().unwrap(),
        "--title",
        "Case 7 <draft>",
        "--to",
        page.to_str().unwrap(),
        "--node",
        desk.node(),
        "--genesis",
        genesis.to_str().unwrap(),
    ];
    let made = output(&asked, folder);
    let (text, errors) = texts(&made);
    assert_eq!(
        made.status.code(),
        Some(1),
        "one is unknown: {text}{errors}"
    );
    let again = output(&asked, folder);
    assert_eq!(again.status.code(), Some(2));
    assert!(texts(&again).1.contains("is not overwritten"));

    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("Case 7 &#60;draft&#62;"), "{html}");
    the_receipt_in_it_holds(&desk, &html, &photo);
    it_shows_the_picture_and_loads_nothing(&page, &photo);
}

fn the_receipt_in_it_holds(desk: &Desk, html: &str, photo: &Path) {
    let receipt = between(html, "<pre class=\"receipt\">", "</pre>");
    let kept = desk.folder().join("copied.birthmark");
    fs::write(&kept, STANDARD.decode(receipt).unwrap()).unwrap();
    let (status, text) = desk.show(&kept, photo);
    assert!(
        status == Some(0) && text.contains("the receipt holds"),
        "{text}"
    );
}

fn it_shows_the_picture_and_loads_nothing(page: &Path, photo: &Path) {
    for (name, window) in [("desk", Window::DESKTOP), ("phone", Window::PHONE)] {
        let browser = Browser::start(window).unwrap();
        browser.open(&format!("file://{}", page.display())).unwrap();
        let text = browser.text("body").unwrap();
        for words in [
            "Rehearsal record: registered",
            "Not in this registry as of block",
            "What is not proven",
            "1 of 1 validators signed that block",
            "To check all of this again",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let drawn = "document.querySelectorAll('img').length === 2 \
            && [...document.images].every(image => image.naturalWidth > 100)";
        browser.wait_for(drawn).unwrap();
        let fits = "document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(browser.value(fits).unwrap(), true, "{name}");
        let sent = browser.sent().unwrap();
        let is_itself = |url: &str| url.starts_with("file://");
        assert!(sent.iter().all(|sent| is_itself(&sent.url)), "{sent:?}");
        assert_eq!(browser.complaints().unwrap(), [""; 0]);
        if let Some(folder) = std::env::var_os("BIRTHMARK_SCREENSHOTS") {
            let file = Path::new(&folder).join(format!("{name}-report.png"));
            browser.screenshot(&file).unwrap();
        }
    }
    // The camera's metadata stays out of the page.
    let html = fs::read(page).unwrap();
    let jpeg = fs::read(photo).unwrap();
    assert!(jpeg.windows(4).any(|part| part == b"Exif"));
    assert!(!html.windows(12).any(|part| part == b"RXhpZgAASUkq"));
}

#[test]
fn a_report_needs_a_genesis() {
    let folder = tempfile::TempDir::new().unwrap();
    let nobody = "http://127.0.0.1:9";
    let digest = "00".repeat(32);
    let refused = output(&["report", &digest, "--node", nobody], folder.path());
    let (_, errors) = texts(&refused);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        errors.contains("--genesis: name the registry's genesis"),
        "{errors}"
    );
}
