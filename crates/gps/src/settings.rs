//! What `/etc/birthmark/gps.toml` may say. `gps.example.toml` is parsed by a test.

use std::path::PathBuf;

use birthmark_daemon::varlink::User;
use birthmark_daemon::{ConfigError, Settings};
use serde::{Deserialize, Serialize};

/// The GPS daemon's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpsSettings {
    /// Where the interface is served when systemd passes no socket.
    pub socket: PathBuf,
    /// Who may ask where the camera is. Empty: the daemon's own user.
    pub callers: Vec<User>,
    /// The serial line of the receiver.
    pub device: PathBuf,
    /// Its speed.
    pub baud: u32,
    /// A fix must use at least so many satellites.
    pub minimum_satellites: u32,
    /// A fix may have at most this dilution of precision.
    pub maximum_hdop: f32,
    /// The socket at which chrony takes the satellites' time (`refclock SOCK`). None: the machine's
    /// clock is not told.
    pub chrony_socket: Option<PathBuf>,
    /// Leave after this many seconds without anybody connected, if systemd listens for us and
    /// chrony needs nothing.
    pub idle_seconds: u64,
}

impl Default for GpsSettings {
    fn default() -> Self {
        Self {
            socket: "/run/birthmark/gps".into(),
            callers: vec![User::Name("birthmark-capture".to_owned()), User::Id(0)],
            device: "/dev/serial0".into(),
            baud: 9_600,
            minimum_satellites: 4,
            maximum_hdop: 5.0,
            chrony_socket: None,
            idle_seconds: 60,
        }
    }
}

impl Settings for GpsSettings {
    const DAEMON: &'static str = "birthmark-gps";

    fn check(&self) -> Result<(), ConfigError> {
        if !(1_200..=1_000_000).contains(&self.baud) {
            return Err(ConfigError::field("baud", "must be 1200 to 1000000"));
        }
        if self.minimum_satellites < 4 {
            return Err(ConfigError::field(
                "minimum_satellites",
                "three satellites give no place in space: must be at least 4",
            ));
        }
        if !(0.5..=20.0).contains(&self.maximum_hdop) {
            return Err(ConfigError::field("maximum_hdop", "must be 0.5 to 20"));
        }
        if self.idle_seconds == 0 {
            return Err(ConfigError::field(
                "idle_seconds",
                "must be at least 1: the daemon would leave before anybody is answered",
            ));
        }
        match &self.chrony_socket {
            Some(path) if !path.is_absolute() => Err(ConfigError::field(
                "chrony_socket",
                "must begin with `/`, as in chrony's own line `refclock SOCK /run/chrony.birthmark.sock`",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_says_the_defaults() {
        let example: GpsSettings = birthmark_daemon::config::parse(
            include_str!("../gps.example.toml"),
            "gps.toml".as_ref(),
        )
        .unwrap();
        assert_eq!(
            format!("{example:?}"),
            format!("{:?}", GpsSettings::default())
        );
    }
}
