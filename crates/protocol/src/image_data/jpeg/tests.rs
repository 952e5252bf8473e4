use jpeg_encoder::{ColorType, Encoder};
use proptest::prelude::*;

use super::super::tests::kept;
use super::super::{ImageDataError, ImageDataHasher, ImageFormat, image_data};

const SIDE: u16 = 48;

fn picture(changed: Option<usize>) -> Vec<u8> {
    let side = usize::from(SIDE);
    let mut pixels: Vec<u8> = (0..side * side * 3)
        .map(|at| u8::try_from((at * 7 + at / side * 11) % 251).unwrap())
        .collect();
    if let Some(at) = changed {
        pixels[at] ^= 0x80;
    }
    pixels
}

fn encoded(changed: Option<usize>, set: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 90);
    set(&mut encoder);
    encoder
        .encode(&picture(changed), SIDE, SIDE, ColorType::Rgb)
        .unwrap();
    file
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
    [&[0xFF, marker], &length[..], content].concat()
}

/// Where the first segment of this kind begins.
fn find(file: &[u8], marker: u8) -> usize {
    file.windows(2)
        .position(|pair| pair == [0xFF, marker])
        .unwrap()
}

fn insert(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&file[..at], bytes, &file[at..]].concat()
}

#[test]
fn metadata_anywhere_between_segments_changes_nothing() {
    let plain = encoded(None, |_| {});
    let digest = image_data(&plain).unwrap().digest;
    for at in [
        2,
        find(&plain, 0xDB),
        find(&plain, 0xC4),
        find(&plain, 0xDA),
    ] {
        for marker in (0xE0..=0xEF).chain([0xFE]) {
            let tagged = insert(
                &plain,
                at,
                &segment(marker, b"Exif\0\0 \xFF\xD9 and anything else"),
            );
            assert_eq!(image_data(&tagged).unwrap().digest, digest);
        }
    }
}

fn adobe(transform: u8) -> Vec<u8> {
    let content = [&b"Adobe\0\x64\0\0\0\0"[..], &[transform]].concat();
    segment(0xEE, &content)
}

fn profile(rest: &[u8]) -> Vec<u8> {
    segment(0xE2, &[&b"ICC_PROFILE\0\x01\x01"[..], rest].concat())
}

fn without_jfif(file: &[u8]) -> Vec<u8> {
    let at = find(file, 0xE0);
    let length = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
    [&file[..at], &file[at + 2 + length..]].concat()
}

#[test]
fn what_changes_how_the_pixels_look_counts() {
    let plain = without_jfif(&encoded(None, |_| {}));
    let digests = [
        plain.clone(),
        insert(&plain, 2, &adobe(0)),
        insert(&plain, 2, &adobe(1)),
        insert(&plain, 2, &profile(b"one profile")),
        insert(&plain, 2, &profile(b"another one")),
        insert(&plain, find(&plain, 0xDA), &profile(b"one profile")),
    ]
    .map(|file| image_data(&file).unwrap().digest);
    for (at, one) in digests.iter().enumerate() {
        let others = digests.iter().skip(at + 1);
        assert!(
            others.clone().all(|other| other != one),
            "{at}: {digests:?}"
        );
    }
    // The same markers with other content are metadata like the rest.
    for (marker, content) in [
        (0xE2, &b"ICC_PROFILE"[..]),
        (0xE2, b"MPF\0"),
        (0xE2, b""),
        (0xEE, b"Adob"),
        (0xEE, b"adobe\0\x64\0\0\0\0\0"),
    ] {
        let tagged = insert(&plain, 2, &segment(marker, content));
        assert_eq!(image_data(&tagged).unwrap().digest, digests[0]);
    }
}

#[test]
fn a_file_whose_colours_hang_on_its_metadata_has_no_digest() {
    let plain = encoded(None, |_| {});
    let disagree = |file: &[u8]| match image_data(file) {
        Err(ImageDataError::Broken { problem, .. }) => problem.contains("colours do not agree"),
        other => panic!("{other:?}"),
    };
    let red = insert(&plain, find(&plain, 0xDB), &adobe(0));
    assert!(
        disagree(&red),
        "with the header it is YCbCr, without it RGB"
    );
    image_data(&without_jfif(&red)).unwrap();
    image_data(&insert(&plain, 2, &adobe(1))).unwrap();

    let mut named = plain;
    let frame = find(&named, 0xC0) + 4;
    for (at, name) in [(6, b'R'), (9, b'G'), (12, b'B')] {
        named[frame + at] = name;
    }
    assert!(disagree(&named));
    image_data(&without_jfif(&named)).unwrap();
    image_data(&insert(&named, 2, &adobe(1))).unwrap();
}

#[test]
fn what_counts_is_the_file_without_its_metadata() {
    let plain = encoded(None, |_| {});
    let (stripped, result) = kept(&plain);
    assert!(
        stripped.len() < plain.len(),
        "the encoder writes at least a JFIF header"
    );
    assert_eq!(result.unwrap().digest, crate::Digest::of(&stripped));
    assert_eq!(kept(&stripped).0, stripped);
}

