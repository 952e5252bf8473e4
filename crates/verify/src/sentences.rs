//! What an answer says in words a newsroom can quote, and what it does not prove.

use birthmark_ledger::{BlockTime, Source};
use birthmark_protocol::{DigestRole, ModificationLevel, PixelSource};
use time::OffsetDateTime;

use crate::sighted::Sighted;

/// A moment as RFC 3339, in UTC. Written by hand: every answer of a validator holds several.
pub fn moment(seconds: i64) -> Option<String> {
    written(seconds, 'T', "Z")
}

/// A moment as people read it, everywhere the same; seconds since 1970 where the calendar ends.
pub fn when(seconds: i64) -> String {
    written(seconds, ' ', " UTC").unwrap_or_else(|| format!("{seconds} s since 1970"))
}

fn written(seconds: i64, between: char, end: &str) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let year = u16::try_from(moment.year())
        .ok()
        .filter(|year| *year <= 9999)?;
    let mut text = String::with_capacity(23);
    put_digits(&mut text, year, 1000);
    let parts = [
        ('-', u8::from(moment.month())),
        ('-', moment.day()),
        (between, moment.hour()),
        (':', moment.minute()),
        (':', moment.second()),
    ];
    for (separator, part) in parts {
        text.push(separator);
        put_digits(&mut text, u16::from(part), 10);
    }
    text.push_str(end);
    Some(text)
}

fn put_digits(text: &mut String, number: u16, mut unit: u16) {
    while unit > 0 {
        text.extend(char::from_digit(u32::from(number / unit % 10), 10));
        unit /= 10;
    }
}

/// A block's time as RFC 3339.
pub fn block_moment(time: BlockTime) -> Option<String> {
    moment(time.timestamp().unix())
}

/// The one sentence to quote: true by itself, with whatever was withdrawn in front.
pub fn finding(sighted: &Sighted<'_>, notice: Option<&str>) -> String {
    let withdrawn = notice.map_or_else(String::new, |notice| {
        format!("Withdrawn: {}. Before that: ", notice.trim_end_matches('.'))
    });
    let rehearsal = if sighted.is_rehearsal() {
        "A rehearsal, and no evidence: "
    } else {
        ""
    };
    let (what, by) = (subject(sighted.role), by_whom(sighted));
    let after = sighted.after.map_or_else(String::new, |after| {
        format!("It was taken after {}. ", when(after.timestamp().unix()))
    });
    let before = when(sighted.before.timestamp().unix());
    let claimed = when(sighted.claimed.unix());
    format!(
        "{rehearsal}{withdrawn}{what} was registered {by}. {after}It existed before {before}; the device's own clock said {claimed}."
    )
}

fn by_whom(sighted: &Sighted<'_>) -> String {
    let (authority, family) = (sighted.authority, sighted.family);
    match sighted.source {
        Source::CameraToken => format!(
            "by {}, whose genuineness its authority {authority} confirmed{}",
            camera(family),
            changed(sighted, ", with its content changed"),
        ),
        Source::CameraCertificate => format!(
            "by {}, with a signature checked under a certificate of its authority {authority}{}",
            camera(family),
            changed(sighted, ", with its content changed"),
        ),
        Source::CameraAttested => format!(
            "by {}, with a signature of a key that, according to its authority {authority}, cannot leave the camera's security chip{}",
            camera(family),
            changed(sighted, ", with its content changed"),
        ),
        Source::CameraOneTime => format!(
            "by {}, with a one-time key{} that its authority {authority} gave without seeing it to a camera whose keys, as it says, cannot leave their security chip{}",
            camera(family),
            sighted
                .epoch
                .map_or_else(String::new, |epoch| format!(" of epoch {epoch}")),
            changed(sighted, ", with its content changed"),
        ),
        Source::Software => format!(
            "as an edit: editing software ({family}) certified by {authority} made it from another registered image{} and says that {}",
            parent(sighted),
            kind_of_change(sighted.level),
        ),
        Source::Server => format!(
            "by the submission server {authority} on its own word, without any camera being checked{}",
            changed(sighted, ", with its content changed"),
        ),
    }
}

