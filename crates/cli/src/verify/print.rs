//! A finding for people: headline first, what speaks against it next, then the sentence to quote.

use birthmark_verify::{Card, Judged, Tone};

use super::{Finding, Outcome};
use crate::terminal::Style;

/// No line is longer, so that it stays readable beside other windows.
const WIDTH: usize = 100;

/// What was found out about one subject.
pub fn finding(finding: &Finding, style: Style) -> String {
    let mut lines = vec![style.strong(&finding.subject)];
    match &finding.judged {
        Some(judged) => card(&mut lines, judged, style),
        None => {
            lines.push(style.bad("  It could not be found out"));
            lines.extend(wrapped(
                finding.reason.as_deref().unwrap_or("no reason is known"),
                "    ",
            ));
        }
    }
    lines.join("\n") + "\n"
}

/// How many of many; nothing for one.
pub fn summary(findings: &[Finding]) -> String {
    if findings.len() < 2 {
        return String::new();
    }
    let counted = [
        (Outcome::Registered, "registered"),
        (Outcome::Rehearsal, "rehearsal records"),
        (Outcome::Withdrawn, "withdrawn"),
        (Outcome::Unproven, "claimed, not proven"),
        (Outcome::Unclear, "not found out"),
        (Outcome::Unknown, "without a record"),
    ]
    .map(|(outcome, words)| {
        let count = findings
            .iter()
            .filter(|finding| finding.outcome == outcome)
            .count();
        (count, words)
    });
    let parts: Vec<_> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    format!("{} checked: {}\n", findings.len(), parts.join(", "))
}

/// A headline in its colour, which is that of the page.
pub fn headline(card: &Card, style: Style) -> String {
    let text = &card.headline;
    match card.tone {
        Tone::Registered => style.good(text),
        Tone::Picture => style.picture(text),
        Tone::Edit => style.edit(text),
        Tone::Rehearsal => style.rehearsal(text),
        Tone::Withdrawn => style.bad(text),
        Tone::Unproven => style.doubtful(text),
        Tone::Unknown => style.strong(text),
    }
}

/// Everything below the headline of a card without a family.
pub fn described(card: &Card, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    details(&mut lines, &Judged::from(card.clone()), style);
    lines
}

fn card(lines: &mut Vec<String>, judged: &Judged, style: Style) {
    lines.push(format!("  {}", headline(&judged.card, style)));
    details(lines, judged, style);
}

fn details(lines: &mut Vec<String>, judged: &Judged, style: Style) {
    let card = &judged.card;
    for warning in &card.warnings {
        lines.extend(wrapped(warning, "    ").map(|line| style.bad(&line)));
    }
    lines.extend(wrapped(&card.sentence, "    "));
    if let Some(times) = &card.times {
        lines.extend(times.after.iter().map(|after| named("Not before", after)));
        lines.push(named("Existed before", &times.before));
        lines.push(named("Own clock", &times.claimed));
    }
    let facts = card.facts.iter().filter(|fact| fact.name != "Made from");
    lines.extend(facts.map(|fact| named(fact.name, &fact.value)));
    let family = judged.family.as_ref();
    let made_from = family.map_or(&[][..], |family| &family.made_from);
    for member in made_from {
        let value = format!("{} {}", member.what, member.digest);
        lines.push(named("Made from", &value));
    }
    if let (true, Some(parent)) = (made_from.is_empty(), card.parent) {
        lines.push(named("Made from", &parent.to_hex()));
    }
    for member in family.map_or(&[][..], |family| &family.made_into) {
        let value = format!("{} {}", member.what, member.digest);
        lines.push(named("Made from this", &value));
    }
    if card.facts.is_empty() {
        for found in &card.digests {
            lines.push(style.faint(&named(found.role.name(), &found.digest.to_hex())));
        }
    }
    listed(
        lines,
        "This file says, and the record does not:",
        &card.not_covered,
    );
    let limits: Vec<_> = card
        .not_proven
        .iter()
        .map(|limit| (*limit).to_owned())
        .collect();
    listed(lines, "What is not proven:", &limits);
    lines.extend(card.notes.iter().flat_map(|note| {
        wrapped(&format!("note: {note}"), "    ")
            .map(|line| style.faint(&line))
            .collect::<Vec<_>>()
    }));
    if let Some(checked) = &card.checked {
        lines.extend(wrapped(checked, "    ").map(|line| style.faint(&line)));
    }
}

fn listed(lines: &mut Vec<String>, title: &str, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    lines.push(format!("    {title}"));
    for sentence in sentences {
        let mut marked: Vec<_> = wrapped(sentence, "      ").collect();
        if let Some(first) = marked.first_mut() {
            first.replace_range(4..5, "-");
        }
        lines.extend(marked);
    }
}

fn named(name: &str, value: &str) -> String {
    format!("    {name:<15} {value}")
}

/// The text in lines that are not too long, each behind the same space.
fn wrapped(text: &str, indent: &str) -> impl Iterator<Item = String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let is_full = !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH;
        if is_full {
            lines.push(format!("{indent}{line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(format!("{indent}{line}"));
    }
    lines.into_iter()
}

#[cfg(test)]
mod tests {
    use birthmark_protocol::Digest;
    use birthmark_verify::FileDigests;

    use super::*;

    fn said(card: Card) -> String {
        let judged = card.into();
        finding(&Finding::of("photo.jpg".into(), judged), Style::plain())
    }

    #[test]
    fn what_is_not_found_is_not_painted_as_a_fault_and_names_its_digests() {
        let file = FileDigests::of_digest(Digest::of(b"photo"));
        let text = said(Card::unknown(&file));
        assert!(
            text.starts_with("photo.jpg\n  No record found\n")
                && text.contains(&Digest::of(b"photo").to_hex()),
            "{text}"
        );
        let coloured = headline(&Card::unknown(&file), Style::coloured());
        assert!(!coloured.contains("[31m"), "{coloured:?}");
    }

    #[test]
    fn no_line_of_a_claim_says_registered_as_a_fact() {
        let file = FileDigests::of_digest(Digest::of(b"photo"));
        let text = said(Card::unproven(&file, "the receipt does not hold"));
        assert!(text.contains("A record is claimed, not proven"), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }

    #[test]
    fn many_are_summed_up() {
        let file = FileDigests::of_digest(Digest::of(b"photo"));
        let one = || Finding::of("photo.jpg".into(), Card::unknown(&file).into());
        assert_eq!(summary(&[one()]), "");
        let two = [one(), Finding::unclear("other".into(), "no".into())];
        assert_eq!(
            summary(&two),
            "2 checked: 1 not found out, 1 without a record\n"
        );
    }
}
