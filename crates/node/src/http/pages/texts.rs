//! The page's texts in another language: none is missing, and none is left over.

use std::collections::{BTreeMap, BTreeSet};

use birthmark_ledger::Source;
use birthmark_protocol::{DigestRole, PixelSource};
use birthmark_verify::sentences;

const SCRIPT: &str = include_str!("../../pages/verify.js");
const PAGE: &str = include_str!("../../../templates/verify.html");

fn german() -> BTreeMap<String, String> {
    serde_json::from_str(include_str!("../../pages/texts.de.json")).unwrap()
}

/// The names in braces.
fn names(text: &str) -> BTreeSet<&str> {
    let parts = text.split('{').skip(1);
    parts
        .filter_map(|part| Some(part.split_once('}')?.0))
        .collect()
}

/// Whether a text is one that this key stands for.
fn stands_for(key: &str, text: &str) -> bool {
    let mut fixed = key
        .split('{')
        .map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    let Some(mut rest) = fixed.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut is_open = key.contains('{');
    for part in fixed {
        match (part.is_empty(), rest.split_once(part)) {
            (true, _) => rest = "",
            (false, Some((_, after))) => rest = after,
            (false, None) => return false,
        }
        is_open = part.is_empty();
    }
    rest.is_empty() || is_open
}

#[test]
fn every_text_of_the_page_has_its_german_and_keeps_its_names() {
    let german = german();
    for (english, text) in &german {
        assert_eq!(names(english), names(text), "{english}");
        assert!(!text.trim().is_empty(), "{english}");
    }
    // What the script says by itself stands behind t, and what the page says is marked.
    let literals = SCRIPT.split('"').skip(1).step_by(2);
    let is_text = |text: &&str| {
        let words = text
            .split(' ')
            .filter(|word| word.chars().all(char::is_alphabetic));
        words.filter(|word| word.len() > 1).count() > 1
    };
    let no_texts = ["card working", "card unproven", "row actions"];
    for text in literals
        .filter(is_text)
        .filter(|text| !no_texts.contains(text))
    {
        let is_command = text.starts_with("birthmark ");
        assert!(is_command || german.contains_key(text), "{text}");
    }
    let marked = PAGE.split("data-said>").skip(1);
    let mut count = 0;
    for text in marked.filter_map(|text| text.split('<').next()) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.contains("{{") && !text.contains("{%") {
            assert!(german.contains_key(&text), "{text}");
            count += 1;
        }
    }
    assert!(count > 12, "{count} texts");
}

#[test]
fn every_sentence_of_the_verifier_has_its_german() {
    let german = german();
    let sources = [
        Source::CameraToken,
        Source::CameraCertificate,
        Source::CameraAttested,
        Source::CameraOneTime,
        Source::Software,
        Source::Server,
    ];
    let roles = [
        DigestRole::Unstated,
        DigestRole::Raw,
        DigestRole::File,
        DigestRole::ImageData,
    ];
    let pixels = [
        PixelSource::Sensor,
        PixelSource::File,
        PixelSource::Simulated,
    ];
    let mut said = vec![sentences::NOT_FOUND];
    for source in sources {
        said.push(sentences::assurance(source));
        said.extend(
            roles
                .iter()
                .flat_map(|role| sentences::limits(source, *role)),
        );
    }
    said.extend(roles.map(sentences::role));
    said.extend(pixels.map(sentences::pixels));
    for sentence in said {
        assert!(
            german.keys().any(|key| stands_for(key, sentence)),
            "{sentence}"
        );
    }
    assert!(stands_for("a {b} c", "a whole c") && !stands_for("a {b} c", "a whole d"));
}
