//! What is to be verified: files, all files of folders, standard input, digests.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use birthmark_verify::subject::typed_digest;
use birthmark_verify::{FileDigests, FileKind};

use crate::digests;

/// One thing to verify.
#[derive(Debug)]
pub struct Subject {
    /// As it was named.
    pub name: String,
    /// The file, if there is one that can be read again.
    pub path: Option<PathBuf>,
    /// Its digests, or why there are none.
    pub digests: Result<FileDigests, String>,
}

/// Reads everything that was named, in that order. Of a folder's files those count that are
/// pictures.
pub fn read(names: &[String]) -> anyhow::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for name in names {
        let path = Path::new(name);
        if name == "-" {
            subjects.push(standard_input()?);
        } else if path.is_dir() {
            let before = subjects.len();
            read_folder(path, &mut subjects)?;
            anyhow::ensure!(subjects.len() > before, "{name} holds no picture");
        } else if let (false, Ok(digest)) = (path.exists(), typed_digest(name)) {
            subjects.push(Subject {
                name: name.clone(),
                path: None,
                digests: Ok(FileDigests::of_digest(digest)),
            });
        } else {
            subjects.push(file(path));
        }
    }
    Ok(subjects)
}

/// One photo or digest.
pub fn one(name: &str) -> anyhow::Result<Subject> {
    anyhow::ensure!(
        !Path::new(name).is_dir(),
        "{name} is a folder; name one photo"
    );
    let mut subjects = read(std::slice::from_ref(&name.to_owned()))?;
    subjects.pop().context("nothing was named")
}

fn file(path: &Path) -> Subject {
    Subject {
        name: path.display().to_string(),
        path: Some(path.to_owned()),
        digests: digests::of(path).map_err(|error| format!("{error:#}")),
    }
}

fn read_folder(folder: &Path, subjects: &mut Vec<Subject>) -> anyhow::Result<()> {
    let unreadable = || format!("cannot read the folder {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(unreadable)?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(unreadable)?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_folder(&path, subjects)?;
            continue;
        }
        let subject = file(&path);
        let is_other = subject
            .digests
            .as_ref()
            .is_ok_and(|digests| matches!(digests.kind, FileKind::NoPicture | FileKind::Empty));
        if !is_other {
            subjects.push(subject);
        }
    }
    Ok(())
}

fn standard_input() -> anyhow::Result<Subject> {
    let input = std::io::stdin();
    anyhow::ensure!(
        !input.is_terminal(),
        "`-` reads a photo from standard input, which is a terminal here"
    );
    Ok(Subject {
        name: "standard input".into(),
        path: None,
        digests: digests::read(input.lock()).map_err(|error| error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_pictures_in_order_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        for (name, content) in [
            ("b.gif", "GIF89a"),
            ("inner/a.gif", "GIF89a other"),
            ("notes.txt", "no picture"),
            ("empty.jpg", ""),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let named = folder.path().display().to_string();
        let found = read(&[named.clone(), "ab".repeat(32)]).unwrap();
        let names: Vec<_> = found.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(
            names,
            [
                &format!("{named}/b.gif"),
                &format!("{named}/inner/a.gif"),
                &"ab".repeat(32)
            ]
        );
        let missing = read(&["missing.jpg".into()]).unwrap();
        assert!(missing[0].digests.is_err());
        std::fs::remove_file(folder.path().join("b.gif")).unwrap();
        std::fs::remove_dir_all(inner).unwrap();
        assert!(
            read(&[named]).is_err(),
            "a folder without pictures is no success"
        );
    }
}
