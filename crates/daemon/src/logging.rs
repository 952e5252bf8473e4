//! One log, two shapes: fields in the journal, readable lines on standard error.
//!
//! Everything is logged through the `log` crate: `log::info!(BLOCK_HEIGHT = 12; "block stored")`.
//! In the journal the key-values are fields (`journalctl BLOCK_HEIGHT=12`); elsewhere they follow
//! the sentence. What dependencies say is held to its own, usually stricter level: at finer levels
//! some of them print whole messages.

use std::io::{IsTerminal, Write};

use log::kv::{Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

/// From which level on lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// For our own crates.
    pub own: LevelFilter,
    /// For everything we depend on.
    pub dependencies: LevelFilter,
}

impl Default for Levels {
    fn default() -> Self {
        Self {
            own: LevelFilter::Info,
            dependencies: LevelFilter::Warn,
        }
    }
}

impl Levels {
    fn of(&self, target: &str) -> LevelFilter {
        match target.starts_with("birthmark") {
            true => self.own,
            false => self.dependencies,
        }
    }
}

/// Sends log lines to the journal if standard error is connected to it, to standard error
/// otherwise.
///
/// A second call changes nothing, so that several daemons can run in one process.
pub fn install(identifier: &str, levels: Levels) {
    let filtered = Filtered {
        levels,
        inner: destination(identifier),
    };
    if log::set_boxed_logger(Box::new(filtered)).is_ok() {
        log::set_max_level(levels.own.max(levels.dependencies));
    }
}

fn destination(identifier: &str) -> Box<dyn Log> {
    if connected_to_journal()
        && let Ok(journal) = JournalLog::empty()
    {
        return Box::new(journal.with_syslog_identifier(identifier.to_owned()));
    }
    let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Box::new(Terminal {
        coloured: wants_colour && std::io::stderr().is_terminal(),
    })
}

struct Filtered {
    levels: Levels,
    inner: Box<dyn Log>,
}

impl Log for Filtered {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.level() <= self.levels.of(about.target())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.inner.log(record);
        }
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

/// Lines for people, on standard error.
struct Terminal {
    coloured: bool,
}

impl Log for Terminal {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = line(record, self.coloured);
        // Nobody is left to be told that standard error is gone.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

fn line(record: &Record<'_>, coloured: bool) -> String {
    let (name, colour) = match record.level() {
        Level::Error => ("error", "\x1b[1;31m"),
        Level::Warn => ("warning", "\x1b[33m"),
        Level::Info => ("info", "\x1b[32m"),
        Level::Debug => ("debug", "\x1b[2m"),
        Level::Trace => ("trace", "\x1b[2m"),
    };
    let mut line = match coloured {
        true => format!("{colour}{name}\x1b[0m: {}", record.args()),
        false => format!("{name}: {}", record.args()),
    };
    // A value of a record cannot make the visit fail: the visitor never does.
    let _ = record.key_values().visit(&mut Fields(&mut line));
    line.push('\n');
    line
}

struct Fields<'l>(&'l mut String);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        if key.as_str() != "MESSAGE_ID" {
            let key = key.as_str().to_ascii_lowercase();
            self.0.push_str(&format!(" {key}={value}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageId;

    const STORED: MessageId = MessageId::new("6bdeaf5a9ad64ea59a4d6c4bd0be3c11");

    #[test]
    fn fields_follow_the_sentence_and_the_identifier_stays_out() {
        let pairs = [
            ("BLOCK_HEIGHT", Value::from(12)),
            ("MESSAGE_ID", Value::from(STORED.as_str())),
        ];
        let record = Record::builder()
            .level(Level::Info)
            .args(format_args!("block stored"))
            .key_values(&pairs)
            .build();
        assert_eq!(line(&record, false), "info: block stored block_height=12\n");
        assert!(line(&record, true).starts_with("\x1b[32minfo\x1b[0m: block"));
    }

    #[test]
    fn dependencies_have_their_own_level() {
        let levels = Levels::default();
        assert_eq!(levels.of("birthmark_node::store"), LevelFilter::Info);
        assert_eq!(levels.of("sqlx::query"), LevelFilter::Warn);
    }
}
