//! What the demonstration prints: text for people, one JSON document for programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use birthmark_cli::terminal::{Style, spinner_style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::folder::Folder;
use crate::options::Options;
use crate::photo::Walk;
use crate::validator::Registry;

/// Prints as things happen, unless a program listens.
pub(crate) struct Reporter {
    quiet: bool,
    style: Style,
}

/// Everything that happened, at the end.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    key_store: String,
    authority: String,
    validator: String,
    folder: Option<PathBuf>,
    all_verified: bool,
    photos: Vec<Walk>,
}

impl Summary {
    /// Puts the summary together.
    pub(crate) fn new(
        key_store: &str,
        authority: &str,
        validator: &str,
        folder: &Folder,
        photos: Vec<Walk>,
    ) -> Self {
        Self {
            key_store: key_store.to_owned(),
            authority: authority.to_owned(),
            validator: validator.to_owned(),
            folder: folder.is_kept().then(|| folder.path().to_owned()),
            all_verified: photos.iter().all(Walk::is_verified),
            photos,
        }
    }

    /// Whether every photo went the whole way.
    pub(crate) fn all_verified(&self) -> bool {
        self.all_verified
    }
}

impl Reporter {
    /// Prints nothing but the summary when `quiet`.
    pub(crate) fn new(quiet: bool, style: Style) -> Self {
        Self { quiet, style }
    }

    /// One part is ready.
    pub(crate) fn step(&self, part: &str, what: &str) {
        self.print(&format!(
            "{:<10} {what}",
            self.style.strong(&format!("{part:<10}"))
        ));
    }

    /// All parts are ready.
    pub(crate) fn ready(&self, after: Duration) {
        self.print(&self.style.faint(&format!(
            "           everything is ready after {:.1} s\n",
            after.as_secs_f64()
        )));
    }

    /// What happened to a photo.
    pub(crate) fn photo(&self, walk: &Walk) {
        let headline = match (&walk.problem, walk.is_verified()) {
            (None, true) => self.style.good("verified"),
            (problem, _) => self.style.bad(problem.as_deref().unwrap_or("not verified")),
        };
        self.print(&format!(
            "photo {:<4} {headline}  {}",
            walk.number,
            walk.path.display()
        ));
        self.print(&format!(
            "           {:>6} ms  files and proof are on disk",
            walk.saved_ms
        ));
        for line in timeline(walk) {
            self.print(&self.style.faint(&format!("                      {line}")));
        }
        if let (Some(ms), Some(answer)) = (walk.verified_ms, &walk.answer) {
            let block = answer.block_height.unwrap_or(0);
            let assurance = answer
                .assurance
                .map_or("not stated", |assurance| assurance.name());
            self.print(&format!("           {ms:>6} ms  found by its digest alone: block {block}, assurance {assurance}"));
        }
        if let Some(ms) = walk.receipt_ms {
            self.print(&format!(
                "           {ms:>6} ms  receipt beside the photo, holds without a network"
            ));
        }
        if let Some(ms) = walk.everywhere_ms
            && walk.cosigners.len() > 1
        {
            let count = walk.cosigners.len();
            self.print(&format!(
                "           {ms:>6} ms  found at each of the {count} validators, and cosigned by all {count}"
            ));
        }
        self.print(
            &self
                .style
                .faint(&format!("                      {}", walk.digest)),
        );
    }

    /// The end of the photos.
    pub(crate) fn summary(&self, summary: &Summary, options: &Options) -> anyhow::Result<()> {
        if options.json {
            println!("{}", serde_json::to_string_pretty(summary)?);
            return Ok(());
        }
        let verified = summary
            .photos
            .iter()
            .filter(|walk| walk.is_verified())
            .count();
        let line = format!("\n{verified} of {} photos verified", summary.photos.len());
        self.print(&if summary.all_verified {
            self.style.good(&line)
        } else {
            self.style.bad(&line)
        });
        if let Some(folder) = &summary.folder {
            self.print(&format!("everything is kept in {}", folder.display()));
        }
        Ok(())
    }

