//! Every digest that can be computed from a file, as the camera computed them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context as _;
use birthmark_protocol::image_data::{ImageDataError, ImageDataHasher};
use birthmark_protocol::{Digest, DigestRole};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// One digest of a file, or why the file has none of that kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileDigest {
    /// What it is computed over.
    pub role: DigestRole,
    /// The digest.
    pub digest: Digest,
}

/// What a file gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileDigests {
    /// The digests, the most specific first.
    pub digests: Vec<FileDigest>,
    /// What is worth knowing about them.
    pub notes: Vec<String>,
}

impl FileDigests {
    /// Reads a JPEG, PNG or DNG file once and computes what it allows.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        let (file, image_data) =
            hash_file(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut found = Self {
            digests: vec![FileDigest {
                role: DigestRole::File,
                digest: file,
            }],
            notes: Vec::new(),
        };
        match image_data {
            Ok(data) => {
                found.digests.push(FileDigest {
                    role: DigestRole::ImageData,
                    digest: data.digest,
                });
                if data.trailing > 0 {
                    found.notes.push(format!(
                        "{} bytes follow the end of the image; the image-data digest does not cover them",
                        data.trailing
                    ));
                }
            }
            Err(ImageDataError::UnknownFormat) => found.add_raw(path),
            Err(error) => found.notes.push(format!("no image-data digest: {error}")),
        }
        Ok(found)
    }

    fn add_raw(&mut self, path: &Path) {
        match raw_digest(path) {
            Ok(digest) => self.digests.push(FileDigest {
                role: DigestRole::Raw,
                digest,
            }),
            Err(error) => self.notes.push(format!(
                "only the file digest: neither JPEG nor PNG, and {error}"
            )),
        }
    }
}

/// The digest of the sensor's bytes, which a DNG of ours holds without loss.
fn raw_digest(path: &Path) -> anyhow::Result<Digest> {
    Ok(birthmark_capture::dng::read_frame(&std::fs::read(path)?)?.digest())
}

fn hash_file(
    path: &Path,
) -> anyhow::Result<(
    Digest,
    Result<birthmark_protocol::image_data::ImageData, ImageDataError>,
)> {
    let mut file = File::open(path)?;
    let (mut whole, mut image_data) = (Sha256::new(), ImageDataHasher::new());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        whole.update(read);
        image_data.update(read);
    }
    Ok((
        Digest::from_bytes(whole.finalize().into()),
        image_data.finish(),
    ))
}