fn changed(sighted: &Sighted<'_>, words: &'static str) -> &'static str {
    if sighted.level == ModificationLevel::MODIFIED {
        words
    } else {
        ""
    }
}

fn parent(sighted: &Sighted<'_>) -> String {
    sighted.parent.map_or_else(String::new, |parent| {
        let mut digest = parent.to_hex();
        digest.truncate(12);
        format!(" (SHA-256 {digest}…)")
    })
}

fn kind_of_change(level: ModificationLevel) -> &'static str {
    if level == ModificationLevel::MODIFIED {
        "its content was changed"
    } else {
        "it was processed (as by cropping, exposure or colour), not changed in content"
    }
}

/// What exactly is registered, as the beginning of a sentence.
const fn subject(role: DigestRole) -> &'static str {
    match role {
        DigestRole::Unstated | DigestRole::File => "This exact data",
        DigestRole::Raw => "This exact sensor data",
        DigestRole::ImageData => {
            "This picture, without its metadata (date, place, caption and orientation are not covered),"
        }
    }
}

fn camera(family: &str) -> String {
    if family.is_empty() {
        "a camera".into()
    } else {
        format!("a camera of the family {family:?}")
    }
}

/// Where the pixels came from, in a few words.
pub const fn pixels(source: PixelSource) -> &'static str {
    match source {
        PixelSource::Sensor => "an image sensor, says the camera",
        PixelSource::File => "a file: a rehearsal, not a photo",
        PixelSource::Simulated => "a simulation: a rehearsal, not a photo",
    }
}

/// How strongly it is vouched for, in a few words.
pub const fn assurance(source: Source) -> &'static str {
    match source {
        Source::CameraToken => "token: the authority knows the camera",
        Source::CameraCertificate => "certificate: the camera's signature was checked",
        Source::CameraAttested => "attested: a security chip holds the camera's key",
        Source::CameraOneTime => {
            "attested: a security chip holds the camera's keys, and no photo is tied to another"
        }
        Source::Software => "certificate: of the editing software; no camera was asked about",
        Source::Server => "none: a submission server's word",
    }
}

/// Holds for every camera, however its key is kept.
const SOFTWARE_CONTROL: &str = "It is not proven that the data came from the sensor: whoever controls the camera's software can \
    have anything signed.";

/// What a record of this source does not prove about a digest of this role.
pub fn limits(source: Source, role: DigestRole) -> Vec<&'static str> {
    let mut limits = vec![
        "It is not proven that the scene is what it seems: a camera can photograph a screen, a print or a staged scene.",
        "It is not proven who took the photo.",
        "The capture time is the device's own claim; proven is only that the data existed before the block's time.",
    ];
    if role == DigestRole::ImageData {
        limits.insert(0, NOT_COVERED);
    }
    if source.is_camera() {
        limits.push(SOFTWARE_CONTROL);
    }
    match source {
        Source::CameraToken => limits.push(
            "The camera's signature could not be checked; only its authority knows the camera.",
        ),
        Source::CameraCertificate => {
            limits.push("It is not proven that the camera's key never left the camera.")
        }
        Source::CameraAttested => {}
        Source::CameraOneTime => limits.push(
            "It is not proven that the authority checked every key: it opens half of them, so one that is in no chip passes \
             with a probability of one half, and ends its camera's enrolment otherwise.",
        ),
        Source::Software => limits.push(
            "It is not proven what was changed; the software states the kind of change itself.",
        ),
        Source::Server => {
            limits.push("No camera was checked: the submission server alone answers for it.")
        }
    }
    limits
}

/// What no match of image data covers.
pub const NOT_COVERED: &str = "Date, place, caption and orientation of a file with this picture are not covered: anyone can write or change them.";

/// What stays open where nobody asks the maker.
pub const NO_LIST: &str = "Whether its maker has withdrawn the camera is not known: this validator reads no list of that.";
/// What stays open before the first list.
pub const NEVER_HAD: &str =
    "Whether its maker has withdrawn the camera is not known: its list of that was never had.";
