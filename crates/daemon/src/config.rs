//! One TOML file per daemon: typed, closed to unknown fields, and checkable before anything starts.
//!
//! A mistake is reported with file, line, column, field and reason, and ends the program with
//! status 78 (`EX_CONFIG`), so that systemd does not restart a daemon that cannot start.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::position::{self, Position};

/// The typed configuration of one daemon.
///
/// Implementors derive `Deserialize` with `#[serde(deny_unknown_fields)]` and give a default
/// wherever one is sensible.
pub trait Settings: DeserializeOwned + Serialize + Send + 'static {
    /// The daemon's name, which is also the name of its binary, for example `birthmark-sma`.
    const DAEMON: &'static str;

    /// Checks what the types cannot say: that values fit each other.
    ///
    /// Errors come from [`ConfigError::field`]; the line is added by the loader.
    fn check(&self) -> Result<(), ConfigError>;
}

/// Why a configuration was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    position: Option<Position>,
    field: Option<String>,
    reason: String,
}

impl ConfigError {
    /// A refusal of the field at `path`: dots between tables, and the place in a list as a number,
    /// for example `http.listen` or `authorities.1.endpoint`.
    pub fn field(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            file: None,
            position: None,
            field: Some(path.into()),
            reason: reason.into(),
        }
    }

    /// A refusal that concerns no single field.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self {
            file: None,
            position: None,
            field: None,
            reason: reason.into(),
        }
    }

    fn parse(error: &toml::de::Error, text: &str) -> Self {
        let field = position::field_of(error, text);
        Self {
            file: None,
            position: error.span().map(|span| Position::of(text, span.start)),
            field,
            reason: match error.message() {
                // The library's sentence, which does not say what would be right.
                unclear @ "invalid socket address syntax" => format!(
                    "{unclear}: wanted are an address and a port, such as \"127.0.0.1:8545\" or \"[::]:443\""
                ),
                clear => clear.to_owned(),
            },
        }
    }

    fn in_file(mut self, file: &Path, text: &str) -> Self {
        if self.position.is_none() {
            let path = self.field.as_deref();
            self.position = path.and_then(|path| Position::of_field(text, path));
        }
        self.file = Some(file.to_owned());
        self
    }

    /// The line (counted from 1) the error points to, if it points to one.
    pub fn line(&self) -> Option<usize> {
        self.position.map(|position| position.line)
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(out, "{}:", file.display())?;
            if let Some(Position { line, column }) = self.position {
                write!(out, "{line}:{column}:")?;
            }
            write!(out, " ")?;
        }
        match &self.field {
            Some(field) => {
                // Which of a list it is, the line says.
                let is_place = |name: &&str| name.bytes().all(|byte| byte.is_ascii_digit());
                let names: Vec<_> = field.split('.').filter(|name| !is_place(name)).collect();
                write!(out, "`{}`: {}", names.join("."), self.reason)
            }
            None => write!(out, "{}", self.reason),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads and checks settings from text, as if it stood in `file`.
///
/// ```
/// # use birthmark_daemon::{ConfigError, Settings, config};
/// #[derive(serde::Serialize, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Clock { every_seconds: u32 }
/// impl Settings for Clock {
///     const DAEMON: &'static str = "birthmark-clock";
///     fn check(&self) -> Result<(), ConfigError> {
///         if self.every_seconds == 0 {
///             return Err(ConfigError::field("every_seconds", "must be at least 1"));
///         }
///         Ok(())
///     }
/// }
/// let refused = config::parse::<Clock>("every_seconds = 0\n", "clock.toml".as_ref()).err();
/// assert_eq!(
///     refused.map(|error| error.to_string()).as_deref(),
///     Some("clock.toml:1:1: `every_seconds`: must be at least 1"),
/// );
/// ```
pub fn parse<S: Settings>(text: &str, file: &Path) -> Result<S, ConfigError> {
    let settings: S = toml::from_str(text)
        .map_err(|error| ConfigError::parse(&error, text).in_file(file, text))?;
    settings
        .check()
        .map_err(|error| error.in_file(file, text))?;
    Ok(settings)
}

/// Where a daemon's settings come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file named on the command line: it must exist.
    Named(PathBuf),
    /// The usual place: without a file there, the defaults apply, if the settings have defaults for
    /// everything.
    Usual(PathBuf),
}

