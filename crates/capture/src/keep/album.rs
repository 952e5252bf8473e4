//! Where photos lie, what they are called, and in which order they appear.
//!
//! A photo is written completely under `incoming/`, then its proof becomes durable, and only then
//! it moves to the folder of its day. So whatever a crash leaves under `incoming/` either has a
//! proof in the queue, and is moved now, or has none and was never reported: it is removed, because
//! nobody can say whether it is complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use birthmark_daemon::durable;
use birthmark_sensor::Moment;
use serde::Serialize;
use time::UtcOffset;

use crate::files::exif::date_of;
use crate::keep::queue::EntryId;

/// The ending of a sidecar's name.
pub const SIDECAR: &str = "json";
/// The ending of the file with the leaves that the photographer may disclose.
pub const LEAVES: &str = "leaves.json";
/// The ending of the file with the receipt: the picture's whole name goes before `.birthmark`.
pub const RECEIPT: &str = "jpg.birthmark";
/// What goes when room is short: the large files. The raw frame first, so that a picture that is
/// there is the last of it.
const LARGE: [&str; 2] = ["dng", "jpg"];
/// The endings of a photo's files. The picture comes last: whoever sees it finds everything else.
const ENDINGS: [&str; 4] = [LEAVES, SIDECAR, "dng", "jpg"];

/// The folder of photos.
#[derive(Debug, Clone)]
pub struct Album {
    root: PathBuf,
}

/// A photo's name without its ending, relative to the album:
/// `2026-11-20/20261120T101500.123Z-4f2a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    day: String,
    stem: String,
}

impl Name {
    /// The name of the photo taken at `moment`.
    pub fn new(moment: Moment, id: EntryId) -> Self {
        let date = date_of(moment, UtcOffset::UTC);
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second) = (date.hour(), date.minute(), date.second());
        let millisecond = date.millisecond();
        Self {
            day: format!("{year:04}-{month:02}-{day:02}"),
            stem: format!(
                "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{millisecond:03}Z-{}",
                id.short()
            ),
        }
    }

    /// Where the picture is, relative to the album.
    pub fn picture(&self) -> String {
        format!("{}/{}.jpg", self.day, self.stem)
    }

    /// Reads the name of a picture back.
    pub fn of_picture(picture: &str) -> Option<Self> {
        let (day, file) = picture.split_once('/')?;
        let stem = file.strip_suffix(".jpg")?;
        let plain = |text: &str| {
            !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\\', '\0'])
        };
        (plain(day) && plain(stem)).then(|| Self {
            day: day.to_owned(),
            stem: stem.to_owned(),
        })
    }
}

impl Album {
    /// Opens the album; its folders are made if they are missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        durable::make_folder(&root.join("incoming"))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a complete file, not yet visible as a photo.
    pub fn bring_in(&self, id: EntryId, name: &Name, ending: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.incoming(id, name, ending);
        // Whoever can read the leaves knows what they say, the place among it.
        let mode = if ending == LEAVES {
            durable::PRIVATE
        } else {
            durable::SHARED
        };
        durable::write_unnamed(&path, bytes, mode)?;
        durable::sync_folder(&self.root.join("incoming"))
    }

    /// Makes the files of a photo visible. Its proof must be durable by now.
    pub fn reveal(&self, id: EntryId, name: &Name) -> io::Result<()> {
        let folder = self.root.join(&name.day);
        durable::make_folder(&folder)?;
        for ending in ENDINGS {
            let from = self.incoming(id, name, ending);
            // If we stop here, the next start finds the remaining files and moves them.
            if from.exists() {
                durable::rename(&from, &folder.join(format!("{}.{ending}", name.stem)))?;
            }
        }
        Ok(())
    }

    /// Removes what was brought in for a photo that will not be.
    pub fn discard(&self, id: EntryId, name: &Name) {
        for ending in ENDINGS {
            if let Err(error) = durable::remove(&self.incoming(id, name, ending)) {
                log::warn!("cannot remove an abandoned photo: {error}");
            }
        }
    }

    /// Finishes what a crash interrupted; `proven` says whether a proof for the photo is durable.
    /// Returns how many files were moved and how many removed.
    pub fn recover(&self, proven: impl Fn(EntryId) -> bool) -> io::Result<(usize, usize)> {
        let (mut moved, mut removed) = (0, 0);
        for file in fs::read_dir(self.root.join("incoming"))? {
            let path = file?.path();
            let known = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(parse_incoming);
            match known {
                Some((id, name)) if proven(id) => {
                    self.reveal(id, &name)?;
                    moved += 1;
                }
                _ => {
                    durable::remove(&path)?;
                    removed += 1;
                }
            }
        }
        Ok((moved, removed))
    }

