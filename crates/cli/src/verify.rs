//! `birthmark verify`: are these photos, or digests, in the registry, and what does that prove?
//!
//! The photo is not named: what is fetched is ranges and parts of the registry, and what they say
//! is proven, also that there is no record. A validator's word is not enough: each receipt is
//! checked against a genesis that the user named, now or earlier. Exit status: 0 all are registered
//! and nothing about them was withdrawn, 1 at least one is not, 2 wrong usage, 3 it could not be
//! found out or was not proven.

pub mod answer;
pub mod known;
mod print;
pub mod private;
pub mod subjects;

pub use print::{described, headline};

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use birthmark_ledger::{Receipt, Trusted};
use birthmark_protocol::Digest;
use birthmark_verify::answer::{Answer, Choice, choose};
use birthmark_verify::private::Session;
use birthmark_verify::{Card, Fetched, FileDigests, FileKind, Judged, Metadata, Tone, judge};
use clap::Args;
use serde::Serialize;

use crate::terminal::{Style, watched};
use answer::Validator;
use subjects::Subject;

/// `birthmark verify`
#[derive(Args, Debug, Clone)]
pub struct VerifyOptions {
    /// Photos, folders of photos, `-` for standard input, or digests of 64 hexadecimal characters
    #[arg(required = true, value_name = "FILE|FOLDER|DIGEST")]
    pub subjects: Vec<String>,
    /// Whom to ask, and how
    #[command(flatten)]
    pub asking: Asking,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// Whom the commands about photos ask, and how.
#[derive(Args, Debug, Clone)]
pub struct Asking {
    /// The genesis of the registry: each receipt is checked against it. Named once, it is
    /// remembered for this validator
    #[arg(long, value_name = "FILE", env = "BIRTHMARK_GENESIS")]
    pub genesis: Option<PathBuf>,
    /// A later set of validators that is trusted in place of the genesis, as `receipt trust` writes
    /// it. Records from before it are then not proven
    #[arg(long, value_name = "FILE")]
    pub trusted: Option<PathBuf>,
    /// The validator to ask
    #[arg(
        long,
        value_name = "URL",
        env = "BIRTHMARK_NODE",
        default_value_t = crate::demonstration::validator()
    )]
    pub node: String,
    /// Name the digests to the validator: quicker, and it answers about originals and edits, too.
    /// Without this it is asked for ranges and parts of the registry that hold a thousand photos,
    /// and the answer is proven complete
    #[arg(long)]
    pub direct: bool,
}

impl Asking {
    /// What is believed, if anything is known.
    pub fn trusted(&self) -> anyhow::Result<Option<Trusted>> {
        let (genesis, trusted) = (self.genesis.as_deref(), self.trusted.as_deref());
        known::trusted(&self.node, genesis, trusted)
    }
}

/// What was found out about one file or digest.
#[derive(Debug, Serialize)]
pub struct Finding {
    subject: String,
    outcome: Outcome,
    /// Why it could not be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    judged: Option<Judged>,
    /// The file, if there is one that can be read again.
    #[serde(skip)]
    path: Option<PathBuf>,
    /// The receipt that was checked.
    #[serde(skip)]
    receipt: Option<Receipt>,
}

/// What a program makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its receipt holds and nothing about it was withdrawn.
    Registered,
    /// Its receipt holds in a registry that its genesis calls a rehearsal: no photo of anything
    /// that happened.
    Rehearsal,
    /// It, or what it was made from, was withdrawn.
    Withdrawn,
    /// There is no record of it.
    Unknown,
    /// A validator claims a record that is not proven.
    Unproven,
    /// It could not be found out.
    Unclear,
}

/// Runs the command.
pub async fn run(options: &VerifyOptions) -> anyhow::Result<ExitCode> {
    let trusted = options.asking.trusted()?;
    let findings = look_up(&options.asking, trusted.as_ref(), &options.subjects).await?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        let style = Style::of_standard_output();
        findings
            .iter()
            .for_each(|finding| print!("{}", print::finding(finding, style)));
        print!("{}", print::summary(&findings));
    }
    Ok(exit_status(&findings))
}

