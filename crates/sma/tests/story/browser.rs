//! The operators' page in a real browser: sign in, search, revoke, lift.

use std::path::Path;

use birthmark_testkit::{Browser, Window};

use crate::camera::Camera;
use crate::stand::Stand;

/// A picture of the page for whoever wants to look at it, where the environment names a folder.
fn seen(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("BIRTHMARK_SCREENSHOTS") {
        let file = Path::new(&folder).join(format!("{name}.png"));
        browser.screenshot(&file).unwrap();
    }
}

fn shows(browser: &Browser, selector: &str, words: &str) {
    browser
        .wait_for(&format!(
            "document.querySelector('{selector}').innerText.includes('{words}')"
        ))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_signs_in_searches_revokes_and_lifts() {
    let mut stand = Stand::sqlite().await;
    for serial in ["CAM-0001", "CAM-0002", "LAB-0001"] {
        Camera::provision(&stand, serial).await;
    }
    // In a rehearsal this machine needs no token, and the page asks for none.
    stand.stop().await;
    stand.settings.rehearsal = false;
    stand.start().await;
    let roles = ["--role", "read", "--role", "revoke"];
    let created = [&["token", "create", "anna"][..], &roles].concat();
    let created = stand.command(&created).await.unwrap();
    let token = created.split_whitespace().max_by_key(|word| word.len());
    let token = token.unwrap().to_owned();
    let url = stand.url.clone();
    tokio::task::spawn_blocking(move || {
        for (name, window) in [("desk", Window::DESKTOP), ("phone", Window::PHONE.dark())] {
            let browser = Browser::start(window).unwrap();
            browser.open(&format!("{url}/admin")).unwrap();
            signs_in(&browser, &token);
            searches(&browser);
            revokes_and_lifts(&browser, name);
            nothing_went_elsewhere(&browser, &url, &token);
            seen(&browser, &format!("{name}-admin"));
        }
    })
    .await
    .unwrap();
    stand.stop().await;
}

fn signs_in(browser: &Browser, token: &str) {
    browser
        .wait_for("!document.getElementById('sign-in').hidden")
        .unwrap();
    assert!(!browser.text("body").unwrap().contains("CAM-0001"));
    browser.fill("#token", token).unwrap();
    browser.click("#token-form button").unwrap();
    browser
        .wait_for("!document.getElementById('content').hidden")
        .unwrap();
    shows(browser, "#devices", "CAM-0001");
    assert!(browser.text("#devices").unwrap().contains("LAB-0001"));
}

fn searches(browser: &Browser) {
    browser.fill("#search", "LAB").unwrap();
    browser.click("#search-form button").unwrap();
    browser
        .wait_for("!document.querySelector('#devices').innerText.includes('CAM-0001')")
        .unwrap();
    assert!(browser.text("#devices").unwrap().contains("LAB-0001"));
    browser.fill("#search", "").unwrap();
    browser.click("#search-form button").unwrap();
    shows(browser, "#devices", "CAM-0001");
}

fn revokes_and_lifts(browser: &Browser, name: &str) {
    let reason = format!("lost its key, seen at the {name}");
    browser.fill("#subject", "CAM-0002").unwrap();
    browser.fill("#reason", &reason).unwrap();
    browser.click("#revoke-form button").unwrap();
    shows(browser, "#revocations", &reason);
    shows(browser, "#devices", "revoked");
    let questions = browser.questions().unwrap();
    assert!(questions[0].contains("CAM-0002"), "{questions:?}");
    browser.click("#revocations button").unwrap();
    shows(browser, "#revocations", "lifted by anna");
    browser
        .wait_for("!/\\brevoked\\b/.test(document.querySelector('#devices').innerText)")
        .unwrap();
}

/// The token goes to this authority alone, and never into an address.
fn nothing_went_elsewhere(browser: &Browser, url: &str, token: &str) {
    for sent in browser.sent().unwrap() {
        assert!(
            sent.url.starts_with(url) && !sent.url.contains(token),
            "{sent:?}"
        );
        assert!(!sent.body.unwrap_or_default().contains(token));
    }
    // Before it signed in, it was told that it must: browsers log that as a complaint.
    let complaints = browser.complaints().unwrap();
    let others = complaints.iter().filter(|text| !text.contains("401"));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}
