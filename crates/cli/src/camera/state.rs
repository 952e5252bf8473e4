//! `birthmark status` and `birthmark info`.

use std::process::ExitCode;

use anyhow::Context as _;
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::Status;
use birthmark_daemon::varlink::within;
use birthmark_signer::{KeyStoreKind, StatusReply};

use super::{DEADLINE, Sockets, print_json};
use crate::terminal::{Style, moment};

/// Says how the camera is. Exit status 1 if something needs attention.
pub async fn status(json: bool, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let status = ask(sockets).await?;
    let troubles = troubles(&status);
    if json {
        print_json(&status)?;
    } else {
        print!(
            "{}",
            describe(&status, &troubles, Style::of_standard_output())
        );
    }
    Ok(ExitCode::from(u8::from(!troubles.is_empty())))
}

/// Asks the capture daemon.
pub async fn ask(sockets: &Sockets) -> anyhow::Result<Status> {
    let mut camera = sockets.capture().await?;
    within(DEADLINE, camera.status())
        .await?
        .context("the camera does not say how it is")
}

/// Says which camera this is. Exit status 1 if it cannot sign.
pub async fn info(json: bool, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let reply = sockets.signer().await?.status().await?;
    if json {
        print_json(&reply)?;
    } else {
        print!("{}", describe_camera(&reply, Style::of_standard_output()));
    }
    Ok(ExitCode::from(u8::from(
        !reply.provisioned || reply.problem.is_some(),
    )))
}

/// What needs a person.
pub fn troubles(status: &Status) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |wrong: bool, sentence: String| {
        if wrong {
            found.push(sentence);
        }
    };
    add(
        status.camera_problem.is_some(),
        format!(
            "the camera: {}",
            status.camera_problem.clone().unwrap_or_default()
        ),
    );
    add(
        status.disk_full,
        format!(
            "only {} MiB are free: no photo can be taken; copy photos away",
            status.free_mib
        ),
    );
    add(
        status.queue_full,
        format!(
            "{} proofs wait: connect the camera to a network",
            status.waiting
        ),
    );
    add(
        status.refused > 0,
        format!(
            "{} proofs were refused: see `birthmark queue list`",
            status.refused
        ),
    );
    if let Some(reason) = &status.unsigned {
        add(true, format!("photos wait for their signature: {reason}"));
    }
    add(
        status.certificate_ends_soon,
        certificate_troubled(status.certificate_until),
    );
    add(
        status.clock == "unset",
        "the clock is not set: photos get a weak time; connect a network or GPS".into(),
    );
    add(
        status.trouble.is_some(),
        format!(
            "proofs are waiting: {}",
            status.trouble.clone().unwrap_or_default()
        ),
    );
    found
}

fn describe(status: &Status, troubles: &[String], style: Style) -> String {
    let mut lines = vec![match troubles.is_empty() {
        true => style.good("the camera is well"),
        false => style.bad("the camera needs attention"),
    }];
    lines.extend(
        troubles
            .iter()
            .map(|trouble| format!("  {} {trouble}", style.bad("!"))),
    );
    lines.push(format!(
        "  frames from  {}",
        status.source.as_deref().unwrap_or("no camera")
    ));
    lines.push(format!(
        "  photos       {} since the start, {} MiB free{}",
        status.photos,
        status.free_mib,
        match status.removed {
            0 => String::new(),
            count => format!(", {count} with receipts removed to make room"),
        }
    ));
    lines.push(format!(
        "  proofs       {} waiting, {} arrived since the start, {} refused",
        status.waiting, status.stored, status.refused
    ));
    lines.push(format!(
        "  last arrived {}",
        status
            .last_stored
            .map_or_else(|| "none since the start".into(), moment)
    ));
    lines.push(format!("  validator    {}", status.node));
    lines.push(format!("  registry     {}", registry(status)));
    lines.push(format!(
        "  certificate  {}",
        status.certificate_until.map_or_else(
            || "its end is not known: the signer has not said it".into(),
            |until| format!("until {}", moment(until))
        )
    ));
    lines.push(format!("  newest block {}", anchor(status)));
    lines.push(format!("  clock        {}", of_clock(&status.clock)));
    lines.push(format!("  place        {}", of_place(&status.place)));
    lines.join("\n") + "\n"
}

