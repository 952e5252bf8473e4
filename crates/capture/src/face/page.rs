//! The page that the cable's web server shows: the newest photos, each with the state of its proof.
//!
//! It is a file in the folder of photos, without a script and for nobody's eyes but those who hold
//! the cable. Whoever can change it can at most show a wrong page: proofs and receipts are checked
//! from the files beside the photos.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use birthmark_daemon::{Shutdown, durable};

use crate::keep::album::{Album, Name, RECEIPT, SIDECAR};
use crate::keep::queue::{EntryId, Queue, QueueError, Stage};
use crate::keep::sidecar::Sidecar;

/// The page's name: what a web server shows for the folder.
const FILE: &str = "index.html";
/// How many photos it shows. Older ones are found by their day.
const PHOTOS: usize = 300;
/// How often it is looked whether something changed. The card wears out by writing, not by looking.
const LOOK: Duration = Duration::from_secs(10);

/// What the page is made from.
#[derive(Debug, Clone)]
pub struct Page {
    album: Album,
    queue: Arc<Queue>,
}

/// How far the proof of a photo is, for people.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Registered,
    Unsigned(Option<String>),
    Waiting(Option<String>),
    Refused(String),
    Unknown,
}

impl Page {
    /// A page about these photos and their proofs.
    pub fn new(album: Album, queue: Arc<Queue>) -> Self {
        Self { album, queue }
    }

    /// Writes the page anew whenever it would say something else, until asked to stop.
    pub async fn follow(self, shutdown: Shutdown) {
        let mut shown = String::new();
        while !shutdown.is_requested() {
            let page = self.clone();
            let made = tokio::task::spawn_blocking(move || page.text()).await;
            match made {
                Ok(Ok(text)) if text != shown => match self.write(&text) {
                    Ok(()) => shown = text,
                    Err(error) => log::warn!("the page of photos cannot be written: {error}"),
                },
                Ok(Ok(_)) => {}
                Ok(Err(error)) => log::warn!("the page of photos cannot be made: {error}"),
                Err(error) => log::warn!("the page of photos cannot be made: {error}"),
            }
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let path = self.album.root().join(FILE);
        durable::replace(&path, text.as_bytes(), durable::SHARED)
    }

    fn text(&self) -> io::Result<String> {
        let (days, newest) = self.album.newest(PHOTOS)?;
        let mut page = String::from(HEAD);
        for name in &newest {
            page.push_str(&row(name, &self.state(name)));
        }
        page.push_str("</table>\n<h2>All days</h2>\n<ul>\n");
        for day in &days {
            let day = escaped(day);
            // A `String` takes everything.
            let _ = writeln!(page, "<li><a href=\"{day}/\">{day}</a>");
        }
        page.push_str("</ul>\n");
        Ok(page)
    }

    fn state(&self, name: &Name) -> State {
        let beside = |ending: &str| {
            let picture = self.album.root().join(name.picture());
            picture.with_extension(ending)
        };
        if beside(RECEIPT).exists() {
            return State::Registered;
        }
        let id = std::fs::read(beside(SIDECAR)).ok();
        let id = id.and_then(|bytes| serde_json::from_slice::<Sidecar>(&bytes).ok());
        match id.and_then(|sidecar| sidecar.id.parse::<EntryId>().ok()) {
            Some(id) => self.state_in_queue(id),
            None => State::Unknown,
        }
    }

    fn state_in_queue(&self, id: EntryId) -> State {
        match self.queue.read(id).map(|entry| entry.stage) {
            Ok(Stage::Unsigned) => State::Unsigned(self.queue.why(id)),
            Ok(Stage::Signed { .. } | Stage::Submitted { .. }) => {
                State::Waiting(self.queue.why(id))
            }
            Ok(Stage::Refused { reason, .. }) => State::Refused(reason),
            Err(QueueError::Unknown(_)) => State::Unknown,
            Err(error) => State::Refused(error.to_string()),
        }
    }
}

/// What stands before the photos.
const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n<title>Photos</title>\n\
    <style>body{font-family:sans-serif;margin:2em;max-width:60em}td{padding:.2em 1em .2em 0;vertical-align:top}\
    .no{color:#a00}.later{color:#850}</style>\n<h1>The newest photos</h1>\n<table>\n";

fn row(name: &Name, state: &State) -> String {
    let picture = escaped(&name.picture());
    let (class, said) = told(state);
    let receipt = match state {
        State::Registered => {
            let path = picture.trim_end_matches("jpg");
            format!(" <a href=\"{path}{RECEIPT}\">receipt</a>")
        }
        _ => String::new(),
    };
    let said = escaped(&said);
    format!("<tr><td><a href=\"{picture}\">{picture}</a><td class=\"{class}\">{said}{receipt}\n")
}

fn told(state: &State) -> (&'static str, String) {
    let because = |said: &str, why: &Option<String>| match why {
        Some(why) => format!("{said}: {why}"),
        None => said.to_owned(),
    };
    match state {
        State::Registered => ("", "registered".to_owned()),
        State::Unsigned(why) => ("later", because("waits for its signature", why)),
        State::Waiting(why) => ("later", because("signed, waits for its receipt", why)),
        State::Refused(reason) => ("no", format!("refused: {reason}")),
        State::Unknown => ("no", "no proof of it is waiting".to_owned()),
    }
}

/// Reasons come from validators: nothing of them may become part of the page's own language.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_validator_says_stays_text() {
        let name = Name::of_picture("2026-11-20/a.jpg").unwrap();
        let refused = State::Refused("<script>alert('x')</script>".to_owned());
        let row = row(&name, &refused);
        assert!(
            row.contains("refused: &lt;script&gt;alert(&#39;x&#39;)"),
            "{row}"
        );
        assert!(!row.contains("<script"), "{row}");
    }

    #[test]
    fn only_a_registered_photo_has_a_receipt_to_look_at() {
        let name = Name::of_picture("2026-11-20/a.jpg").unwrap();
        let registered = row(&name, &State::Registered);
        assert!(
            registered.contains("href=\"2026-11-20/a.jpg.birthmark\""),
            "{registered}"
        );
        let waiting = row(&name, &State::Waiting(Some("no network".to_owned())));
        assert!(
            waiting.contains("waits for its receipt: no network"),
            "{waiting}"
        );
        assert!(!waiting.contains("a.jpg.birthmark"), "{waiting}");
    }
}