/// What is known about each subject, checked against what is believed.
pub async fn look_up(
    asking: &Asking,
    trusted: Option<&Trusted>,
    subjects: &[String],
) -> anyhow::Result<Vec<Finding>> {
    let validator = Validator::at(&asking.node)?;
    let subjects = subjects::read(subjects)?;
    let found = async {
        match asking.direct {
            true => find_all(&validator, trusted, subjects).await,
            false => find_privately(&validator, trusted, subjects).await,
        }
    };
    Ok(watched("Asking the validator", found).await)
}

/// Asks without naming any digest. Without a genesis it is checked against the validator's own,
/// which proves nothing.
async fn find_privately(
    validator: &Validator,
    trusted: Option<&Trusted>,
    subjects: Vec<Subject>,
) -> Vec<Finding> {
    let digests = digests_of(&subjects);
    let asked = async {
        let believed = match trusted {
            Some(trusted) => trusted.clone(),
            None => Trusted::genesis(&validator.own_genesis().await?),
        };
        private::ask(validator, &believed, &digests).await
    };
    let asked = asked.await.map_err(|error| format!("{error:#}"));
    let mut findings = Vec::with_capacity(subjects.len());
    for subject in subjects {
        findings.push(match (&asked, subject.digests) {
            (_, Err(reason)) => Finding::unclear(subject.name, reason),
            (Err(reason), Ok(_)) => Finding::unclear(subject.name, reason.clone()),
            (Ok(session), Ok(file)) => {
                let looked_at = Looked {
                    path: subject.path.as_deref(),
                    file: &file,
                };
                let no_genesis = trusted.is_none().then(|| no_genesis(validator));
                let (judged, receipt) = looked_at.privately(session, no_genesis);
                Finding {
                    receipt,
                    path: subject.path,
                    ..Finding::of(subject.name, judged)
                }
            }
        });
    }
    findings
}

/// A file and what is in it.
struct Looked<'a> {
    path: Option<&'a Path>,
    file: &'a FileDigests,
}

impl Looked<'_> {
    /// What a session says of this file; without a genesis, that nothing is proven.
    fn privately(
        &self,
        session: &Session,
        no_genesis: Option<String>,
    ) -> (Judged, Option<Receipt>) {
        let choice = session.choice(self.file);
        if let Some(reason) = no_genesis {
            let card = match choice {
                Some(_) => Card::unproven(self.file, &reason),
                None => Card {
                    checked: Some(format!("Nothing is proven. {reason}")),
                    ..Card::unknown(self.file)
                },
            };
            return (card.into(), None);
        }
        let judged = session.judge(self.file, self.metadata().as_ref());
        let receipt = choice.and_then(|choice| session.receipt(&choice));
        (judged, receipt.cloned())
    }

    fn metadata(&self) -> Option<Metadata> {
        match (self.path, self.file.kind) {
            (Some(path), FileKind::Picture) => {
                std::fs::read(path).ok().map(|file| Metadata::of(&file))
            }
            _ => None,
        }
    }
}

fn digests_of(subjects: &[Subject]) -> Vec<Digest> {
    let readable = subjects
        .iter()
        .filter_map(|subject| subject.digests.as_ref().ok());
    readable
        .flat_map(|digests| digests.digests.iter().map(|found| found.digest))
        .collect()
}

fn no_genesis(validator: &Validator) -> String {
    format!(
        "no genesis is named, so its receipt cannot be checked. Get this registry's genesis from somebody you trust and \
         give it once with --genesis FILE; the validator's own is at {}",
        validator.genesis_address()
    )
}

/// Asks about all digests in as few questions as they fit in, then about each record that is
/// claimed.
async fn find_all(
    validator: &Validator,
    trusted: Option<&Trusted>,
    subjects: Vec<Subject>,
) -> Vec<Finding> {
    let digests = digests_of(&subjects);
    let answers = match validator.verify_all(&digests).await {
        Ok(answers) => Ok(answers),
        Err(error) => Err(format!("{error:#}")),
    };
    let mut findings = Vec::with_capacity(subjects.len());
    for subject in subjects {
        findings.push(match &answers {
            Ok(answers) => find(validator, trusted, subject, answers).await,
            Err(reason) => Finding::unclear(subject.name, reason.clone()),
        });
    }
    findings
}