#[test]
fn one_changed_pixel_changes_the_digest() {
    let original = image_data(&encoded(None, |_| {})).unwrap().digest;
    for at in [0, 3000, usize::from(SIDE) * usize::from(SIDE) * 3 - 1] {
        assert_ne!(
            image_data(&encoded(Some(at), |_| {})).unwrap().digest,
            original
        );
    }
}

#[test]
fn restart_intervals_and_all_scans_of_a_progressive_file_count() {
    let restarts = encoded(None, |encoder| encoder.set_restart_interval(2));
    let progressive = encoded(None, |encoder| encoder.set_progressive(true));
    assert!(
        progressive
            .windows(2)
            .filter(|pair| *pair == [0xFF, 0xDA])
            .count()
            > 1
    );
    for file in [&restarts, &progressive] {
        let digest = image_data(file).unwrap().digest;
        let last_scan = file
            .windows(2)
            .rposition(|pair| pair == [0xFF, 0xDA])
            .unwrap();
        let tagged = insert(file, last_scan, &segment(0xE1, b"between the scans"));
        assert_eq!(image_data(&tagged).unwrap().digest, digest);
        let mut changed = file.clone();
        let inside = changed.len() - 4;
        changed[inside] = if changed[inside] == 0x10 { 0x11 } else { 0x10 };
        assert_ne!(image_data(&changed).map(|found| found.digest), Ok(digest));
    }
    let without = restarts
        .windows(2)
        .position(|pair| pair == [0xFF, 0xD0])
        .unwrap();
    let removed = [&restarts[..without], &restarts[without + 2..]].concat();
    assert_ne!(
        image_data(&removed).unwrap().digest,
        image_data(&restarts).unwrap().digest
    );
}

#[test]
fn fill_bytes_carry_nothing() {
    let plain = encoded(None, |_| {});
    let digest = image_data(&plain).unwrap().digest;
    for at in [find(&plain, 0xDB), find(&plain, 0xDA), plain.len() - 2] {
        assert_eq!(
            image_data(&insert(&plain, at, &[0xFF; 3])).unwrap().digest,
            digest
        );
    }
}

#[test]
fn a_height_that_is_told_afterwards_counts() {
    let plain = encoded(None, |_| {});
    let told = insert(&plain, plain.len() - 2, &segment(0xDC, &[0, 48]));
    assert_ne!(
        image_data(&told).unwrap().digest,
        image_data(&plain).unwrap().digest
    );
}

#[test]
fn what_follows_the_image_is_counted_and_not_covered() {
    let plain = encoded(None, |_| {});
    let second_picture = [&plain[..], &encoded(Some(5), |_| {})].concat();
    let found = image_data(&second_picture).unwrap();
    assert_eq!(found.digest, image_data(&plain).unwrap().digest);
    assert_eq!(found.trailing, (second_picture.len() - plain.len()) as u64);
    assert_eq!(image_data(&plain).unwrap().trailing, 0);
}

#[test]
fn no_cut_file_has_a_digest() {
    let file = encoded(None, |encoder| encoder.set_progressive(true));
    for end in 1..file.len() {
        assert_eq!(
            image_data(&file[..end]),
            Err(ImageDataError::Truncated(ImageFormat::Jpeg)),
            "{end}"
        );
    }
}

#[test]
fn broken_structure_is_named_with_its_place() {
    let problem = |bytes: &[u8]| match image_data(&[&[0xFF, 0xD8], bytes].concat()) {
        Err(ImageDataError::Broken { at, problem, .. }) => (at, problem),
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(&[0x12]), (2, "expected a marker"));
    assert_eq!(problem(&[0xFF, 0x00]), (3, "a marker that does not exist"));
    assert_eq!(
        problem(&[0xFF, 0xD3]),
        (3, "a restart marker outside a scan")
    );
    assert_eq!(
        problem(&[0xFF, 0xD8]),
        (3, "a second image begins inside the first")
    );
    assert_eq!(problem(&[0xFF, 0xD9]), (3, "the image ends without a scan"));
    assert_eq!(
        problem(&[0xFF, 0xE1, 0, 1]),
        (5, "a segment shorter than its own length field")
    );
    assert_eq!(
        problem(&[0xFF, 0xFE, 0, 2, 0xFF, 0xFE, 0, 2, 7]),
        (10, "expected a marker")
    );
}

proptest! {
    #[test]
    fn chunks_of_any_size_give_the_same_digest(sizes in proptest::collection::vec(1usize..97, 1..20)) {
        let file = encoded(None, |encoder| encoder.set_progressive(true));
        let mut hasher = ImageDataHasher::new();
        let mut rest = &file[..];
        for size in sizes.iter().cycle() {
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            hasher.update(chunk);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(hasher.finish(), image_data(&file));
    }
}
