//! The chunks of a PNG file. Nothing is inflated.

use super::{Keep, Step};

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
/// The format's own limit.
const MAX_LENGTH: u32 = 0x7FFF_FFFF;

#[derive(Debug)]
pub(super) struct Png {
    state: State,
    chunk: Chunk,
    crc: Crc,
    /// Whether any chunk was read.
    begun: bool,
    pixels: Pixels,
    trailing: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Inside the signature.
    Signature { have: usize },
    /// Inside a chunk's length and type.
    Header { bytes: [u8; 8], have: usize },
    /// Inside a chunk's content.
    Content { left: usize },
    /// Inside a chunk's checksum.
    Checksum { bytes: [u8; 4], have: usize },
    /// After the last chunk.
    End,
}

#[derive(Debug, Default, Clone, Copy)]
struct Chunk {
    kind: [u8; 4],
    length: u32,
}

/// Where we are relative to the `IDAT` chunks, whose contents count as one.
#[derive(Debug, Clone, Copy)]
enum Pixels {
    Before,
    Inside { length: u64 },
    After,
}

impl Default for Png {
    fn default() -> Self {
        Self {
            state: State::Signature { have: 0 },
            chunk: Chunk::default(),
            crc: Crc::new(),
            begun: false,
            pixels: Pixels::Before,
            trailing: 0,
        }
    }
}

impl Chunk {
    /// Whether decoders show something else without it.
    fn counts(&self) -> bool {
        let critical = self.kind.first().is_some_and(u8::is_ascii_uppercase);
        critical || matches!(&self.kind, b"tRNS" | b"acTL" | b"fcTL" | b"fdAT")
    }
}

impl Png {
    /// How many bytes followed the image, or nothing if the image has not ended.
    pub(super) fn trailing(&self) -> Option<u64> {
        matches!(self.state, State::End).then_some(self.trailing)
    }

    /// Takes some bytes from the front of `bytes`, which is not empty.
    pub(super) fn step(&mut self, bytes: &[u8], keep: Keep<'_>) -> Step {
        let first = bytes.first().copied().unwrap_or_default();
        match self.state {
            State::Signature { have } => self.state = signature(have, first, keep)?,
            State::Header { bytes, have } => {
                self.header_byte(put(bytes, have, first), have + 1, keep)?
            }
            State::Content { left } => return Ok(self.content(bytes, left, keep)),
            State::Checksum { bytes, have } => {
                self.checksum_byte(put(bytes, have, first), have + 1, keep)?
            }
            State::End => {
                self.trailing += bytes.len() as u64;
                return Ok(bytes.len());
            }
        }
        Ok(1)
    }

