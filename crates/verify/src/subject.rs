//! A file, as far as it is looked at: its digests and what kind of file it is.

use birthmark_protocol::image_data::{ImageDataError, ImageDataHasher};
use birthmark_protocol::{Digest, DigestError, DigestRole};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How much of a file's beginning tells what it is.
const SIGNATURE: usize = 16;

/// One digest of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// What it is computed over.
    pub role: DigestRole,
    /// The digest.
    pub digest: Digest,
}

/// What a file gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigests {
    /// The digests, that of the whole file first.
    pub digests: Vec<FileDigest>,
    /// What the file is.
    pub kind: FileKind,
    /// What is worth knowing about the digests, in sentences.
    pub notes: Vec<String>,
}

/// What a file is, as far as it matters for what its digests mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A sound JPEG or PNG.
    Picture,
    /// A picture in another format, of which only the whole file can be looked up.
    OtherPicture,
    /// A JPEG or PNG that ends too early or breaks its format's rules.
    Damaged,
    /// No picture in a format we know.
    NoPicture,
    /// Nothing at all.
    Empty,
    /// There is no file: somebody brought a digest.
    Unseen,
}

/// Computes a file's digests chunk by chunk, in constant memory.
#[derive(Debug, Default)]
pub struct FileHasher {
    file: Sha256,
    image_data: ImageDataHasher,
    start: Vec<u8>,
}

impl FileHasher {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, chunk: &[u8]) {
        let missing = SIGNATURE.saturating_sub(self.start.len());
        self.start.extend(chunk.iter().take(missing));
        self.file.update(chunk);
        self.image_data.update(chunk);
    }

    /// Ends the file.
    pub fn finish(self) -> FileDigests {
        let file = FileDigest {
            role: DigestRole::File,
            digest: Digest::from_bytes(self.file.finalize().into()),
        };
        let mut found = FileDigests {
            digests: vec![file],
            kind: FileKind::Picture,
            notes: Vec::new(),
        };
        match self.image_data.finish() {
            Ok(data) => {
                found.digests.push(FileDigest {
                    role: DigestRole::ImageData,
                    digest: data.digest,
                });
                if data.trailing > 0 {
                    found.notes.push(format!(
                        "{} bytes follow the end of the picture; the image-data digest does not cover them",
                        data.trailing
                    ));
                }
            }
            Err(error) => (found.kind, found.notes) = without_image_data(&self.start, error),
        }
        found
    }
}

fn without_image_data(start: &[u8], error: ImageDataError) -> (FileKind, Vec<String>) {
    let (kind, note) = match error {
        _ if start.is_empty() => (FileKind::Empty, "the file is empty".to_owned()),
        ImageDataError::UnknownFormat if is_other_picture(start) => (
            FileKind::OtherPicture,
            "of this format only the whole file can be looked up, byte for byte".to_owned(),
        ),
        ImageDataError::UnknownFormat => (
            FileKind::NoPicture,
            "this is no picture in a format known here".to_owned(),
        ),
        error => (
            FileKind::Damaged,
            format!("{error}, so only the whole file can be looked up"),
        ),
    };
    (kind, vec![note])
}

/// Formats that cameras and browsers know, by how their files begin.
fn is_other_picture(start: &[u8]) -> bool {
    let brand = start.get(4..12).unwrap_or(&[]);
    let is_riff = start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP");
    let is_still = brand.starts_with(b"ftyp")
        && [b"heic", b"heix", b"mif1", b"msf1", b"avif", b"crx "]
            .iter()
            .any(|still| brand.ends_with(*still));
    let signatures: [&[u8]; 8] = [
        b"GIF8",
        b"II*\0",
        b"MM\0*",
        b"BM",
        b"8BPS",
        b"\xFF\x0A",
        b"\0\0\0\x0cJXL ",
        b"\0\0\0\x0cjP  ",
    ];
    is_riff
        || is_still
        || signatures
            .iter()
            .any(|signature| start.starts_with(signature))
}

/// A digest as people paste it: spaces, a `sha256:` in front and the file name that `sha256sum`
/// writes do not matter.
pub fn typed_digest(text: &str) -> Result<Digest, DigestError> {
    let text = text.trim();
    let bare = match text.split_once(':') {
        Some((name, rest)) if name.eq_ignore_ascii_case("sha256") => rest.trim_start(),
        _ => text,
    };
    let first = bare.split_whitespace().next();
    match first.map(str::parse) {
        Some(Ok(digest)) => Ok(digest),
        // Digests are also written in groups.
        _ => bare.split_whitespace().collect::<String>().parse(),
    }
}

impl FileDigests {
    /// What there is of a photo when somebody brings only a digest of it.
    pub fn of_digest(digest: Digest) -> Self {
        let role = DigestRole::Unstated;
        Self {
            digests: vec![FileDigest { role, digest }],
            kind: FileKind::Unseen,
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::picture;

    fn digests(file: &[u8], chunk: usize) -> FileDigests {
        let mut hasher = FileHasher::default();
        file.chunks(chunk).for_each(|chunk| hasher.update(chunk));
        hasher.finish()
    }

    #[test]
    fn changed_metadata_changes_the_first_digest_only() {
        let (plain, tagged) = (picture("plain.png"), picture("tagged-plain.png"));
        let (one, two) = (digests(&plain, 7), digests(&tagged, 1000));
        assert_eq!(one.digests[0].digest, Digest::of(&plain));
        assert_ne!(one.digests[0], two.digests[0]);
        assert_eq!(
            (one.kind, &one.digests[1]),
            (FileKind::Picture, &two.digests[1])
        );
    }

    #[test]
    fn what_follows_the_picture_is_said() {
        let found = digests(&picture("second-picture.jpg"), 50);
        assert!(
            found.notes[0].contains("bytes follow the end"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn a_pasted_digest_is_read_however_it_was_copied() {
        let digest = Digest::of(b"photo");
        let hex = digest.to_hex();
        let (one, two) = hex.split_at(32);
        for text in [
            hex.clone(),
            hex.to_uppercase(),
            format!("  {hex}\n"),
            format!("sha256:{hex}"),
            format!("SHA256: {hex}"),
            format!("{hex}  photo.jpg"),
            format!("{one} {two}"),
        ] {
            assert_eq!(typed_digest(&text), Ok(digest), "{text}");
        }
        for text in ["", "sha256:", "photo.jpg", one] {
            assert!(typed_digest(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_that_cannot_be_looked_at_are_told_apart() {
        let cut = picture("plain.jpg");
        let cases: [(&[u8], FileKind, &str); 6] = [
            (b"", FileKind::Empty, "empty"),
            (b"Dear editor", FileKind::NoPicture, "no picture"),
            (&cut[..cut.len() / 2], FileKind::Damaged, "cut off"),
            (b"GIF89a and so on", FileKind::OtherPicture, "whole file"),
            (
                b"\0\0\0\x18ftypheic....",
                FileKind::OtherPicture,
                "whole file",
            ),
            (b"RIFF....WEBPVP8 ", FileKind::OtherPicture, "whole file"),
        ];
        for (file, kind, word) in cases {
            let found = digests(file, 5);
            assert_eq!((found.kind, found.digests.len()), (kind, 1));
            assert_eq!(found.digests[0].digest, Digest::of(file));
            assert!(found.notes[0].contains(word), "{:?}", found.notes);
        }
    }
}
