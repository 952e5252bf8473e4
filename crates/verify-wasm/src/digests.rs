//! The two digests a browser can compute from a file.

use birthmark_protocol::Digest;
use birthmark_protocol::image_data::ImageDataHasher;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Both digests in one pass.
#[derive(Default)]
pub struct FileHasher {
    file: Sha256,
    image_data: ImageDataHasher,
}

/// What the page looks up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Digests {
    /// The digest of the file, byte for byte.
    pub file: Digest,
    /// The digest that survives stripped metadata, for JPEG and PNG.
    pub image_data: Option<Digest>,
    /// How many bytes follow the end of the image, covered by the first digest only.
    pub trailing_bytes: u64,
    /// Why there is no second digest.
    pub why_no_image_data: Option<String>,
}

impl FileHasher {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, chunk: &[u8]) {
        self.file.update(chunk);
        self.image_data.update(chunk);
    }

    /// Ends the file.
    pub fn finish(self) -> Digests {
        let file = Digest::from_bytes(self.file.finalize().into());
        match self.image_data.finish() {
            Ok(found) => Digests {
                file,
                image_data: Some(found.digest),
                trailing_bytes: found.trailing,
                why_no_image_data: None,
            },
            Err(error) => {
                let why = Some(error.to_string());
                Digests {
                    file,
                    image_data: None,
                    trailing_bytes: 0,
                    why_no_image_data: why,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest PNG: a signature, a header, one empty line of data, an end.
    fn png(text: &[u8]) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut file, b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
        chunk(&mut file, b"tEXt", text);
        chunk(&mut file, b"IDAT", &[0x78, 0x9c, 0x63, 0, 0, 0, 2, 0, 1]);
        chunk(&mut file, b"IEND", &[]);
        file
    }

    fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
        let body = [kind.as_slice(), content].concat();
        file.extend((content.len() as u32).to_be_bytes());
        file.extend(&body);
        file.extend(crc(&body).to_be_bytes());
    }

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
            }
        }
        !crc
    }

    fn digests(file: &[u8], chunk: usize) -> Digests {
        let mut hasher = FileHasher::default();
        file.chunks(chunk).for_each(|chunk| hasher.update(chunk));
        hasher.finish()
    }

    #[test]
    fn changed_metadata_changes_the_first_digest_only() {
        let (one, two) = (digests(&png(b"k\0one"), 7), digests(&png(b"k\0two"), 1000));
        assert_eq!(one.file, Digest::of(&png(b"k\0one")));
        assert_ne!(one.file, two.file);
        assert!(one.image_data.is_some(), "{:?}", one.why_no_image_data);
        assert_eq!(one.image_data, two.image_data);
    }

    #[test]
    fn a_file_of_another_kind_has_one_digest_and_a_reason() {
        let found = digests(b"GIF89a and so on", 3);
        assert_eq!(found.file, Digest::of(b"GIF89a and so on"));
        assert_eq!(found.image_data, None);
        assert_eq!(
            found.why_no_image_data.unwrap(),
            "the file is neither JPEG nor PNG"
        );
    }
}