/// Where an authority signs no verdicts.
pub const UNSIGNED: &str = "That its maker's authority was asked is this validator's word alone: the authority signs nothing.";
/// What stays open after the last one.
pub const PAST_DATE: &str = "Whether its maker has withdrawn the camera lately is not known: its list of that is past its date.";

/// What a family of images does not prove.
pub const FAMILY_LIMITS: [&str; 3] = [
    "It is not proven that one picture shows what another shows: who registered an image also said what it was made from.",
    "It is not proven that the family is complete: an edit that nobody registered is not in it.",
    "The times are the devices' own claims; proven is only that each image existed before its block's time.",
];

/// What not finding a digest means.
pub const NOT_FOUND: &str = "No record of exactly this data exists in this registry. That proves nothing about the photo: \
    most photos are not registered, and cropping, resizing or re-encoding changes the data.";

/// What a digest of this role was computed over.
pub const fn role(role: DigestRole) -> &'static str {
    match role {
        DigestRole::Unstated => "the sender did not say what this digest was computed over",
        DigestRole::Raw => "the sensor's data",
        DigestRole::File => "the file, byte for byte",
        DigestRole::ImageData => "the picture without its metadata",
    }
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::*;
    use crate::sighted::tests::sighted;

    #[test]
    fn moments_are_written_as_the_standard_says() {
        let standard = |seconds: i64| {
            let moment = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
            moment.format(&Rfc3339).ok()
        };
        let steps = (-400_000..400_000).map(|step: i64| step * 1_000_003);
        for seconds in steps.chain([0, -1, i64::MIN, i64::MAX]) {
            assert_eq!(moment(seconds), standard(seconds), "{seconds}");
        }
        assert_eq!(when(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(when(i64::MAX), "9223372036854775807 s since 1970");
    }

    #[test]
    fn the_sentence_to_quote_is_true_by_itself() {
        let photo = sighted(Source::CameraCertificate, 1, DigestRole::File);
        assert_eq!(
            finding(&photo, None),
            "This exact data was registered by a camera of the family \"Example One\", with a signature checked under a \
             certificate of its authority test-maker. It existed before 2026-11-18 10:00:00 UTC; the device's own clock \
             said 2026-11-18 09:59:30 UTC."
        );
        let withdrawn = finding(&photo, Some("the maker withdrew firmware 2.0"));
        assert!(
            withdrawn.starts_with(
                "Withdrawn: the maker withdrew firmware 2.0. Before that: This exact data"
            ),
            "{withdrawn}"
        );
        let edit = finding(&sighted(Source::Software, 2, DigestRole::File), None);
        assert!(
            edit.contains("as an edit")
                && edit.contains("content was changed")
                && edit.contains("SHA-256 aaaaaaaaaaaa…"),
            "{edit}"
        );
        let picture = finding(
            &sighted(Source::CameraToken, 1, DigestRole::ImageData),
            None,
        );
        assert!(
            picture.starts_with("This picture, without its metadata")
                && picture.contains("orientation are not covered"),
            "{picture}"
        );
    }

    #[test]
    fn a_rehearsal_says_so_first_and_an_anchor_gives_both_ends_of_the_time() {
        let photo = sighted(Source::CameraAttested, 1, DigestRole::File);
        let anchored = Sighted {
            after: Some(BlockTime::from_millis(1_794_990_000_000)),
            is_in_rehearsal: true,
            ..photo
        };
        let said = finding(&anchored, Some("firmware 2.0"));
        assert!(said.starts_with("A rehearsal, and no evidence: "), "{said}");
        assert!(
            said.contains("It was taken after 2026-11-18 08:20:00 UTC. It existed before"),
            "{said}"
        );
    }

    #[test]
    fn a_match_of_image_data_names_what_is_not_covered_first() {
        let attested = |role| limits(Source::CameraAttested, role);
        assert_eq!(attested(DigestRole::ImageData)[0], NOT_COVERED);
        assert!(!attested(DigestRole::File).contains(&NOT_COVERED));
    }
}
