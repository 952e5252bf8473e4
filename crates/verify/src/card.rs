//! What is shown about one file: the same headline and sentences on the page, in the command and in
//! its JSON.

use birthmark_ledger::Source;
use birthmark_protocol::{Digest, DigestRole, ModificationLevel};
use serde::Serialize;

use crate::answer::Notices;
use crate::metadata::Metadata;
use crate::private::{LookupError, Standing};
use crate::proof::Proof;
use crate::sentences::{self, when};
use crate::sighted::Sighted;
use crate::subject::{FileDigest, FileDigests, FileKind};

/// What is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Card {
    /// Which colour it has, and what a program makes of it.
    pub tone: Tone,
    /// The first thing to read.
    pub headline: String,
    /// What was withdrawn and what else speaks against it. Read before anything that speaks for it.
    pub warnings: Vec<String>,
    /// The sentence to quote.
    pub sentence: String,
    /// The earliest and latest moment, and the device's claim.
    pub times: Option<Times>,
    /// Details, each with its name.
    pub facts: Vec<Fact>,
    /// What this file says about itself that the record does not cover.
    pub not_covered: Vec<String>,
    /// What is not proven. To be quoted with the sentence.
    pub not_proven: Vec<&'static str>,
    /// What is worth knowing about the file.
    pub notes: Vec<String>,
    /// How the record was checked, or that it was not.
    pub checked: Option<String>,
    /// Which digest of the file was found, and what the record says it was computed over.
    pub matched: Option<FileDigest>,
    /// What the image was made from.
    pub parent: Option<Digest>,
    /// The record's place in the registry.
    pub index: Option<u64>,
    /// All digests that were looked up.
    pub digests: Vec<FileDigest>,
}

/// What a card amounts to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// A camera's photo, byte for byte.
    Registered,
    /// A camera's picture, whose metadata is not covered.
    Picture,
    /// Something was done to it after it left a camera, or no camera was checked.
    Edit,
    /// A rehearsal: no photo of anything that happened.
    Rehearsal,
    /// It, or what it was made from, was withdrawn.
    Withdrawn,
    /// A validator says that there is a record, and nothing proves it.
    Unproven,
    /// There is no record.
    Unknown,
}

/// When the image came to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Times {
    /// Proven: not before.
    pub after: Option<String>,
    /// Proven: existed before.
    pub before: String,
    /// Claimed by the device.
    pub claimed: String,
}

/// One detail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fact {
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub value: String,
}

impl Tone {
    /// Its name in JSON and in style sheets.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Picture => "picture",
            Self::Edit => "edit",
            Self::Rehearsal => "rehearsal",
            Self::Withdrawn => "withdrawn",
            Self::Unproven => "unproven",
            Self::Unknown => "unknown",
        }
    }
}

impl Card {
    /// A record whose receipt holds.
    pub fn proven(
        file: &FileDigests,
        proof: &Proof,
        notices: &Notices,
        metadata: Option<&Metadata>,
    ) -> Self {
        let Some(sighted) = proof.sighted() else {
            // Impossible: a proof is made for a digest that stands in its record.
            return Self::unproven(file, "the record does not hold this digest");
        };
        let mut card = Self::told(file, &sighted, notices, metadata);
        card.checked = Some(proof.sentence());
        card.index = Some(proof.verified.index);
        let submitter = proof.verified.submitter_name.as_ref();
        card.fact("Taken in by", submitter.map(ToString::to_string));
        card
    }

    /// A record as a validator itself shows it, on its own page: `checked` stays empty.
    pub fn told(
        file: &FileDigests,
        sighted: &Sighted<'_>,
        notices: &Notices,
        metadata: Option<&Metadata>,
    ) -> Self {
        let mut card = Self::empty(file, tone(sighted, notices), headline(sighted, notices));
        card.warnings = warnings(notices);
        card.sentence = sentence(sighted, notices);
        card.times = Some(Times {
            after: sighted.after.map(|after| when(after.timestamp().unix())),
            before: when(sighted.before.timestamp().unix()),
            claimed: when(sighted.claimed.unix()),
        });
        if sighted.role == DigestRole::ImageData {
            card.not_covered = metadata.map_or_else(Vec::new, Metadata::sentences);
        }
        card.not_proven = sentences::limits(sighted.source, sighted.role);
        card.matched = Some(FileDigest {
            role: sighted.role,
            digest: sighted.digest,
        });
        card.parent = sighted.parent.filter(|_| sighted.is_edit());
        card.add_facts(sighted, notices);
        card
    }

