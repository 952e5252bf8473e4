//! `birthmark verify`: is this photo, or this digest, in the registry, and what does that prove?
//!
//! Exit status: 0 all are in the registry and nothing about them was withdrawn, 1 at least one is not, 2 wrong usage, 3 it could not be found out.

pub mod answer;

use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;

use birthmark_protocol::Digest;
use birthmark_verify::{FileDigest, FileDigests};
use clap::Args;
use serde::Serialize;

use crate::device::Device;
use crate::digests;
use crate::terminal::{Style, moment};
use answer::{Answer, Validator};

/// `birthmark verify`
#[derive(Args, Debug, Clone)]
pub struct VerifyOptions {
    /// JPEG, PNG or DNG files, or digests of 64 hexadecimal characters
    #[arg(required = true, value_name = "FILE|DIGEST")]
    pub subjects: Vec<String>,
    /// The validator to ask
    #[arg(
        long,
        value_name = "URL",
        env = "BIRTHMARK_NODE",
        default_value_t = crate::demonstration::validator()
    )]
    pub node: String,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// What was found out about one file or digest.
#[derive(Debug, Serialize)]
pub struct Finding {
    subject: String,
    #[serde(flatten)]
    outcome: Outcome,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
enum Outcome {
    /// In the registry.
    Registered {
        matched: FileDigest,
        answer: Box<Answer>,
    },
    /// None of its digests is.
    Unknown { digests: Vec<FileDigest> },
    /// It could not be found out.
    Unclear { reason: String },
}

/// Runs the command.
pub async fn run(options: &VerifyOptions) -> anyhow::Result<ExitCode> {
    let validator = Validator::at(&options.node)?;
    let mut findings = Vec::with_capacity(options.subjects.len());
    for subject in &options.subjects {
        let finding = find(&validator, subject).await;
        if !options.json {
            print!("{}", describe(&finding, Style::of_standard_output()));
        }
        findings.push(finding);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    }
    Ok(exit_status(&findings))
}

async fn find(validator: &Validator, subject: &str) -> Finding {
    let digests = match digests_of(subject) {
        Ok(digests) => digests,
        Err(error) => {
            return Finding::new(
                subject,
                Outcome::Unclear {
                    reason: format!("{error:#}"),
                },
                Vec::new(),
            );
        }
    };
    let outcome = look_up(validator, &digests)
        .await
        .unwrap_or_else(|error| Outcome::Unclear {
            reason: format!("{error:#}"),
        });
    Finding::new(subject, outcome, digests.notes)
}

fn digests_of(subject: &str) -> anyhow::Result<FileDigests> {
    match subject.parse::<Digest>() {
        Ok(digest) if !Path::new(subject).exists() => Ok(FileDigests::of_digest(digest)),
        _ => digests::of(Path::new(subject)),
    }
}

async fn look_up(validator: &Validator, digests: &FileDigests) -> anyhow::Result<Outcome> {
    for matched in &digests.digests {
        let answer = validator.verify(&matched.digest).await?;
        if answer.verified {
            return Ok(Outcome::Registered {
                matched: matched.clone(),
                answer: Box::new(answer),
            });
        }
    }
    Ok(Outcome::Unknown {
        digests: digests.digests.clone(),
    })
}

impl Finding {
    fn new(subject: &str, outcome: Outcome, notes: Vec<String>) -> Self {
        Self {
            subject: subject.to_owned(),
            outcome,
            notes,
        }
    }
}

fn exit_status(findings: &[Finding]) -> ExitCode {
    let any =
        |wanted: fn(&Outcome) -> bool| findings.iter().any(|finding| wanted(&finding.outcome));
    if any(|outcome| matches!(outcome, Outcome::Unclear { .. })) {
        return ExitCode::from(3);
    }
    let bad = |outcome: &Outcome| match outcome {
        Outcome::Registered { answer, .. } => answer.revocation.is_some(),
        Outcome::Unknown { .. } | Outcome::Unclear { .. } => true,
    };
    ExitCode::from(u8::from(any(bad)))
}

fn describe(finding: &Finding, style: Style) -> String {
    let mut lines = vec![style.strong(&finding.subject)];
    match &finding.outcome {
        Outcome::Registered { matched, answer } => {
            lines.extend(describe_record(matched, answer, style))
        }
        Outcome::Unknown { digests } => {
            lines.push(style.bad("  not in the registry"));
            lines.extend(
                digests
                    .iter()
                    .map(|found| format!("    {:<10} {}", found.role.name(), found.digest)),
            );
            lines.push("    This proves nothing against the photo: most photos were never registered, and any re-encoding changes every digest.".into());
        }
        Outcome::Unclear { reason } => lines.push(format!(
            "  {} {reason}",
            style.bad("could not be found out:")
        )),
    }
    lines.extend(
        finding
            .notes
            .iter()
            .map(|note| style.faint(&format!("    note: {note}"))),
    );
    lines.join("\n") + "\n"
}

fn describe_record(matched: &FileDigest, answer: &Answer, style: Style) -> Vec<String> {
    let known = |value: &Option<Cow<'_, str>>| match value {
        Some(value) => value.to_string(),
        None => "not stated".to_owned(),
    };
    let headline = match &answer.revocation {
        None => style.good("  in the registry"),
        Some(_) => style.bad("  in the registry, but what vouched for it has been withdrawn"),
    };
    let digest = style.faint(&format!(
        "({} digest {})",
        matched.role.name(),
        matched.digest
    ));
    let claimed = answer
        .timestamp
        .map_or_else(|| "not stated".into(), |time| moment(time.unix()));
    let block = answer
        .block_height
        .map_or_else(String::new, |height| format!(" in block {height}"));
    let (registered, by) = (known(&answer.block_time), known(&answer.aggregator));
    let device = answer.source().map_or(Device::unstated(), Device::of);
    let mut lines = vec![
        format!("{headline} {digest}"),
        format!(
            "    {:<12} {} ({})",
            device.name,
            known(&answer.device_family),
            known(&answer.authority)
        ),
        format!("    vouched for  {}", device.vouched),
        format!(
            "    its time     {claimed} (the {}'s own clock)",
            device.name
        ),
        format!("    registered   {registered}{block} by {by}"),
    ];
    lines.extend(
        answer
            .revocation
            .iter()
            .map(|reason| format!("    withdrawn    {reason}")),
    );
    if !answer.finding.is_empty() {
        lines.push(format!("    in a word    {}", answer.finding));
    }
    lines.extend(
        answer
            .not_proven
            .iter()
            .map(|doubt| format!("    not proven   {doubt}")),
    );
    if answer.not_proven.is_empty() {
        lines.push(format!("    not proven   {NOT_PROVEN}"));
    }
    lines
}

