//! The DNG files of a folder as a camera: one after another, and again from the first.

use std::path::{Path, PathBuf};

use super::{FixedExposure, RawSource, Shot, SourceError};
use crate::clock;
use crate::dng;
use crate::exposure::Moment;

/// A folder of DNG files.
#[derive(Debug)]
pub struct Replay {
    name: String,
    files: Vec<PathBuf>,
    next: usize,
}

impl Replay {
    /// The files of `folder` in the order of their names.
    pub fn open(folder: &Path) -> Result<Self, SourceError> {
        let problem =
            |error: std::io::Error| SourceError::Device(format!("{}: {error}", folder.display()));
        let mut files = Vec::new();
        for file in std::fs::read_dir(folder).map_err(problem)? {
            let path = file.map_err(problem)?.path();
            let is_dng = path
                .extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("dng"));
            files.extend(is_dng.then_some(path));
        }
        files.sort();
        if files.is_empty() {
            return Err(SourceError::Device(format!(
                "there is no DNG file in {}",
                folder.display()
            )));
        }
        Ok(Self {
            name: format!("replay of {}", folder.display()),
            files,
            next: 0,
        })
    }
}

impl RawSource for Replay {
    fn name(&self) -> &str {
        &self.name
    }

    fn capture(&mut self) -> Result<Shot, SourceError> {
        let path = self
            .files
            .get(self.next % self.files.len().max(1))
            .cloned()
            .unwrap_or_default();
        self.next = self.next.wrapping_add(1);
        let unix_ns = clock::now_ns();
        let problem = |error: String| SourceError::Format(format!("{}: {error}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| problem(error.to_string()))?;
        let mut shot = dng::read_dng(&bytes).map_err(|error| problem(error.to_string()))?;
        // The frame is old, the photo is new: it is dated now, like any photo of a screen.
        shot.exposure.moment = Moment {
            unix_ns,
            clock: clock::quality(unix_ns),
        };
        Ok(shot)
    }

    fn fix_exposure(&mut self, fixed: Option<FixedExposure>) -> Result<(), SourceError> {
        match fixed {
            None => Ok(()),
            Some(_) => Err(SourceError::Device(
                "a replay cannot be exposed anew".to_owned(),
            )),
        }
    }
}