    /// A validator says there is a record, and nothing proves it.
    pub fn unproven(file: &FileDigests, reason: &str) -> Self {
        let headline = "A record is claimed, not proven".to_owned();
        let mut card = Self::empty(file, Tone::Unproven, headline);
        card.sentence = format!(
            "A validator says that this data is registered, but that could not be checked: {reason}. Do not call it registered."
        );
        card
    }

    /// There is no record.
    pub fn unknown(file: &FileDigests) -> Self {
        let headline = match file.kind {
            FileKind::Empty => "This file is empty",
            FileKind::NoPicture => "Not a picture, and no record found",
            FileKind::Damaged => "No record found: the file is damaged",
            FileKind::Picture | FileKind::OtherPicture | FileKind::Unseen => "No record found",
        };
        let mut card = Self::empty(file, Tone::Unknown, headline.to_owned());
        card.sentence = match file.kind {
            FileKind::Empty => "There is nothing in this file that could be registered.".to_owned(),
            FileKind::NoPicture => {
                "No record of exactly this data exists in this registry, and it is no picture in a format known here. \
                 If it should be one, get the original file."
                    .to_owned()
            }
            FileKind::Damaged => {
                "No record of exactly this data exists in this registry. The file is damaged, so its picture could not be \
                 looked up: get an intact copy."
                    .to_owned()
            }
            FileKind::Picture | FileKind::OtherPicture | FileKind::Unseen => {
                sentences::NOT_FOUND.to_owned()
            }
        };
        card
    }

    /// It is proven that there is no record, as of some block.
    pub fn absent(file: &FileDigests, standing: &Standing) -> Self {
        let mut card = Self::unknown(file);
        let as_of = format!("as of block {}", standing.newest().height);
        card.headline = match file.kind {
            FileKind::Empty => return card,
            FileKind::NoPicture => format!("Not a picture, and not in this registry {as_of}"),
            FileKind::Damaged => format!("Not in this registry {as_of}: the file is damaged"),
            FileKind::Picture | FileKind::OtherPicture | FileKind::Unseen => {
                format!("Not in this registry {as_of}")
            }
        };
        let time = when(standing.newest().time.timestamp().unix());
        card.sentence = format!("Proven {as_of}, {time}: {}", uncapitalised(&card.sentence));
        card.checked = Some(standing.absence());
        card
    }

    /// What was answered contradicts itself or what the validators signed, or nothing was answered.
    pub fn refused(file: &FileDigests, error: &LookupError) -> Self {
        let (headline, sentence) = match error.is_contradiction() {
            true => (
                "The answer was refused: it does not hold",
                format!(
                    "What was answered about this photo contradicts itself or the blocks that the validators signed: {error}. \
                     Nothing follows from it about the photo. Ask another validator, and tell both."
                ),
            ),
            false => (
                "It could not be found out",
                format!("Nothing is known about this photo, because of who was asked: {error}."),
            ),
        };
        let mut card = Self::empty(file, Tone::Unproven, headline.to_owned());
        card.sentence = sentence;
        card
    }

    /// Whether a program may take it for registered with nothing against it.
    pub const fn holds(&self) -> bool {
        matches!(
            self.tone,
            Tone::Registered | Tone::Picture | Tone::Edit | Tone::Rehearsal
        )
    }

    fn empty(file: &FileDigests, tone: Tone, headline: String) -> Self {
        Self {
            tone,
            headline,
            warnings: Vec::new(),
            sentence: String::new(),
            times: None,
            facts: Vec::new(),
            not_covered: Vec::new(),
            not_proven: Vec::new(),
            notes: file.notes.clone(),
            checked: None,
            matched: None,
            parent: None,
            index: None,
            digests: file.digests.clone(),
        }
    }

