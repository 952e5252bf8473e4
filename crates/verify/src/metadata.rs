//! What a file says about itself that its image-data digest does not cover.
//!
//! Anyone can have written it. It is named so that nobody takes it for registered.

use exif::{In, Reader, Tag, Value};
use serde::{Deserialize, Serialize};

/// What was found beside the pixels of a JPEG or PNG.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// How viewers are told to turn or mirror the picture: EXIF's 2 to 8. Nothing if they are not.
    pub orientation: Option<u16>,
    /// When the photo is said to have been taken, as the file writes it.
    pub date: Option<String>,
    /// Whether a place is named.
    pub has_place: bool,
    /// Whether there is text: a caption, an author, a comment.
    pub has_text: bool,
}

impl Metadata {
    /// Looks through a whole file. What cannot be read says nothing.
    pub fn of(file: &[u8]) -> Self {
        let mut found = Self {
            has_text: has_text(file),
            ..Self::default()
        };
        let read = Reader::new()
            .continue_on_error(true)
            .read_from_container(&mut std::io::Cursor::new(file))
            .or_else(|error| error.distill_partial_result(|_| {}));
        if let Ok(exif) = read {
            found.read_exif(&exif);
        }
        found
    }

    fn read_exif(&mut self, exif: &exif::Exif) {
        let number = |tag| exif.get_field(tag, In::PRIMARY)?.value.get_uint(0);
        self.orientation = number(Tag::Orientation)
            .and_then(|value| u16::try_from(value).ok())
            .filter(|value| (2..=8).contains(value));
        self.date = [Tag::DateTimeOriginal, Tag::DateTimeDigitized, Tag::DateTime]
            .into_iter()
            .find_map(|tag| text(&exif.get_field(tag, In::PRIMARY)?.value));
        self.has_place = exif
            .fields()
            .any(|field| matches!(field.tag, Tag::GPSLatitude | Tag::GPSLongitude));
        self.has_text |= [
            Tag::ImageDescription,
            Tag::Artist,
            Tag::Copyright,
            Tag::UserComment,
        ]
        .into_iter()
        .any(|tag| exif.get_field(tag, In::PRIMARY).is_some());
    }

    /// The same in sentences, for whoever sees the picture.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(turn) = self.orientation.and_then(turn) {
            sentences.push(format!(
                "This file tells viewers to show the picture {turn}; the registered picture is not."
            ));
        }
        if let Some(date) = &self.date {
            sentences.push(format!(
                "This file states the date {date}; anyone can have written it."
            ));
        }
        if self.has_place {
            sentences.push("This file states a place; anyone can have written it.".into());
        }
        if self.has_text {
            sentences.push(
                "This file has a caption, an author or other text; anyone can have written it."
                    .into(),
            );
        }
        sentences
    }
}

/// EXIF's eight ways of showing a picture, but for the first.
const fn turn(orientation: u16) -> Option<&'static str> {
    match orientation {
        2 => Some("mirrored"),
        3 => Some("upside down"),
        4 => Some("mirrored and upside down"),
        5 => Some("mirrored and turned to the left"),
        6 => Some("turned to the right"),
        7 => Some("mirrored and turned to the right"),
        8 => Some("turned to the left"),
        _ => None,
    }
}

/// A short text of letters that are safe to show.
fn text(value: &Value) -> Option<String> {
    let Value::Ascii(texts) = value else {
        return None;
    };
    let text: String = texts
        .first()?
        .iter()
        .filter(|byte| byte.is_ascii_graphic() || **byte == b' ')
        .take(40)
        .map(|byte| char::from(*byte))
        .collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Blocks of text that stand beside EXIF: XMP, IPTC, comments.
fn has_text(file: &[u8]) -> bool {
    let names: [&[u8]; 5] = [
        b"http://ns.adobe.com/xap/1.0/\0",
        b"Photoshop 3.0\0",
        b"tEXt",
        b"iTXt",
        b"zTXt",
    ];
    // Only what stands before the pixels: inside them any bytes can occur.
    let pixels = [&b"\xFF\xDA"[..], b"IDAT"]
        .iter()
        .filter_map(|mark| position(file, mark))
        .min();
    let (before, _) = file.split_at(pixels.unwrap_or(file.len()));
    names.iter().any(|name| position(before, name).is_some())
}

fn position(file: &[u8], wanted: &[u8]) -> Option<usize> {
    file.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::picture;

    /// An EXIF segment with an orientation and a date, put in front of a JPEG.
    fn labelled(orientation: u8, date: &[u8; 20]) -> Vec<u8> {
        let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02".to_vec();
        exif.extend(b"\x01\x12\0\x03\0\0\0\x01");
        exif.extend([0, orientation, 0, 0]);
        exif.extend(b"\x01\x32\0\x02\0\0\0\x14\0\0\0\x26\0\0\0\0");
        exif.extend(date);
        let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
        let plain = picture("plain.jpg");
        [&plain[..2], b"\xFF\xE1", &length, &exif, &plain[2..]].concat()
    }

    #[test]
    fn orientation_and_date_are_named() {
        let found = Metadata::of(&labelled(2, b"2003:04:09 12:00:00\0"));
        assert_eq!(
            (found.orientation, found.date.as_deref(), found.has_place),
            (Some(2), Some("2003:04:09 12:00:00"), false)
        );
        let said = found.sentences().join("\n");
        assert!(
            said.contains("mirrored") && said.contains("2003:04:09"),
            "{said}"
        );
    }

    #[test]
    fn upright_and_impossible_orientations_turn_nothing() {
        for orientation in [0, 1, 9, 255] {
            let found = Metadata::of(&labelled(orientation, b"                   \0"));
            assert_eq!((found.orientation, found.date), (None, None));
        }
    }

    #[test]
    fn places_and_captions_are_noticed() {
        let found = Metadata::of(&picture("tagged-plain.jpg"));
        assert!(found.has_place && found.has_text, "{found:?}");
        assert_eq!(found.sentences().len(), 2);
        for name in ["plain.jpg", "stripped-plain.jpg", "plain.png"] {
            assert_eq!(Metadata::of(&picture(name)), Metadata::default(), "{name}");
        }
        assert!(Metadata::of(&picture("tagged-plain.png")).has_text);
    }

    #[test]
    fn no_bytes_break_it() {
        for cut in 0..200 {
            let file = labelled(6, b"2003:04:09 12:00:00\0");
            Metadata::of(&file[..file.len().min(cut)]);
        }
        assert_eq!(Metadata::of(b""), Metadata::default());
    }
}
