//! What can be wrong with a calibration.

use std::path::PathBuf;

use birthmark_daemon::random::NoRandomness;
use birthmark_protocol::nuc::NucError;
use birthmark_sensor::SourceError;

/// Why there is no map.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The camera does not deliver.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A parameter is wrong.
    #[error("{0}")]
    Input(String),
    /// What is before the lens is not what it should be.
    #[error("{0}")]
    Subject(String),
    /// The sensor's temperature changed too much.
    #[error(
        "the sensor went from {from:.1} to {to:.1} °C: let it reach its temperature and begin again"
    )]
    Warming {
        /// At the beginning.
        from: f32,
        /// Now.
        to: f32,
    },
    /// The caller hung up.
    #[error("the calibration was abandoned")]
    Abandoned,
    /// There is a map already.
    #[error("{path} exists: this camera was calibrated; move the file away to calibrate it anew", path = path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// The map cannot be written.
    #[error("the map cannot be written: {0}")]
    Disk(#[from] std::io::Error),
    /// The measurement makes no map.
    #[error(transparent)]
    Map(#[from] NucError),
    /// No nonce could be drawn.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}
