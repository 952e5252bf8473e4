//! What an answer says in words a newsroom can quote, and what it does not prove.

use birthmark_ledger::{BlockTime, Source};
use birthmark_protocol::{DigestRole, Timestamp};
use time::OffsetDateTime;

/// A moment as RFC 3339, in UTC. Written by hand: every answer holds several.
pub fn moment(seconds: i64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let year = u16::try_from(moment.year())
        .ok()
        .filter(|year| *year <= 9999)?;
    let mut text = String::with_capacity(20);
    put_digits(&mut text, year, 1000);
    let parts = [
        ('-', u8::from(moment.month())),
        ('-', moment.day()),
        ('T', moment.hour()),
        (':', moment.minute()),
        (':', moment.second()),
    ];
    for (separator, part) in parts {
        text.push(separator);
        put_digits(&mut text, u16::from(part), 10);
    }
    text.push('Z');
    Some(text)
}

fn put_digits(text: &mut String, number: u16, mut unit: u16) {
    while unit > 0 {
        let digit = u8::try_from(number / unit % 10).unwrap_or_default();
        text.push(char::from(b'0' + digit));
        unit /= 10;
    }
}

/// A block's time for people.
pub fn block_moment(time: BlockTime) -> Option<String> {
    moment(time.timestamp().unix())
}

/// What every answer begins with that is no evidence. It is part of the sentence, so that nobody quotes it without.
pub const REHEARSAL: &str = "A rehearsal, and no evidence: ";

/// Holds for every camera, however its key is kept.
const SOFTWARE_CONTROL: &str = "It is not proven that the data came from the sensor: whoever controls the camera's software can \
    have anything signed.";

/// What the registry vouches for, in one sentence.
pub fn finding(
    source: Source,
    authority: &str,
    family: &str,
    taken: Timestamp,
    registered: BlockTime,
    rehearsal: bool,
) -> String {
    let by = match source {
        Source::CameraToken => format!(
            "by {}, whose genuineness its authority {authority} confirmed",
            camera(family)
        ),
        Source::CameraCertificate => {
            format!(
                "by {}, with a signature checked under a certificate of its authority {authority}",
                camera(family)
            )
        }
        Source::CameraAttested => format!(
            "by {}, with a signature of a key that, according to its authority {authority}, cannot leave the camera's security chip",
            camera(family)
        ),
        Source::Software => format!(
            "by editing software ({family}) certified by {authority}, as made from another registered image"
        ),
        Source::Server => format!("by the submission server {authority} on its own word"),
    };
    let registered = block_moment(registered).unwrap_or_else(|| "an unknown time".into());
    let claimed = moment(taken.unix())
        .map(|time| format!("; the device's own clock said {time}"))
        .unwrap_or_default();
    let rehearsal = if rehearsal { REHEARSAL } else { "" };
    format!(
        "{rehearsal}This exact data was registered {by}. It existed before {registered} (UTC){claimed}."
    )
}

fn camera(family: &str) -> String {
    if family.is_empty() {
        "a camera".into()
    } else {
        format!("a camera of the family {family:?}")
    }
}

/// How strongly it is vouched for, in a few words.
pub const fn assurance(source: Source) -> &'static str {
    match source {
        Source::CameraToken => "token: the authority knows the camera",
        Source::CameraCertificate => "certificate: the camera's signature was checked",
        Source::CameraAttested => "attested: a security chip holds the camera's key",
        Source::Software => "certificate: of the editing software; no camera was asked about",
        Source::Server => "none: a submission server's word",
    }
}

/// What this answer does not prove.
pub fn limits(source: Source) -> Vec<&'static str> {
    let mut limits = vec![
        "It is not proven that the scene is what it seems: a camera can photograph a screen, a print or a staged scene.",
        "It is not proven who took the photo.",
        "The capture time is the device's own claim; proven is only that the data existed before the block's time.",
    ];
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
        Source::Software => limits.push(
            "It is not proven what was changed; the software states the kind of change itself.",
        ),
        Source::Server => {
            limits.push("No camera was checked: the submission server alone answers for it.")
        }
    }
    limits
}

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
        DigestRole::ImageData => "the file without its metadata",
    }
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::*;

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
    }
}
