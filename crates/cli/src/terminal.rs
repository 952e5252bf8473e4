//! What people see: colours only on a terminal, progress only where somebody watches.

use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What takes longer is shown to be under way.
const PATIENCE: Duration = Duration::from_millis(700);

/// How to print to a person.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colours: bool,
}

impl Style {
    /// Colours when standard output is a terminal and nobody asked for none.
    pub fn of_standard_output() -> Self {
        Self {
            colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// Without colours.
    #[cfg(test)]
    pub const fn plain() -> Self {
        Self { colours: false }
    }

    /// With colours, whoever reads.
    #[cfg(test)]
    pub const fn coloured() -> Self {
        Self { colours: true }
    }

    /// For a picture whose metadata is not covered.
    pub fn picture(&self, text: &str) -> String {
        self.paint("36", text)
    }

    /// For what was made from something else.
    pub fn edit(&self, text: &str) -> String {
        self.paint("34", text)
    }

    /// For a rehearsal.
    pub fn rehearsal(&self, text: &str) -> String {
        self.paint("35", text)
    }

    /// For what is claimed and not proven.
    pub fn doubtful(&self, text: &str) -> String {
        self.paint("33", text)
    }

    /// For what went well.
    pub fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For what went wrong.
    pub fn bad(&self, text: &str) -> String {
        self.paint("31", text)
    }

    /// For what matters less.
    pub fn faint(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// For what is looked for first.
    pub fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Waits for `work`, and says on a terminal what is waited for if that takes long. Nothing is shown
/// to a pipe.
pub async fn watched<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    spinner.set_style(spinner_style());
    spinner.enable_steady_tick(Duration::from_millis(100));
    let done = work.await;
    spinner.finish_and_clear();
    done
}

/// A sign of life with what is waited for: its own message, not a bar of an unknown length.
pub fn spinner_style() -> ProgressStyle {
    styled("{spinner} {msg}")
}

/// A bar with what it is about.
pub fn bar_style() -> ProgressStyle {
    styled("{msg} {wide_bar} {pos}/{len}")
}

fn styled(template: &str) -> ProgressStyle {
    #[expect(clippy::expect_used, reason = "both templates are made in the tests")]
    ProgressStyle::with_template(template).expect("a template of ours is well formed")
}

/// A moment as people write it; seconds since 1970 where the calendar ends.
pub fn moment(unix: i64) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    time::OffsetDateTime::from_unix_timestamp(unix)
        .ok()
        .and_then(|moment| moment.format(&format).ok())
        .unwrap_or_else(|| format!("{unix} s since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_readable_and_never_wrong() {
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(i64::MAX), "9223372036854775807 s since 1970");
    }

    #[test]
    fn the_styles_of_progress_are_well_formed() {
        let _ = (spinner_style(), bar_style());
    }

    #[test]
    fn without_colours_text_stays_text() {
        assert_eq!(Style { colours: false }.good("fine"), "fine");
        assert_eq!(Style { colours: true }.good("fine"), "\x1b[32mfine\x1b[0m");
    }
}
