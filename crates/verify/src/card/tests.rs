use birthmark_protocol::PixelSource;

use super::*;
use crate::proof::tests::proof;
use crate::sighted::tests::sighted;

fn file(kind: FileKind) -> FileDigests {
    FileDigests {
        kind,
        ..FileDigests::of_digest(Digest::of(b"file"))
    }
}

fn told(source: Source, level: i64, role: DigestRole, notices: &Notices) -> Card {
    Card::told(
        &file(FileKind::Picture),
        &sighted(source, level, role),
        notices,
        None,
    )
}

fn withdrawn(notice: &str) -> Notices {
    Notices {
        own: Some(notice.into()),
        ..Notices::default()
    }
}

#[test]
fn every_kind_of_record_has_its_own_headline() {
    let (none, file, data) = (Notices::default(), DigestRole::File, DigestRole::ImageData);
    let camera = Source::CameraCertificate;
    let cases = [
        (camera, 1, file, Tone::Registered, "Registered"),
        (
            camera,
            1,
            data,
            Tone::Picture,
            "Registered; metadata not covered",
        ),
        (
            camera,
            0,
            DigestRole::Raw,
            Tone::Picture,
            "Registered; only the sensor data",
        ),
        (camera, 2, file, Tone::Edit, "Registered: content changed"),
        (
            Source::Software,
            1,
            file,
            Tone::Edit,
            "Registered as an edit: processed",
        ),
        (
            Source::Software,
            2,
            file,
            Tone::Edit,
            "Registered as an edit: content changed",
        ),
        (
            Source::Software,
            2,
            data,
            Tone::Edit,
            "Registered as an edit: content changed; metadata not covered",
        ),
        (
            Source::Server,
            1,
            file,
            Tone::Edit,
            "Registered by a submission server",
        ),
    ];
    for (source, level, role, tone, headline) in cases {
        let card = told(source, level, role, &none);
        assert_eq!((card.tone, card.headline.as_str()), (tone, headline));
        assert!(card.holds() && card.checked.is_none());
    }
}

#[test]
fn a_withdrawal_comes_first_everywhere() {
    let card = told(
        Source::CameraToken,
        1,
        DigestRole::File,
        &withdrawn("firmware 2.0"),
    );
    assert_eq!(
        (card.tone, card.headline.as_str()),
        (Tone::Withdrawn, "Withdrawn: registered")
    );
    assert_eq!(card.warnings, ["Withdrawn: firmware 2.0"]);
    assert!(
        card.sentence.starts_with("Withdrawn: firmware 2.0."),
        "{}",
        card.sentence
    );
    assert!(!card.holds());

    let parent = Notices {
        parent: Some("firmware 2.0".into()),
        ..Notices::default()
    };
    let card = told(Source::Software, 2, DigestRole::File, &parent);
    assert_eq!(
        (card.tone, card.headline.as_str()),
        (
            Tone::Withdrawn,
            "Made from a withdrawn photo: registered as an edit: content changed"
        )
    );
    let begins = "What it was made from was withdrawn: firmware 2.0. ";
    assert!(card.sentence.starts_with(begins), "{}", card.sentence);
}

#[test]
fn a_rehearsal_says_so_in_its_headline() {
    let photo = sighted(Source::CameraAttested, 1, DigestRole::File);
    let rehearsal = Sighted {
        pixels: Some(PixelSource::Simulated),
        ..photo
    };
    let card = |notices: &Notices| Card::told(&file(FileKind::Picture), &rehearsal, notices, None);
    let plain = card(&Notices::default());
    assert_eq!(
        (plain.tone, plain.headline.as_str()),
        (Tone::Rehearsal, "Rehearsal record: registered")
    );
    assert!(
        plain
            .facts
            .iter()
            .any(|fact| fact.value.contains("a simulation"))
    );
    assert_eq!(
        card(&withdrawn("firmware 2.0")).headline,
        "Rehearsal record: withdrawn: registered"
    );
}

#[test]
fn an_edit_names_its_parent_and_a_photo_does_not_name_its_raw_data() {
    let none = Notices::default();
    let edit = told(Source::Software, 2, DigestRole::File, &none);
    assert_eq!(edit.parent, Some(Digest::from_bytes([0xAA; 32])));
    assert!(edit.facts.iter().any(|fact| fact.name == "Made from"));
    assert_eq!(
        told(Source::CameraToken, 1, DigestRole::File, &none).parent,
        None
    );
}

#[test]
fn what_the_file_says_of_itself_is_named_where_it_is_not_covered() {
    let metadata = Metadata {
        orientation: Some(2),
        ..Metadata::default()
    };
    let card = |role| {
        let sighted = sighted(Source::CameraToken, 1, role);
        Card::told(
            &file(FileKind::Picture),
            &sighted,
            &Notices::default(),
            Some(&metadata),
        )
    };
    assert!(card(DigestRole::ImageData).not_covered[0].contains("mirrored"));
    assert_eq!(card(DigestRole::File).not_covered, [""; 0]);
}

#[test]
fn a_file_that_cannot_be_read_is_not_called_unregistered_without_a_word() {
    let words = [
        (FileKind::Empty, "empty"),
        (FileKind::NoPicture, "Not a picture"),
        (FileKind::Damaged, "damaged"),
        (FileKind::OtherPicture, "No record found"),
    ];
    for (kind, word) in words {
        let card = Card::unknown(&file(kind));
        assert!(
            card.headline.contains(word) && !card.holds(),
            "{}",
            card.headline
        );
    }
}

#[test]
fn what_is_not_proven_is_not_called_registered() {
    let card = Card::unproven(&file(FileKind::Picture), "the receipt does not hold");
    assert!(!card.headline.contains("Registered") && !card.holds());
    assert!(
        card.sentence.contains("Do not call it registered"),
        "{}",
        card.sentence
    );
}

#[test]
fn a_proven_card_says_who_signed() {
    let proof = proof();
    let card = Card::proven(&file(FileKind::Picture), &proof, &Notices::default(), None);
    assert_eq!(card.index, Some(proof.verified.index));
    assert!(card.checked.unwrap().contains("validators signed block"));
}
