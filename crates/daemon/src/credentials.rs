//! Secrets come by file from systemd credentials, and from nowhere else.
//!
//! Not from the configuration, the environment or the command line: all three are readable by too
//! many. Whoever can change a file in `$CREDENTIALS_DIRECTORY` is root or the service manager.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The largest credential we read. systemd's own limit is one megabyte for all of them together.
const LARGEST: u64 = 1024 * 1024;

/// Why a credential could not be had. Every sentence names the credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// No file of that name.
    #[error(
        "credential `{name}` is missing: add `LoadCredential={name}:/path/to/{name}` to the unit (or LoadCredentialEncrypted=)"
    )]
    Missing {
        /// The name of the credential.
        name: String,
    },
    /// The process was started without any credentials.
    #[error(
        "credential `{name}` is missing, because $CREDENTIALS_DIRECTORY is not set: start through systemd with `LoadCredential={name}:/path/to/{name}`, or set it to the folder with the file `{name}`"
    )]
    NoDirectory {
        /// The name of the credential.
        name: String,
    },
    /// Others than the owner and its group may use the file.
    #[error(
        "credential `{name}` is refused: {path} is open to all users (mode {mode:04o}); use mode 0400"
    )]
    Exposed {
        /// The name of the credential.
        name: String,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is there but cannot be used.
    #[error("credential `{name}` is unusable: {reason}")]
    Unusable {
        /// The name of the credential.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl CredentialError {
    fn unusable(name: &str, reason: impl ToString) -> Self {
        Self::Unusable {
            name: name.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// The folder systemd put this service's credentials in.
#[derive(Debug, Clone)]
pub struct Credentials {
    directory: Option<PathBuf>,
}

impl Credentials {
    /// The folder `$CREDENTIALS_DIRECTORY` names; if it names none, every secret is missing.
    pub fn from_environment() -> Self {
        Self {
            directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }

    /// A folder somebody else prepared, as the demonstration does.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: Some(directory.into()),
        }
    }

    /// No credentials at all.
    pub fn none() -> Self {
        Self { directory: None }
    }

    /// The secret of that name, which must be there.
    pub fn secret(&self, name: &str) -> Result<Secret, CredentialError> {
        if let Some(secret) = self.optional(name)? {
            return Ok(secret);
        }
        let name = name.to_owned();
        Err(match self.directory {
            Some(_) => CredentialError::Missing { name },
            None => CredentialError::NoDirectory { name },
        })
    }

    /// The secret of that name, if there is one. A file that is there but unusable is an error, not
    /// an absence.
    pub fn optional(&self, name: &str) -> Result<Option<Secret>, CredentialError> {
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return Err(CredentialError::unusable(name, "not a credential's name"));
        }
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        let path = directory.join(name);
        match std::fs::File::open(&path) {
            Ok(file) => read(name, &path, file).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CredentialError::unusable(name, error)),
        }
    }
}

fn read(name: &str, path: &Path, file: std::fs::File) -> Result<Secret, CredentialError> {
    let unusable = |error: std::io::Error| CredentialError::unusable(name, error);
    let about = file.metadata().map_err(unusable)?;
    if !about.is_file() {
        return Err(CredentialError::unusable(name, "not a regular file"));
    }
    let mode = about.permissions().mode() & 0o7777;
    // The group bits stay unjudged: systemd's access lists for the service's user show up there as
    // their mask.
    if mode & 0o007 != 0 {
        let (name, path) = (name.to_owned(), path.to_owned());
        return Err(CredentialError::Exposed { name, path, mode });
    }
    if about.len() > LARGEST {
        return Err(CredentialError::unusable(name, "larger than 1 MiB"));
    }
    // Room for everything at once: a vector that grows would leave copies behind.
    let room = usize::try_from(about.len())
        .map_err(|_| CredentialError::unusable(name, "larger than memory"))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(about.len())
        .read_to_end(&mut bytes)
        .map_err(unusable)?;
    Ok(Secret {
        name: name.to_owned(),
        bytes,
    })
}

/// The content of a credential: wiped from memory when dropped, and not printable.
#[derive(Clone)]
pub struct Secret {
    name: String,
    bytes: Zeroizing<Vec<u8>>,
}

impl Secret {
    /// The bytes exactly as they are in the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The content as text without the newline an editor leaves at its end.
    pub fn text(&self) -> Result<&str, CredentialError> {
        let text = std::str::from_utf8(&self.bytes)
            .map_err(|_| CredentialError::unusable(&self.name, "not UTF-8 text"))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        Ok(text.strip_suffix('\r').unwrap_or(text))
    }

    /// The content as exactly `N` bytes.
    pub fn array<const N: usize>(&self) -> Result<Zeroizing<[u8; N]>, CredentialError> {
        let mut array = Zeroizing::new([0; N]);
        if self.bytes.len() != N {
            let reason = format!("has {} bytes, must have {N}", self.bytes.len());
            return Err(CredentialError::unusable(&self.name, reason));
        }
        array.copy_from_slice(&self.bytes);
        Ok(array)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Secret({})", self.name)
    }
}
