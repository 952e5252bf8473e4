//! The image-data digest.

use birthmark_protocol::image_data::{
    ImageData, ImageDataError, ImageDataHasher, image_data as digest,
};

/// Files as they come: the first byte says where to cut the rest.
pub fn image_data(input: &[u8]) {
    let Some((size, file)) = input.split_first() else {
        return;
    };
    assert_eq!(in_chunks(file, usize::from(*size) + 1), digest(file));
}

/// Sound PNG files: the input chooses chunks, checksums are right.
pub fn png(input: &[u8]) {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, b"IHDR", &[0; 13]);
    let mut rest = input;
    while let Some(([kind, length], content)) = rest.split_first_chunk() {
        let kinds = [
            b"IDAT", b"tEXt", b"tRNS", b"PLTE", b"fdAT", b"acTL", b"eXIf", b"IHDR",
        ];
        let (content, after) = content.split_at((*length).min(content.len() as u8).into());
        chunk(&mut file, kinds[usize::from(kind % 8)], content);
        rest = after;
    }
    chunk(&mut file, b"IEND", b"");
    let whole = digest(&file);
    assert_eq!(
        in_chunks(&file, 1 + usize::from(input.first().copied().unwrap_or(7))),
        whole
    );
    if let Ok(found) = whole {
        assert_eq!(found.trailing, 0);
        let tagged = [&file[..33], &tag(), &file[33..]].concat();
        assert_eq!(
            digest(&tagged),
            Ok(found),
            "metadata behind the header changes nothing"
        );
    }
}

fn in_chunks(file: &[u8], size: usize) -> Result<ImageData, ImageDataError> {
    let mut hasher = ImageDataHasher::new();
    file.chunks(size).for_each(|chunk| hasher.update(chunk));
    hasher.finish()
}

fn tag() -> Vec<u8> {
    let mut out = Vec::new();
    chunk(&mut out, b"tEXt", b"Comment\0anything");
    out
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    file.extend(u32::try_from(content.len()).expect("short").to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend(content);
    let checksum = crc32(&file[start..]);
    file.extend(checksum.to_be_bytes());
}

/// CRC-32 bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                0xEDB8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            }
        })
    })
}
