//! The third digest of a photo: what is left of a file when the metadata that services strip is
//! gone.
//!
//! **JPEG**: SHA-256 of the file without its APP0–APP15 and COM segments, without fill bytes before
//! markers, and without what follows the end-of-image marker. Everything else counts in file order:
//! tables, frame headers, all scans of a progressive file, restart markers, DNL, and of the APPn
//! segments those that change how the pixels look: Adobe's APP14 and colour profiles (APP2 that
//! begins with `ICC_PROFILE`). A file whose colours depend on its JFIF header is refused.
//!
//! **PNG**: SHA-256 of the signature followed, for every critical chunk and every one that changes
//! what is shown (`tRNS`, `acTL`, `fcTL`, `fdAT`, `cICP`, `iCCP`, `sRGB`, `gAMA`, `cHRM`, `mDCV`,
//! `cLLI`), by the chunk's content, its length as 8 bytes big-endian and its type. The content of
//! consecutive `IDAT` chunks counts as one.
//!
//! The digest survives removing or adding metadata. It does not survive re-encoding, resizing,
//! cropping or lossless rotation, nor adding or removing a colour profile. It says nothing about
//! orientation, date, place and caption, nor about what follows the end of the image (second
//! pictures, gain maps, motion videos): callers are told how much that is.

mod jpeg;
mod png;

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use jpeg::Jpeg;
use png::Png;

/// A file format whose image data we can tell from its metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageFormat {
    /// JPEG: any process, any number of scans.
    Jpeg,
    /// PNG, animated or not.
    Png,
}

/// What was found in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageData {
    /// The image-data digest.
    pub digest: Digest,
    /// What the file is.
    pub format: ImageFormat,
    /// How many bytes follow the end of the image, covered by no part of the digest.
    pub trailing: u64,
}

/// Why a file has no image-data digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageDataError {
    /// Neither JPEG nor PNG.
    #[error("the file is neither JPEG nor PNG")]
    UnknownFormat,
    /// The file ends before its image does.
    #[error("the {0} file is cut off")]
    Truncated(ImageFormat),
    /// The file breaks the rules of its format.
    #[error("not a sound {format} file: {problem} at byte {at}")]
    Broken {
        /// Which format.
        format: ImageFormat,
        /// How many bytes were read before the problem.
        at: u64,
        /// What is wrong there.
        problem: &'static str,
    },
}

/// Computes the digest of a file while it is written or read, chunk by chunk, in constant memory.
#[derive(Debug, Default)]
pub struct ImageDataHasher {
    hasher: Sha256,
    parser: Parser,
    /// How many bytes the parser has taken.
    at: u64,
}

#[derive(Debug, Default)]
enum Parser {
    #[default]
    Undecided,
    Jpeg(Jpeg),
    Png(Png),
    Failed(ImageDataError),
}

/// What a parser does with a piece of its input: how many bytes it took, or what is wrong with
/// them.
type Step = Result<usize, &'static str>;
/// Receives the bytes that count, in order.
type Keep<'a> = &'a mut dyn FnMut(&[u8]);

impl ImageDataHasher {
    /// Starts with an empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file. Problems are reported by [`ImageDataHasher::finish`].
    pub fn update(&mut self, bytes: &[u8]) {
        let hasher = &mut self.hasher;
        self.parser
            .push(bytes, &mut self.at, &mut |kept| hasher.update(kept));
    }

    /// Ends the file.
    pub fn finish(self) -> Result<ImageData, ImageDataError> {
        let (format, trailing) = match self.parser {
            Parser::Undecided => return Err(ImageDataError::UnknownFormat),
            Parser::Failed(error) => return Err(error),
            Parser::Jpeg(jpeg) => (ImageFormat::Jpeg, jpeg.trailing()),
            Parser::Png(png) => (ImageFormat::Png, png.trailing()),
        };
        let trailing = trailing.ok_or(ImageDataError::Truncated(format))?;
        Ok(ImageData {
            digest: Digest::from_bytes(self.hasher.finalize().into()),
            format,
            trailing,
        })
    }
}

