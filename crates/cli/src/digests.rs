//! Every digest that can be computed from a file, as the camera computed them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context as _;
use birthmark_protocol::{Digest, DigestRole};
use birthmark_verify::{FileDigest, FileDigests, FileHasher, FileKind};

/// Reads a file once and computes what it allows: beside what a browser can also the raw digest of
/// our DNG files.
pub fn of(path: &Path) -> anyhow::Result<FileDigests> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut found = read(file).with_context(|| format!("cannot read {}", path.display()))?;
    if found.kind == FileKind::OtherPicture {
        add_raw(&mut found, path);
    }
    Ok(found)
}

/// The digests of whatever is read from here.
pub fn read(mut from: impl Read) -> std::io::Result<FileDigests> {
    let mut hasher = FileHasher::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(read) if !read.is_empty() => hasher.update(read),
            _ => return Ok(hasher.finish()),
        }
    }
}

fn add_raw(found: &mut FileDigests, path: &Path) {
    match raw_digest(path) {
        Ok(digest) => {
            let role = DigestRole::Raw;
            found.digests.push(FileDigest { role, digest });
            found.notes.clear();
        }
        Err(error) => found
            .notes
            .push(format!("no digest of its sensor data: {error}")),
    }
}

/// The digest of the sensor's bytes, which a DNG of ours holds without loss.
fn raw_digest(path: &Path) -> anyhow::Result<Digest> {
    Ok(birthmark_capture::dng::read_frame(&std::fs::read(path)?)?.digest())
}
