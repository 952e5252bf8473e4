use proptest::prelude::*;

use super::super::tests::kept;
use super::super::{ImageDataError, ImageDataHasher, ImageFormat, image_data};
use super::*;

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(content);
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length, &kind[..], content, &crc.finalize().to_be_bytes()].concat()
}

fn header() -> Vec<u8> {
    chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0])
}

fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    [
        &SIGNATURE[..],
        &header(),
        &chunks.concat(),
        &chunk(b"IEND", b""),
    ]
    .concat()
}

fn plain() -> Vec<u8> {
    file(&[chunk(b"IDAT", b"pixels")])
}

fn problem(file: &[u8]) -> &'static str {
    match image_data(file) {
        Err(ImageDataError::Broken { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_bytes_that_count_are_as_documented() {
    let header_content = [0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0];
    let expected: [&[u8]; 10] = [
        SIGNATURE,
        &header_content,
        &13u64.to_be_bytes(),
        b"IHDR",
        b"pixels",
        &6u64.to_be_bytes(),
        b"IDAT",
        b"",
        &0u64.to_be_bytes(),
        b"IEND",
    ];
    assert_eq!(kept(&plain()).0, expected.concat());
}

#[test]
fn metadata_and_the_cutting_of_pixels_change_nothing() {
    let digest = image_data(&plain()).unwrap().digest;
    for kind in [
        b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"tIME", b"pHYs", b"bKGD", b"sBIT", b"caBX",
    ] {
        let tagged = file(&[
            chunk(kind, b"anything"),
            chunk(b"IDAT", b"pixels"),
            chunk(kind, b"more"),
        ]);
        assert_eq!(image_data(&tagged).unwrap().digest, digest);
    }
    let cut = file(&[
        chunk(b"IDAT", b"pi"),
        chunk(b"IDAT", b""),
        chunk(b"IDAT", b"xels"),
    ]);
    assert_eq!(image_data(&cut).unwrap().digest, digest);
}

#[test]
fn everything_that_is_shown_counts() {
    let digest = image_data(&plain()).unwrap().digest;
    let pixels = || chunk(b"IDAT", b"pixels");
    for kind in SHOWN {
        let with = file(&[chunk(kind, b"\0\0\0\x01"), pixels()]);
        assert_ne!(image_data(&with).unwrap().digest, digest, "{kind:?}");
    }
    let shown = [
        file(&[chunk(b"IDAT", b"pixel5")]),
        file(&[chunk(b"PLTE", b"rgb"), pixels()]),
        file(&[chunk(b"tRNS", b"\0"), pixels()]),
        file(&[chunk(b"acTL", b"12345678"), pixels()]),
        file(&[pixels(), chunk(b"fdAT", b"another picture")]),
        file(&[pixels(), chunk(b"NEWc", b"unknown but critical")]),
    ];
    for file in shown {
        assert_ne!(image_data(&file).unwrap().digest, digest);
    }
}

#[test]
fn content_cannot_move_from_one_chunk_to_another() {
    let one = file(&[chunk(b"PLTE", b"abc"), chunk(b"IDAT", b"def")]);
    let two = file(&[chunk(b"PLTE", b"ab"), chunk(b"IDAT", b"cdef")]);
    assert_ne!(
        image_data(&one).unwrap().digest,
        image_data(&two).unwrap().digest
    );
}

#[test]
fn what_follows_the_image_is_counted_and_not_covered() {
    let found = image_data(&[&plain()[..], b"tail"].concat()).unwrap();
    assert_eq!(
        (found.digest, found.trailing),
        (image_data(&plain()).unwrap().digest, 4)
    );
}

#[test]
fn broken_files_are_refused_by_name() {
    let pixels = || chunk(b"IDAT", b"pixels");
    assert_eq!(
        problem(b"\x89PNG\r\n\x1a\r"),
        "the file does not begin as a PNG"
    );
    assert_eq!(
        problem(&[&SIGNATURE[..], &pixels()].concat()),
        "the file does not begin with an image header"
    );
    assert_eq!(
        problem(&file(&[header(), pixels()])),
        "an image header in the wrong place or of the wrong size"
    );
    assert_eq!(problem(&file(&[])), "the image ends without pixels");
    assert_eq!(
        problem(&file(&[pixels(), chunk(b"tEXt", b"x"), pixels()])),
        "pixels in two separate places"
    );
    assert_eq!(
        problem(&file(&[chunk(b"te t", b"x"), pixels()])),
        "a chunk type that is not four letters"
    );
    let long = [&SIGNATURE[..], &header(), b"\xff\xff\xff\xffIDAT"].concat();
    assert_eq!(problem(&long), "a chunk longer than the format allows");
    let mut flipped = plain();
    let last = flipped.len() - 13;
    flipped[last] ^= 1;
    assert_eq!(problem(&flipped), "a chunk whose checksum does not match");
}

#[test]
fn no_cut_file_has_a_digest() {
    let file = plain();
    for end in 1..file.len() {
        assert_eq!(
            image_data(&file[..end]),
            Err(ImageDataError::Truncated(ImageFormat::Png)),
            "{end}"
        );
    }
}

proptest! {
    #[test]
    fn chunks_of_any_size_give_the_same_digest(cuts in proptest::collection::vec(any::<u8>(), 1..20), pixels: Vec<u8>) {
        let file = file(&[chunk(b"tEXt", b"note"), chunk(b"IDAT", &pixels)]);
        let mut hasher = ImageDataHasher::new();
        let mut rest = &file[..];
        for cut in cuts {
            let (part, after) = rest.split_at(usize::from(cut).min(rest.len()));
            hasher.update(part);
            rest = after;
        }
        hasher.update(rest);
        prop_assert_eq!(hasher.finish(), image_data(&file));
    }
}