    fn add_facts(&mut self, sighted: &Sighted<'_>, notices: &Notices) {
        let device = if sighted.source == Source::Software {
            "Software"
        } else {
            "Camera"
        };
        let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.fact(device, named(sighted.family));
        self.fact("Vouched for by", named(sighted.authority));
        self.fact(
            "Assurance",
            Some(sentences::assurance(sighted.source).to_owned()),
        );
        let pixels = sighted.pixels.map(sentences::pixels);
        self.fact("Pixels from", pixels.map(str::to_owned));
        self.fact(
            "Software",
            sighted.software.map(|software| software.to_hex()),
        );
        let made_up = sighted.has_made_up_fingerprint;
        let made_up = made_up.then(|| "made up by the authority".to_owned());
        self.fact("Sensor's fingerprint", made_up);
        self.fact("Matched", Some(sentences::role(sighted.role).to_owned()));
        self.fact("Made from", self.parent.map(|parent| parent.to_hex()));
        self.fact("Block", Some(sighted.height.to_string()));
        let others = (notices.other_records > 0).then(|| notices.other_records.to_string());
        self.fact("Other records of this data", others);
        self.fact("SHA-256", Some(sighted.digest.to_hex()));
    }

    fn fact(&mut self, name: &'static str, value: Option<String>) {
        self.facts.extend(value.map(|value| Fact { name, value }));
    }
}

/// A sentence as it stands behind a colon.
fn uncapitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(letters.clone()).collect()
}

fn tone(sighted: &Sighted<'_>, notices: &Notices) -> Tone {
    if notices.own.is_some() || notices.parent.is_some() {
        Tone::Withdrawn
    } else if sighted.is_rehearsal() {
        Tone::Rehearsal
    } else if sighted.is_edit() {
        Tone::Edit
    } else if matches!(sighted.role, DigestRole::ImageData | DigestRole::Raw) {
        Tone::Picture
    } else {
        Tone::Registered
    }
}

fn headline(sighted: &Sighted<'_>, notices: &Notices) -> String {
    let is_changed = sighted.level == ModificationLevel::MODIFIED;
    let what = match (sighted.source, is_changed) {
        (Source::Software, true) => "Registered as an edit: content changed",
        (Source::Software, false) => "Registered as an edit: processed",
        (Source::Server, true) => "Registered by a submission server: content changed",
        (Source::Server, false) => "Registered by a submission server",
        (_, true) => "Registered: content changed",
        (_, false) => "Registered",
    };
    let part = match sighted.role {
        DigestRole::ImageData => "; metadata not covered",
        DigestRole::Raw => "; only the sensor data",
        DigestRole::File | DigestRole::Unstated => "",
    };
    let against = match (&notices.own, &notices.parent) {
        (Some(_), _) => "Withdrawn: ",
        (None, Some(_)) => "Made from a withdrawn photo: ",
        (None, None) => "",
    };
    let rehearsal = if sighted.is_rehearsal() {
        "Rehearsal record: "
    } else {
        ""
    };
    let whole = format!("{what}{part}");
    let before = format!("{rehearsal}{}", against.to_lowercase());
    let mut headline = match (rehearsal, against) {
        ("", "") => return whole,
        ("", against) => against.to_owned(),
        _ => before,
    };
    headline.push_str(&whole.replacen("Registered", "registered", 1));
    headline
}

/// The sentence to quote. Quoted alone, a picture that was made from a withdrawn photo would read
/// as if nothing stood against it.
fn sentence(sighted: &Sighted<'_>, notices: &Notices) -> String {
    let finding = sentences::finding(sighted, notices.own.as_deref());
    match (&notices.own, &notices.parent) {
        (None, Some(notice)) => {
            let notice = notice.trim_end_matches('.');
            format!("What it was made from was withdrawn: {notice}. {finding}")
        }
        (Some(_), _) | (None, None) => finding,
    }
}

fn warnings(notices: &Notices) -> Vec<String> {
    let own = notices
        .own
        .iter()
        .map(|notice| format!("Withdrawn: {notice}"));
    let parent = notices
        .parent
        .iter()
        .map(|notice| format!("What it was made from was withdrawn: {notice}"));
    let others = notices
        .others
        .iter()
        .map(|notice| format!("Another record of the same data was withdrawn: {notice}"));
    own.chain(parent).chain(others).collect()
}

#[cfg(test)]
mod tests;