async fn find(
    validator: &Validator,
    trusted: Option<&Trusted>,
    subject: Subject,
    answers: &[Answer],
) -> Finding {
    let file = match subject.digests {
        Ok(digests) => digests,
        Err(reason) => return Finding::unclear(subject.name, reason),
    };
    let digests: Vec<Digest> = file.digests.iter().map(|found| found.digest).collect();
    let Some(choice) = choose(answers, &digests) else {
        let finding = Finding::of(subject.name, Card::unknown(&file).into());
        return Finding {
            path: subject.path,
            ..finding
        };
    };
    let Some(trusted) = trusted else {
        let reason = no_genesis(validator);
        return Finding::of(subject.name, Card::unproven(&file, &reason).into());
    };
    let receipt = fetched(validator, &choice).await;
    let provenance = validator.provenance(&choice.digest).await.ok();
    let looked_at = Looked {
        path: subject.path.as_deref(),
        file: &file,
    };
    let metadata = looked_at.metadata();
    let fetched = Fetched {
        choice: &choice,
        receipt: receipt.as_ref().map_err(String::as_str),
        provenance: provenance.as_ref(),
        metadata: metadata.as_ref(),
    };
    let finding = Finding::of(subject.name, judge(&file, &fetched, trusted));
    Finding {
        path: subject.path,
        receipt: receipt.ok(),
        ..finding
    }
}

async fn fetched(validator: &Validator, choice: &Choice) -> Result<Receipt, String> {
    let bytes = validator.receipt(&choice.digest, choice.index).await;
    let bytes = bytes.map_err(|error| format!("{error:#}"))?;
    Receipt::parse(&bytes).map_err(|error| error.to_string())
}

impl Finding {
    fn of(subject: String, judged: Judged) -> Self {
        let outcome = match judged.card.tone {
            Tone::Registered | Tone::Picture | Tone::Edit => Outcome::Registered,
            Tone::Rehearsal => Outcome::Rehearsal,
            Tone::Withdrawn => Outcome::Withdrawn,
            Tone::Unknown => Outcome::Unknown,
            Tone::Unproven => Outcome::Unproven,
        };
        Self {
            subject,
            outcome,
            reason: None,
            judged: Some(judged),
            path: None,
            receipt: None,
        }
    }

    /// As it was named.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What a person is told; nothing where it could not be found out.
    pub const fn judged(&self) -> Option<&Judged> {
        self.judged.as_ref()
    }

    /// Why it could not be found out.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The file, if there is one that can be read again.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The receipt by which its record was proven.
    pub fn receipt(&self) -> Option<&Receipt> {
        let is_proven = |judged: &Judged| judged.card.matched.is_some();
        let judged = self.judged.as_ref();
        self.receipt
            .as_ref()
            .filter(|_| judged.is_some_and(is_proven))
    }

    fn unclear(subject: String, reason: String) -> Self {
        Self {
            subject,
            outcome: Outcome::Unclear,
            reason: Some(reason),
            judged: None,
            path: None,
            receipt: None,
        }
    }
}

/// How the command ends: the worst finding decides.
pub fn exit_status(findings: &[Finding]) -> ExitCode {
    let any = |wanted: &[Outcome]| {
        findings
            .iter()
            .any(|finding| wanted.contains(&finding.outcome))
    };
    if any(&[Outcome::Unclear, Outcome::Unproven]) {
        return ExitCode::from(3);
    }
    ExitCode::from(u8::from(any(&[Outcome::Unknown, Outcome::Withdrawn])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(outcome: Outcome) -> Finding {
        Finding {
            outcome,
            ..Finding::unclear("photo.jpg".into(), "no answer".into())
        }
    }

    #[test]
    fn the_worst_finding_decides_the_exit_status() {
        let status = |outcomes: &[Outcome]| {
            let findings: Vec<_> = outcomes.iter().map(|outcome| finding(*outcome)).collect();
            format!("{:?}", exit_status(&findings))
        };
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        let registered = Outcome::Registered;
        assert_eq!(status(&[registered]), code(0));
        assert_eq!(status(&[registered, Outcome::Unknown]), code(1));
        assert_eq!(status(&[Outcome::Withdrawn]), code(1));
        assert_eq!(status(&[Outcome::Unknown, Outcome::Unclear]), code(3));
        assert_eq!(status(&[registered, Outcome::Unproven]), code(3));
    }
}
