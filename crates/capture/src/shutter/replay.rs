//! The DNG files of a folder as a camera: one after another, and again from the first.
//!
//! Only builds for rehearsal have it: what it delivers did not come from a sensor now.

use std::path::{Path, PathBuf};
use std::time::Duration;

use birthmark_sensor::{FixedExposure, RawSource, Shot, SourceError, clock};

use crate::files::dng;

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
        let empty = || SourceError::Device("the folder has no DNG file".to_owned());
        let path = self.files.get(self.next).ok_or_else(empty)?;
        self.next = (self.next + 1) % self.files.len();
        let problem = |error: String| SourceError::Format(format!("{}: {error}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
        let mut shot = dng::read_dng(&bytes).map_err(|error| problem(error.to_string()))?;
        // The frame is old, the photo is new: it is dated now, like any photo of a screen.
        shot.exposure.moment = clock::before_now(Duration::ZERO);
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