    /// What to try while everything runs.
    pub(crate) fn invite(
        &self,
        validator: &str,
        registry: &Registry,
        folder: &Folder,
        last: &Path,
    ) {
        let strong = |text: &str| self.style.strong(text);
        let command = command();
        self.print(&format!(
            "\nOpen {} and drop a photo onto the page: it computes the digests itself.",
            strong(validator)
        ));
        self.print(&format!(
            "The photos are in {}",
            folder.path().join("photos").display()
        ));
        self.print("\nThe command finds this demonstration by itself:\n");
        for line in [
            format!("verify {}", last.display()),
            format!(
                "receipt show {} --genesis {}",
                last.with_extension("jpg.birthmark").display(),
                registry.genesis.display()
            ),
            "status".to_owned(),
            "capture".to_owned(),
            "queue list".to_owned(),
        ] {
            self.print(&format!("  {command} {line}"));
        }
        self.print(&format!("\nElsewhere give verify --node {validator}"));
        let others = registry.others.iter().map(|other| other.address());
        let others: Vec<_> = others.collect();
        if !others.is_empty() {
            self.print(&format!(
                "The other validators answer the same: {}",
                others.join(" ")
            ));
        }
        self.print("Ctrl-C ends the demonstration.");
    }

    /// A bar for something long, only where somebody watches.
    pub(crate) fn progress(&self, what: &str, total: u64) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(total), self.target());
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.with_message(what.to_owned())
    }

    /// A sign of life for something whose length nobody knows.
    pub(crate) fn spinner(&self) -> ProgressBar {
        let spinner = ProgressBar::with_draw_target(None, self.target());
        spinner.set_style(spinner_style());
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        }
    }

    fn print(&self, line: &str) {
        if !self.quiet {
            println!("{line}");
        }
    }
}

/// How `birthmark` is called here: by its name where a shell would find it, otherwise by its path
/// beside this program.
fn command() -> String {
    let is_found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("birthmark").is_file())
    });
    let beside = std::env::current_exe().map(|own| own.with_file_name("birthmark"));
    match beside {
        Ok(beside) if !is_found && beside.is_file() => beside.display().to_string(),
        _ => "birthmark".to_owned(),
    }
}

/// The camera's own account of the time until the proof was durable, in lines that fit.
fn timeline(walk: &Walk) -> Vec<String> {
    let steps = walk
        .timeline
        .iter()
        .map(|step| format!("{} {}", step.name, step.duration_us / 1000));
    let steps: Vec<_> = steps.collect();
    steps.chunks(5).map(|few| few.join(", ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::tests::walk;

    fn summary(folder: &Folder, walks: Vec<Walk>) -> serde_json::Value {
        let addresses = ("http://127.0.0.1:1", "http://127.0.0.1:2");
        let summary = Summary::new("a chip", addresses.0, addresses.1, folder, walks);
        assert_eq!(
            summary.all_verified(),
            summary.photos.iter().all(Walk::is_verified)
        );
        serde_json::to_value(summary).unwrap()
    }

    /// Programs read this: one photo that is not verified is not drowned by the others.
    #[test]
    fn the_summary_says_what_became_of_every_photo() {
        let folder = Folder::prepare(None).unwrap();
        let good = summary(&folder, vec![walk(1), walk(2)]);
        assert_eq!(good["all_verified"], true);
        assert_eq!(good["folder"], serde_json::Value::Null, "it will be gone");
        assert_eq!(good["photos"][1]["number"], 2);
        assert_eq!(good["validator"], "http://127.0.0.1:2");
        let mut failed = walk(2);
        failed.problem = Some("the validator does not answer".into());
        let bad = summary(&folder, vec![walk(1), failed, walk(3)]);
        assert_eq!(bad["all_verified"], false);
        assert_eq!(bad["photos"][1]["problem"], "the validator does not answer");
        folder.leave();
        let outer = tempfile::TempDir::new().unwrap();
        let kept = Folder::prepare(Some(outer.path())).unwrap();
        let named = summary(&kept, vec![walk(1)]);
        assert_eq!(named["folder"], kept.path().to_str().unwrap());
    }

    #[test]
    fn the_camera_s_account_is_in_milliseconds_and_in_lines_that_fit() {
        let lines = timeline(&walk(1));
        let expected = [
            "step 1 1, step 2 3, step 3 5, step 4 7, step 5 9",
            "step 6 11, step 7 13",
        ];
        assert_eq!(lines, expected);
        let mut none = walk(1);
        none.timeline.clear();
        assert!(timeline(&none).is_empty());
    }

    #[test]
    fn nothing_is_drawn_where_a_program_listens() {
        let quiet = Reporter::new(true, Style::of_standard_output());
        assert!(quiet.progress("key tables", 10).is_hidden());
        assert!(quiet.spinner().is_hidden());
    }
}