/// Said even when a validator does not say it.
const NOT_PROVEN: &str = "that the scene was real: a genuine camera can photograph a screen";

#[cfg(test)]
mod tests {
    use birthmark_protocol::DigestRole;
    use serde_json::json;

    use super::*;

    fn finding(outcome: Outcome) -> Finding {
        Finding::new("photo.jpg", outcome, Vec::new())
    }

    fn registered(revocation: Option<String>) -> Outcome {
        let answer = json!({"verified": true, "image_hash": Digest::of(b"file"), "timestamp": 0});
        let answer: Answer = serde_json::from_value(answer).unwrap();
        let matched = FileDigest {
            role: DigestRole::File,
            digest: Digest::of(b"file"),
        };
        Outcome::Registered {
            matched,
            answer: Box::new(Answer {
                revocation: revocation.map(Cow::Owned),
                ..answer
            }),
        }
    }

    #[test]
    fn the_worst_finding_decides_the_exit_status() {
        let unknown = || {
            finding(Outcome::Unknown {
                digests: Vec::new(),
            })
        };
        let unclear = || {
            finding(Outcome::Unclear {
                reason: "no answer".into(),
            })
        };
        let status = |findings: &[Finding]| format!("{:?}", exit_status(findings));
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(status(&[finding(registered(None))]), code(0));
        assert_eq!(status(&[finding(registered(None)), unknown()]), code(1));
        assert_eq!(
            status(&[finding(registered(Some("withdrawn".into())))]),
            code(1)
        );
        assert_eq!(status(&[unknown(), unclear()]), code(3));
    }

    #[test]
    fn a_withdrawn_record_never_reads_as_a_plain_success() {
        let style = Style::of_standard_output();
        let text = describe(&finding(registered(Some("firmware 2.0".into()))), style);
        assert!(
            text.contains("has been withdrawn") && text.contains("firmware 2.0"),
            "{text}"
        );
    }

    #[test]
    fn an_edit_never_reads_as_if_a_camera_had_taken_it() {
        let answer = |source: &str| {
            let image = Digest::of(b"file");
            let text = format!(
                r#"{{"verified": true, "image_hash": "{image}", "timestamp": 0, {source}}}"#
            );
            let Outcome::Registered { matched, .. } = registered(None) else {
                unreachable!("a registered photo is")
            };
            let answer = Box::new(serde_json::from_str(&text).unwrap());
            describe(
                &finding(Outcome::Registered { matched, answer }),
                Style::of_standard_output(),
            )
        };
        let edit =
            answer(r#""source": "software", "assurance": "certificate", "not_proven": ["x"]"#);
        assert!(edit.contains("the software's own clock"), "{edit}");
        assert!(!edit.contains("camera"), "{edit}");
        let photo = answer(r#""source": "camera-attested""#);
        assert!(photo.contains("the camera's own clock"), "{photo}");
        let from_an_older_validator = answer(r#""assurance": "attested""#);
        assert_eq!(from_an_older_validator, photo);
    }

    #[test]
    fn an_unknown_photo_is_not_called_a_fake() {
        let text = describe(
            &finding(Outcome::Unknown {
                digests: Vec::new(),
            }),
            Style::of_standard_output(),
        );
        assert!(text.contains("proves nothing against the photo"), "{text}");
    }
}