/// The daemon's word for its clock, as a person reads it. A newer daemon may have others.
fn of_clock(word: &str) -> &str {
    match word {
        "synchronised" => "set, and confirmed by the network",
        "satellites" => "set by the satellites",
        "free" => "runs; nobody has confirmed it since the start",
        "unset" => "was never set",
        other => other,
    }
}

/// What becomes of the place, likewise.
fn of_place(word: &str) -> &str {
    match word {
        "ignored" => "is not recorded",
        "committed" => "is committed to, and told to nobody",
        "in-picture" => "is committed to, and stands in the picture",
        other => other,
    }
}

/// Whose receipts are believed, and on whose word.
fn registry(status: &Status) -> String {
    let Some(known) = &status.registry else {
        return "that of the first receipt; none has come yet".into();
    };
    let word = match known.configured {
        true => "as configured",
        false => "as the validator said with its first receipt",
    };
    format!("{} ({}), {word}", known.name, known.genesis_hash)
}

fn certificate_troubled(until: Option<i64>) -> String {
    let end = until.map_or_else(|| "soon".into(), moment);
    format!(
        "the certificate is good until {end} and was not renewed: connect the camera to a network, or see `birthmark renew`"
    )
}

/// How young the camera can prove its photos to be, and why not younger.
fn anchor(status: &Status) -> String {
    let known = match &status.anchor {
        Some(anchor) => format!(
            "{} of {}, checked {}",
            anchor.height,
            moment(anchor.block_time),
            moment(anchor.checked_at)
        ),
        None => "none: photos do not prove after which block they were taken".into(),
    };
    match &status.anchor_trouble {
        Some(trouble) => format!("{known} (no newer one: {trouble})"),
        None => known,
    }
}

fn describe_camera(reply: &StatusReply, style: Style) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let key = match reply.key_store {
        KeyStoreKind::Tpm => "in the TPM".into(),
        KeyStoreKind::Software => style.bad("in a file: for development only, proves nothing"),
    };
    let mut lines = vec![match (&reply.problem, reply.provisioned) {
        (_, false) => style.bad("not provisioned: run `birthmark provision`"),
        (Some(problem), true) => style.bad(problem),
        (None, true) => style.good("provisioned: this camera can prove its photos"),
    }];
    let beside = reply.problem.iter().filter(|_| !reply.provisioned);
    lines.extend(beside.map(|problem| style.faint(&format!("  {problem}"))));
    lines.push(format!("  serial       {}", known(&reply.device_serial)));
    lines.push(format!("  family       {}", known(&reply.device_family)));
    lines.push(format!("  key          {key}"));
    if let Some(chip) = &reply.chip {
        lines.push(format!(
            "  chip         {} {}, firmware {}",
            chip.manufacturer, chip.model, chip.firmware
        ));
    }
    let tables = reply
        .table_ids
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    lines.push(format!("  tables       {}", tables.join(", ")));
    lines.push(format!(
        "  certificate  until {}",
        reply
            .certificate_not_after
            .map_or_else(|| "-".into(), moment)
    ));
    lines.push(format!(
        "  signatures   {} in this run, last {}",
        reply.signatures,
        reply.last_signature.map_or_else(|| "none".into(), moment)
    ));
    lines.push(format!(
        "  self-test    {}",
        if reply.self_test_passed {
            "passed"
        } else {
            "not passed"
        }
    ));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_words_for_clock_and_place_are_sentences() {
        for word in ["synchronised", "satellites", "free", "unset"] {
            assert!(of_clock(word).contains(' '), "{word}");
        }
        for word in ["ignored", "committed", "in-picture"] {
            assert!(of_place(word).contains(' '), "{word}");
        }
        assert_eq!(of_clock("atomic"), "atomic");
    }
}