    fn header_byte(
        &mut self,
        bytes: [u8; 8],
        have: usize,
        keep: Keep<'_>,
    ) -> Result<(), &'static str> {
        if have < bytes.len() {
            self.state = State::Header { bytes, have };
            return Ok(());
        }
        let [a, b, c, d, kind @ ..] = bytes;
        self.chunk = Chunk {
            kind,
            length: u32::from_be_bytes([a, b, c, d]),
        };
        self.check_chunk()?;
        self.follow_pixels(keep)?;
        self.begun = true;
        self.crc = Crc::new();
        self.crc.update(&kind);
        self.state = self.after_content(usize::try_from(self.chunk.length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn check_chunk(&self) -> Result<(), &'static str> {
        match (&self.chunk.kind, self.chunk.length) {
            _ if !self.chunk.kind.iter().all(u8::is_ascii_alphabetic) => {
                Err("a chunk type that is not four letters")
            }
            (_, length) if length > MAX_LENGTH => Err("a chunk longer than the format allows"),
            (b"IHDR", 13) if !self.begun => Ok(()),
            (b"IHDR", _) => Err("an image header in the wrong place or of the wrong size"),
            _ if !self.begun => Err("the file does not begin with an image header"),
            (b"IEND", length) if length > 0 => Err("an end chunk with content"),
            _ => Ok(()),
        }
    }

    /// Notes where the pixels begin and end, and closes them behind their last chunk.
    fn follow_pixels(&mut self, keep: Keep<'_>) -> Result<(), &'static str> {
        let length = u64::from(self.chunk.length);
        self.pixels = match (self.pixels, &self.chunk.kind) {
            (Pixels::Before, b"IDAT") => Pixels::Inside { length },
            (Pixels::Inside { length: before }, b"IDAT") => Pixels::Inside {
                length: before + length,
            },
            (Pixels::After, b"IDAT") => return Err("pixels in two separate places"),
            (Pixels::Before, b"IEND") => return Err("the image ends without pixels"),
            (Pixels::Inside { length }, _) => {
                close(b"IDAT", length, keep);
                Pixels::After
            }
            (unchanged, _) => unchanged,
        };
        Ok(())
    }

    fn content(&mut self, bytes: &[u8], left: usize, keep: Keep<'_>) -> usize {
        let (content, _) = bytes.split_at(left.min(bytes.len()));
        self.crc.update(content);
        if self.chunk.counts() {
            keep(content);
        }
        self.state = self.after_content(left - content.len());
        content.len()
    }

    const fn after_content(&self, left: usize) -> State {
        if left == 0 {
            State::Checksum {
                bytes: [0; 4],
                have: 0,
            }
        } else {
            State::Content { left }
        }
    }

    fn checksum_byte(
        &mut self,
        bytes: [u8; 4],
        have: usize,
        keep: Keep<'_>,
    ) -> Result<(), &'static str> {
        if have < bytes.len() {
            self.state = State::Checksum { bytes, have };
            return Ok(());
        }
        if u32::from_be_bytes(bytes) != self.crc.value() {
            return Err("a chunk whose checksum does not match");
        }
        let chunk = self.chunk;
        if chunk.counts() && chunk.kind != *b"IDAT" {
            close(&chunk.kind, chunk.length.into(), keep);
        }
        self.state = if chunk.kind == *b"IEND" {
            State::End
        } else {
            State::Header {
                bytes: [0; 8],
                have: 0,
            }
        };
        Ok(())
    }
}

/// Length and type stand behind the content, because the length of all pixels is known only then.
fn close(kind: &[u8; 4], length: u64, keep: Keep<'_>) {
    keep(&length.to_be_bytes());
    keep(kind);
}

fn signature(have: usize, byte: u8, keep: Keep<'_>) -> Result<State, &'static str> {
    if SIGNATURE.get(have) != Some(&byte) {
        return Err("the file does not begin as a PNG");
    }
    if have + 1 < SIGNATURE.len() {
        return Ok(State::Signature { have: have + 1 });
    }
    keep(SIGNATURE);
    Ok(State::Header {
        bytes: [0; 8],
        have: 0,
    })
}

/// The array with one byte put into its place.
fn put<const N: usize>(mut bytes: [u8; N], at: usize, byte: u8) -> [u8; N] {
    if let Some(place) = bytes.get_mut(at) {
        *place = byte;
    }
    bytes
}

/// The checksum of PNG: CRC-32 with the reflected polynomial 0xEDB88320.
#[derive(Debug)]
struct Crc(u32);

const CRC_TABLE: [u32; 256] = crc_table();

#[expect(
    clippy::indexing_slicing,
    reason = "computed by the compiler, where a wrong index does not compile"
)]
const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                0xEDB8_8320 ^ (value >> 1)
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

impl Crc {
    const fn new() -> Self {
        Self(u32::MAX)
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [low, ..] = self.0.to_le_bytes();
            let entry = CRC_TABLE
                .get(usize::from(low ^ byte))
                .copied()
                .unwrap_or_default();
            self.0 = entry ^ (self.0 >> 8);
        }
    }

    const fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::kept;
    use super::super::{ImageDataError, ImageDataHasher, ImageFormat, image_data};
    use super::*;

    fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(content);
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length, &kind[..], content, &crc.value().to_be_bytes()].concat()
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
    fn the_checksum_is_that_of_the_standard() {
        let mut crc = Crc::new();
        crc.update(b"123456789");
        assert_eq!(crc.value(), 0xCBF4_3926);
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
            b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"tIME", b"pHYs", b"iCCP", b"gAMA", b"caBX",
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
}