impl Source {
    /// The usual place of this daemon's file: `/etc/birthmark/` and its name without the house's
    /// prefix.
    pub fn usual<S: Settings>() -> Self {
        let short = S::DAEMON.strip_prefix("birthmark-").unwrap_or(S::DAEMON);
        Self::Usual(Path::new("/etc/birthmark").join(format!("{short}.toml")))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Usual(path) => path,
        }
    }

    /// Reads and checks the settings.
    pub fn load<S: Settings>(&self) -> Result<S, ConfigError> {
        let path = self.path();
        match std::fs::read_to_string(path) {
            Ok(text) => parse(&text, path),
            Err(error) if self.may_be_absent(&error) => parse("", path).map_err(|refusal| {
                ConfigError::whole(format!(
                    "no such file, and the defaults do not do: {refusal}"
                ))
                .in_file(path, "")
            }),
            Err(error) => {
                Err(ConfigError::whole(format!("cannot be read: {error}")).in_file(path, ""))
            }
        }
    }

    fn may_be_absent(&self, error: &std::io::Error) -> bool {
        matches!(self, Self::Usual(_)) && error.kind() == std::io::ErrorKind::NotFound
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Lamp {
        #[serde(default)]
        bulb: Bulb,
        room: Option<String>,
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Bulb {
        watts: u8,
        switch: Option<std::net::SocketAddr>,
    }

    impl Default for Bulb {
        fn default() -> Self {
            Self {
                watts: 5,
                switch: None,
            }
        }
    }

    impl Settings for Lamp {
        const DAEMON: &'static str = "birthmark-lamp";
        fn check(&self) -> Result<(), ConfigError> {
            if self.bulb.watts > 60 {
                return Err(ConfigError::field("bulb.watts", "must be at most 60"));
            }
            Ok(())
        }
    }

    fn refusal(text: &str) -> String {
        let refused = parse::<Lamp>(text, Path::new("lamp.toml")).map(|_| ());
        refused.expect_err("refused").to_string()
    }

    #[test]
    fn a_good_file_is_read() {
        let lamp: Lamp =
            parse("room = \"attic\"\n[bulb]\nwatts = 7\n", Path::new("x")).expect("good");
        assert_eq!((lamp.bulb.watts, lamp.room.as_deref()), (7, Some("attic")));
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place() {
        let text = refusal("room = \"attic\"\n\n[bulb]\nwatts = 7\n  colour = \"red\"\n");
        assert!(
            text.starts_with("lamp.toml:5:3: `bulb.colour`: unknown field"),
            "{text}"
        );
        let text = refusal("rooms = 1\n");
        assert!(
            text.starts_with("lamp.toml:1:1: `rooms`: unknown field"),
            "{text}"
        );
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let text = refusal("[bulb]\nwatts = \"many\"\n");
        assert!(
            text.starts_with("lamp.toml:2:9: `bulb.watts`: invalid type"),
            "{text}"
        );
        let text = refusal("bulb.watts = 256\n");
        assert!(
            text.starts_with("lamp.toml:1:14: `bulb.watts`: invalid value"),
            "{text}"
        );
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_an_example() {
        let text = refusal("[bulb]\nwatts = 1\nswitch = \"localhost\"\n");
        assert!(
            text.starts_with("lamp.toml:3:10: `bulb.switch`: invalid socket address syntax"),
            "{text}"
        );
        assert!(text.contains("127.0.0.1:8545"), "{text}");
    }

    #[test]
    fn a_missing_field_names_its_table() {
        let text = refusal("[bulb]\n");
        assert!(text.contains("`bulb`: missing field `watts`"), "{text}");
    }

    #[test]
    fn broken_syntax_has_a_place() {
        let text = refusal("room = \n");
        assert!(text.starts_with("lamp.toml:1:8: "), "{text}");
    }

    #[test]
    fn a_value_that_does_not_fit_has_the_line_of_its_field() {
        assert_eq!(
            refusal("# dim\n[bulb]\nwatts = 61\n"),
            "lamp.toml:3:1: `bulb.watts`: must be at most 60"
        );
    }

    #[test]
    fn the_usual_place_may_be_empty_and_a_named_one_may_not() {
        let nowhere = PathBuf::from("/nonexistent/lamp.toml");
        assert!(Source::Usual(nowhere.clone()).load::<Lamp>().is_ok());
        let refused = Source::Named(nowhere).load::<Lamp>().map(|_| ());
        let text = refused.expect_err("refused").to_string();
        assert!(
            text.starts_with("/nonexistent/lamp.toml: cannot be read"),
            "{text}"
        );
        assert_eq!(
            Source::usual::<Lamp>().path(),
            Path::new("/etc/birthmark/lamp.toml")
        );
    }
}