    /// The days there are, newest first, and the names of the newest photos, also of those whose
    /// picture is gone.
    pub fn newest(&self, limit: usize) -> io::Result<(Vec<String>, Vec<Name>)> {
        let (mut days, mut names) = (Vec::new(), Vec::new());
        for path in sorted(&self.root)?.into_iter().rev() {
            let day = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let Some(day) = day.filter(|day| is_day(day) && path.is_dir()) else {
                continue;
            };
            if names.len() < limit {
                let stems = sorted(&path)?.into_iter().rev().filter_map(stem_of_sidecar);
                let named = stems.map(|stem| Name {
                    day: day.clone(),
                    stem,
                });
                names.extend(named.take(limit - names.len()));
            }
            days.push(day);
        }
        Ok((days, names))
    }

    /// Removes pictures and raw frames that have a receipt, the oldest first, until there is
    /// `enough` room; answers how many photos went. Sidecar, receipt and leaves stay: the proof of
    /// a picture that somebody has elsewhere is whole.
    pub fn remove_registered(&self, enough: impl Fn() -> io::Result<bool>) -> io::Result<usize> {
        let mut removed = 0;
        for day in sorted(&self.root)? {
            // `incoming` is no day, and what a person put here has another form.
            let is_day = day
                .file_name()
                .is_some_and(|name| is_day(&name.to_string_lossy()));
            if !is_day || !day.is_dir() {
                continue;
            }
            for receipt in sorted(&day)? {
                let Some(stem) = stem_of_receipt(&receipt) else {
                    continue;
                };
                if enough()? {
                    return Ok(removed);
                }
                removed += usize::from(self.remove_large(&day, &stem)?);
            }
        }
        Ok(removed)
    }

    fn remove_large(&self, day: &Path, stem: &str) -> io::Result<bool> {
        let mut was_there = false;
        for ending in LARGE {
            let path = day.join(format!("{stem}.{ending}"));
            if path.exists() {
                // If we stop here, the rest goes when room is short again.
                durable::remove(&path)?;
                was_there = true;
            }
        }
        if was_there {
            let picture = format!("{}/{stem}.jpg", day.display());
            log::info!(PHOTO = picture.as_str(); "removed to make room: it has its receipt");
        }
        Ok(was_there)
    }

    /// Writes a file about a photo beside it.
    pub fn write_beside(
        &self,
        picture: &str,
        ending: &str,
        bytes: &[u8],
        mode: u32,
    ) -> io::Result<PathBuf> {
        let name = Name::of_picture(picture).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "not the name of a photo")
        })?;
        let folder = self.root.join(&name.day);
        // The photographer may have moved the day's photos away; what is said about them must not
        // be lost.
        durable::make_folder(&folder)?;
        let path = folder.join(format!("{}.{ending}", name.stem));
        durable::replace(&path, bytes, mode)?;
        Ok(path)
    }

    /// Writes a JSON file about a photo beside it.
    pub fn write_json(
        &self,
        picture: &str,
        ending: &str,
        value: &impl Serialize,
    ) -> io::Result<PathBuf> {
        let mut bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
        bytes.push(b'\n');
        self.write_beside(picture, ending, &bytes, durable::SHARED)
    }

    fn incoming(&self, id: EntryId, name: &Name, ending: &str) -> PathBuf {
        self.root
            .join("incoming")
            .join(format!("{id}_{}_{}.{ending}", name.day, name.stem))
    }
}

/// What a folder holds, in the order of the names: photos are named by their time.
fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for file in fs::read_dir(folder)? {
        paths.push(file?.path());
    }
    paths.sort();
    Ok(paths)
}

fn is_day(name: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    name.len() == 10
        && name.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => is_digit(byte),
        })
}

/// The stem of a sidecar; leaves have a dot more in their ending.
fn stem_of_sidecar(path: PathBuf) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let is_leaves = name.ends_with(&format!(".{LEAVES}"));
    let stem = name.strip_suffix(SIDECAR)?.strip_suffix('.')?;
    (!is_leaves).then(|| stem.to_owned())
}

fn stem_of_receipt(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(RECEIPT)?.strip_suffix('.')?;
    Some(stem.to_owned())
}

fn parse_incoming(file: &str) -> Option<(EntryId, Name)> {
    let mut parts = file.splitn(3, '_');
    let id = parts.next()?.parse().ok()?;
    let (day, rest) = (parts.next()?, parts.next()?);
    let stem = ENDINGS
        .iter()
        .find_map(|ending| rest.strip_suffix(ending)?.strip_suffix('.'))?;
    Name::of_picture(&format!("{day}/{stem}.jpg")).map(|name| (id, name))
}

