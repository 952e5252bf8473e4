//! `status`: how the node that runs on this machine is doing, on one screen.

use anyhow::Context as _;
use birthmark_daemon::Program;
use birthmark_protocol::Timestamp;
use birthmark_protocol::api::{MemberStatus, Status, WitnessStatus};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::running::{RunningNode, at_argument};
use super::{command, say};
use crate::clock;
use crate::network;
use crate::settings::Settings;
use crate::witness;

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let status = command(
        "status",
        "Says how the running node is doing: height, records, what waits, since when",
    );
    program.command(
        status.arg(at_argument()),
        |settings, matches, _| async move {
            let node = RunningNode::find(&settings, &matches)?;
            let status = node.status().await.with_context(|| {
                format!(
                    "the node at {} does not answer (`systemctl status birthmark-node` says more)",
                    node.address()
                )
            })?;
            say(&screen(&status, clock::now()))
        },
    )
}

fn screen(status: &Status, now: Timestamp) -> String {
    let newest = match &status.last_block_time {
        Some(moment) => format!(", made {moment}{}", ago(moment, now)),
        None => ", no block yet".to_owned(),
    };
    let lines = [
        ("validator", status.node_id.clone()),
        (
            "running",
            format!("{}, version {}", status.uptime, status.version),
        ),
        ("registry", status.chain_id.clone()),
        ("genesis", status.genesis_hash.clone()),
        ("height", format!("{}{newest}", status.block_height)),
        ("records", status.total_hashes.to_string()),
        ("tree root", status.tree_root.clone()),
        (
            "waiting",
            format!(
                "{} for their authority, {} for a block",
                status.pending_submissions, status.validated_submissions
            ),
        ),
        (
            "validators",
            format!("{} ({})", status.validator_nodes, status.consensus_mode),
        ),
    ];
    let members: Vec<_> = status.members.iter().map(member).collect();
    let members = members.iter().map(|said| ("member", said));
    let witnesses: Vec<_> = status.witnesses.iter().map(witness).collect();
    let witnesses = witnesses.iter().map(|said| ("witness", said));
    let troubles = status.trouble.iter().map(|said| ("TROUBLE", said));
    let warnings = status.warnings.iter().map(|said| ("warning", said));
    let lines = lines.iter().map(|(name, value)| (*name, value));
    let lines = lines
        .chain(members)
        .chain(witnesses)
        .chain(troubles)
        .chain(warnings);
    let lines: Vec<_> = lines
        .map(|(name, value)| format!("{name:<12}{value}"))
        .collect();
    lines.join("\n")
}

/// Another validator of the network, in one line.
fn member(member: &MemberStatus) -> String {
    let (state, votes) = (network::in_words(member), network::votes(member));
    format!("{}: {state}, missed {votes}", member.name)
}

/// A witness outside of the registry, in one line.
fn witness(witness: &WitnessStatus) -> String {
    format!("{}: {}", witness.name, witness::in_words(witness))
}

/// How long ago that was, in the largest unit that fits; nothing if the validator wrote no moment.
fn ago(moment: &str, now: Timestamp) -> String {
    let Ok(moment) = OffsetDateTime::parse(moment, &Rfc3339) else {
        return String::new();
    };
    let seconds = now.since(Timestamp::from_unix(moment.unix_timestamp()));
    let (count, unit) = match seconds {
        ..0 => return format!(", {} s ahead of this machine's clock", -seconds),
        0..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "min"),
        7_200..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!(", {count} {unit} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            node_id: "library.example".to_owned(),
            block_height: 412,
            total_hashes: 10_203,
            pending_submissions: 7,
            last_block_time: Some("2026-11-30T13:00:00Z".to_owned()),
            validator_nodes: 1,
            consensus_mode: "single".into(),
            uptime: "3d 04h 00m 00s".to_owned(),
            chain_id: "library.example/registry".to_owned(),
            genesis_hash: "ab".repeat(32),
            tree_root: "cd".repeat(32),
            validated_submissions: 2,
            version: "0.1.0".into(),
            trouble: None,
            warnings: vec!["the authority maker does not answer".to_owned()],
            members: vec![MemberStatus {
                name: "archive.example".to_owned(),
                is_validator: true,
                is_linked: true,
                heard_seconds_ago: Some(1),
                block_height: Some(409),
                blocks_behind: Some(3),
                votes_missed: 7,
                votes_expected: 100,
            }],
            witnesses: vec![WitnessStatus {
                name: "witness.example".to_owned(),
                records: Some(10_200),
                time: Some("2026-11-30T12:59:00Z".to_owned()),
                trouble: Some("is busy: status 503".to_owned()),
            }],
        }
    }

    fn at(moment: &str) -> Timestamp {
        let moment = OffsetDateTime::parse(moment, &Rfc3339).unwrap();
        Timestamp::from_unix(moment.unix_timestamp())
    }

    #[test]
    fn one_screen_says_what_an_operator_asks_first() {
        let now = at("2026-11-30T13:05:00Z");
        let screen = screen(&status(), now);
        for line in [
            "validator   library.example",
            "running     3d 04h 00m 00s, version 0.1.0",
            "height      412, made 2026-11-30T13:00:00Z, 5 min ago",
            "records     10203",
            "waiting     7 for their authority, 2 for a block",
            "validators  1 (single)",
            "member      archive.example: 3 blocks behind, missed 7 of its last 100 votes",
            "witness     witness.example: cosigned 10200 records at 2026-11-30T12:59:00Z; it is busy: status 503",
            "warning     the authority maker does not answer",
        ] {
            assert!(
                screen.lines().any(|found| found == line),
                "{line}:\n{screen}"
            );
        }
    }

    #[test]
    fn a_block_from_the_future_and_none_at_all_are_said() {
        let now = at("2026-11-30T12:59:00Z");
        let ahead = screen(&status(), now);
        assert!(
            ahead.contains("60 s ahead of this machine's clock"),
            "{ahead}"
        );
        let mut ill = status();
        ill.trouble = Some("the database does not answer".to_owned());
        let shown = screen(&ill, now);
        assert!(shown.contains("\nTROUBLE     the database"), "{shown}");
        let mut young = status();
        (young.block_height, young.last_block_time) = (0, None);
        assert!(screen(&young, now).contains("height      0, no block yet"));
    }
}
