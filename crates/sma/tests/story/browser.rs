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
            the_chart_has_an_honest_scale(&browser);
            revokes_and_lifts(&browser, name);
            a_model_of_no_camera_is_asked_about(&browser);
            nothing_went_elsewhere(&browser, &url, &token);
            seen(&browser, &format!("{name}-admin"));
            signs_out(&browser);
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
    browser.fill("#token", "bma_of_somebody_else").unwrap();
    browser.click("#token-form button").unwrap();
    shows(browser, "#sign-in-message", "not known here");
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
    shows(
        browser,
        "#revocations-message",
        "of camera CAM-0002 is in force; it covers 1 camera.",
    );
    said_beside_the_button(browser);
    shows(browser, "#revocations", &reason);
    shows(browser, "#devices", "revoked");
    let questions = browser.questions().unwrap();
    assert!(questions[0].contains("CAM-0002"), "{questions:?}");
    browser.click("#revocations button").unwrap();
    shows(browser, "#revocations", "lifted by anna");
    shows(
        browser,
        "#revocations-message",
        "The revocation of camera CAM-0002 is lifted.",
    );
    let questions = browser.questions().unwrap();
    let lift = questions.last().unwrap();
    assert!(
        lift.starts_with("Lift the revocation of camera CAM-0002?"),
        "{lift}"
    );
    browser
        .wait_for("!/\\brevoked\\b/.test(document.querySelector('#devices').innerText)")
        .unwrap();
}

fn said_beside_the_button(browser: &Browser) {
    let apart = "(() => { const top = (selector) => document.querySelector(selector).getBoundingClientRect().top; return Math.abs(top('#revocations-message') - top('#revoke-form button')) < innerHeight / 2; })()";
    assert_eq!(browser.value(apart).unwrap(), true);
}

/// What a mistyped model looks like is asked about.
fn a_model_of_no_camera_is_asked_about(browser: &Browser) {
    let model = "document.getElementById('kind').value = 'family'; 0";
    browser.value(model).unwrap();
    browser.fill("#subject", "Exmaple One").unwrap();
    browser.fill("#reason", "a typo").unwrap();
    browser.click("#revoke-form button").unwrap();
    shows(browser, "#revocations-message", "it covers 0 cameras.");
    let questions = browser.questions().unwrap();
    let asked = questions.last().unwrap();
    assert!(
        asked.contains("0 cameras are of model Exmaple One"),
        "{asked}"
    );
    browser
        .value("document.getElementById('kind').value = 'device'; 0")
        .unwrap();
}

/// Each mark of the chart's scale is a whole number, and they are evenly apart.
fn the_chart_has_an_honest_scale(browser: &Browser) {
    let marks = "[...document.querySelectorAll('#plot text')].slice(0, 3).map((one) => Number(one.textContent))";
    let marks = browser.value(marks).unwrap();
    let marks: Vec<u64> = serde_json::from_value(marks).unwrap();
    assert_eq!(marks[0], 0);
    assert!(marks[1] > 0 && marks[2] == 2 * marks[1], "{marks:?}");
}

fn signs_out(browser: &Browser) {
    browser.click("#sign-out").unwrap();
    browser
        .wait_for("!document.getElementById('sign-in').hidden && document.getElementById('content').hidden")
        .unwrap();
    let kept = browser.value("sessionStorage.getItem('token')").unwrap();
    assert!(kept.is_null(), "{kept}");
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
    // Before it signed in, it was told that it must, and a model of no camera is asked about:
    // browsers log both.
    let complaints = browser.complaints().unwrap();
    let expected = |text: &&String| text.contains("401") || text.contains("409");
    let others = complaints.iter().filter(|text| !expected(text));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}