#[cfg(test)]
mod tests {
    use birthmark_sensor::ClockQuality;

    use super::*;

    fn name(id: EntryId) -> Name {
        Name::new(
            Moment {
                unix_ns: 1_795_176_000_123_000_000,
                clock: ClockQuality::Free,
            },
            id,
        )
    }

    #[test]
    fn names_say_the_day_and_the_millisecond_and_can_be_read_back() {
        let name = name(EntryId::new(1, 0xabcd12));
        assert_eq!(name.picture(), "2026-11-20/20261120T120000.123Z-abcd.jpg");
        assert_eq!(Name::of_picture(&name.picture()), Some(name));
        for wrong in [
            "x.jpg",
            "../x.jpg",
            "a/b/c.jpg",
            "a/.jpg",
            "a/.x.jpg",
            "a/b.png",
            "/b.jpg",
        ] {
            assert_eq!(Name::of_picture(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn after_a_crash_proven_photos_appear_and_others_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let album = Album::open(folder.path()).unwrap();
        let (proven, unproven) = (EntryId::new(1, 0x100), EntryId::new(2, 0x200));
        for id in [proven, unproven] {
            album.bring_in(id, &name(id), "dng", b"frame").unwrap();
            album.bring_in(id, &name(id), "jpg", b"picture").unwrap();
        }
        fs::write(folder.path().join("incoming/half"), b"?").unwrap();
        album.recover(|id| id == proven).unwrap();
        assert_eq!(
            fs::read(folder.path().join(name(proven).picture())).unwrap(),
            b"picture"
        );
        assert_eq!(
            fs::read_dir(folder.path().join("2026-11-20"))
                .unwrap()
                .count(),
            2
        );
        assert_eq!(
            fs::read_dir(folder.path().join("incoming"))
                .unwrap()
                .count(),
            0
        );
        assert_eq!(album.recover(|_| false).unwrap(), (0, 0));
    }

    #[test]
    fn room_is_made_by_the_oldest_photos_that_have_receipts_and_their_proofs_stay() {
        let folder = tempfile::tempdir().unwrap();
        let album = Album::open(folder.path()).unwrap();
        let at = |name: &str| folder.path().join(name);
        for day in ["2026-11-19", "2026-11-20", "holiday"] {
            fs::create_dir(at(day)).unwrap();
            for ending in ["jpg", "dng", "json", "leaves.json", "jpg.birthmark"] {
                fs::write(at(&format!("{day}/a.{ending}")), b"x").unwrap();
            }
        }
        fs::write(at("2026-11-19/waiting.jpg"), b"x").unwrap();
        fs::write(at("2026-11-19/waiting.json"), b"x").unwrap();
        let (days, newest) = album.newest(2).unwrap();
        assert_eq!(days, ["2026-11-20", "2026-11-19"]);
        let named: Vec<String> = newest.iter().map(Name::picture).collect();
        assert_eq!(named, ["2026-11-20/a.jpg", "2026-11-19/waiting.jpg"]);
        let gone = |name: &str| !at(name).exists();
        let one_is_gone = || Ok(gone("2026-11-19/a.jpg"));
        assert_eq!(album.remove_registered(one_is_gone).unwrap(), 1);
        assert!(gone("2026-11-19/a.jpg") && gone("2026-11-19/a.dng"));
        assert!(!gone("2026-11-20/a.jpg"));
        assert_eq!(album.remove_registered(|| Ok(false)).unwrap(), 1);
        for kept in [
            "2026-11-19/waiting.jpg",
            "2026-11-19/a.json",
            "2026-11-19/a.jpg.birthmark",
            "2026-11-20/a.leaves.json",
            "holiday/a.jpg",
        ] {
            assert!(!gone(kept), "{kept}");
        }
        assert!(gone("2026-11-20/a.jpg"));
        assert_eq!(album.remove_registered(|| Ok(false)).unwrap(), 0);
    }

    #[test]
    fn nothing_is_written_outside_the_album() {
        let folder = tempfile::tempdir().unwrap();
        let album = Album::open(folder.path()).unwrap();
        assert!(
            album
                .write_beside("../../etc/x.jpg", "json", b"{}", 0o600)
                .is_err()
        );
        let path = album
            .write_beside("2026-11-20/a.jpg", "jpg.birthmark", b"{}", 0o600)
            .unwrap();
        assert_eq!(path, folder.path().join("2026-11-20/a.jpg.birthmark"));
    }
}