/// Computes the digest of a whole file.
pub fn image_data(file: &[u8]) -> Result<ImageData, ImageDataError> {
    let mut hasher = ImageDataHasher::new();
    hasher.update(file);
    hasher.finish()
}

/// The file with nothing in it but what its image-data digest covers: it shows the pixels that are
/// registered, as they are registered, whatever else the file says about orientation, date, place
/// or caption.
pub fn without_metadata(file: &[u8]) -> Result<Vec<u8>, ImageDataError> {
    let found = image_data(file)?;
    let mut kept = Vec::with_capacity(file.len());
    match found.format {
        // The bytes that count are themselves a JPEG.
        ImageFormat::Jpeg => {
            Parser::default().push(file, &mut 0, &mut |bytes| kept.extend_from_slice(bytes));
        }
        ImageFormat::Png => png::without_metadata(file, &mut kept),
    }
    Ok(kept)
}

impl Parser {
    fn push(&mut self, mut bytes: &[u8], at: &mut u64, keep: Keep<'_>) {
        while let Some(first) = bytes.first() {
            let (format, step) = match self {
                Self::Undecided => {
                    *self = Self::decide(*first);
                    continue;
                }
                Self::Failed(_) => return,
                Self::Jpeg(jpeg) => (ImageFormat::Jpeg, jpeg.step(bytes, keep)),
                Self::Png(png) => (ImageFormat::Png, png.step(bytes, keep)),
            };
            match step {
                Ok(taken) => {
                    *at += taken as u64;
                    bytes = bytes.split_at(taken.min(bytes.len())).1;
                }
                Err(problem) => {
                    *self = Self::Failed(ImageDataError::Broken {
                        format,
                        at: *at,
                        problem,
                    })
                }
            }
        }
    }

    fn decide(first: u8) -> Self {
        match first {
            0xFF => Self::Jpeg(Jpeg::default()),
            0x89 => Self::Png(Png::default()),
            _ => Self::Failed(ImageDataError::UnknownFormat),
        }
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What counts of a file, and how it ended.
    pub(super) fn kept(file: &[u8]) -> (Vec<u8>, Result<ImageData, ImageDataError>) {
        let mut out = Vec::new();
        Parser::default().push(file, &mut 0, &mut |bytes| out.extend_from_slice(bytes));
        (out, image_data(file))
    }

    #[test]
    fn other_formats_are_refused() {
        for file in [
            &b""[..],
            b"GIF89a",
            b"RIFF\0\0\0\0WEBP",
            b"II*\0",
            b"\0\0\0\x18ftypheic",
        ] {
            assert_eq!(image_data(file), Err(ImageDataError::UnknownFormat));
        }
        let error = image_data(b"\xFF\xFE").unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a sound JPEG file: the file does not begin as a JPEG at byte 1"
        );
    }

    #[test]
    fn a_file_without_its_metadata_has_the_same_digest_and_no_other_bytes() {
        let vectors = include_str!("../../../spec/vectors/image-data.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            use base64::Engine as _;
            let file = case["file_base64"].as_str().unwrap();
            let file = base64::engine::general_purpose::STANDARD
                .decode(file)
                .unwrap();
            let stripped = without_metadata(&file).unwrap();
            let (before, after) = (image_data(&file).unwrap(), image_data(&stripped).unwrap());
            assert_eq!(
                (after.digest, after.trailing),
                (before.digest, 0),
                "{}",
                case["name"]
            );
            assert_eq!(
                without_metadata(&stripped).unwrap(),
                stripped,
                "{}",
                case["name"]
            );
            for word in [&b"Artist"[..], b"Exif", b"tEXt", b"xmpmeta"] {
                assert!(!stripped.windows(word.len()).any(|part| part == word));
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail_in_another_way_than_an_error(
            start in prop_oneof![Just(&b"\xFF\xD8"[..]), Just(&b"\x89PNG\r\n\x1a\n"[..])],
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            cut in 0usize..400,
        ) {
            let file = [start, &bytes].concat();
            let (one, two) = file.split_at(cut.min(file.len()));
            let mut hasher = ImageDataHasher::new();
            hasher.update(one);
            hasher.update(two);
            prop_assert_eq!(hasher.finish(), image_data(&file));
        }
    }
}
