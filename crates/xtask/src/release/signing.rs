//! The owner's key, by way of the owner's gpg: a key in a file would have to be guarded here as
//! well.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::house;

/// A key that gpg can sign with.
#[derive(Debug)]
pub(crate) struct Key(String);

impl Key {
    /// The key of this fingerprint. A shorter name can be another's: anybody can make a key with
    /// the same last digits, or the same address.
    pub(crate) fn find(fingerprint: &str) -> anyhow::Result<Self> {
        let fingerprint: String = fingerprint.split_whitespace().collect();
        let fingerprint = fingerprint.to_ascii_uppercase();
        let is_whole = matches!(fingerprint.len(), 40 | 64)
            && fingerprint.bytes().all(|digit| digit.is_ascii_hexdigit());
        ensure!(
            is_whole,
            "--key: give the whole fingerprint of the owner's key, 40 hexadecimal digits, as `gpg --list-secret-keys` prints it"
        );
        let known = gpg().arg("--list-secret-keys").arg(&fingerprint).output();
        ensure!(
            known.context("cannot start gpg")?.status.success(),
            "--key: gpg has no secret key {fingerprint} here: insert the owner's smart card, or sign on the owner's machine"
        );
        Ok(Self(fingerprint))
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.0
    }

    /// The public half, as people import it.
    pub(crate) fn public(&self) -> anyhow::Result<String> {
        house::output(gpg().args(["--armor", "--export"]).arg(&self.0))
    }

    /// A signature in a file of its own.
    pub(crate) fn sign(&self, file: &Path, signature: &Path) -> anyhow::Result<()> {
        self.made(&["--armor", "--detach-sign"], file, signature)
    }

    /// The same text with the signature around it.
    pub(crate) fn sign_within(&self, file: &Path, signed: &Path) -> anyhow::Result<()> {
        self.made(&["--clearsign"], file, signed)
    }

    fn made(&self, how: &[&str], file: &Path, to: &Path) -> anyhow::Result<()> {
        let mut sign = gpg();
        sign.args(["--local-user", &self.0]).arg("--output").arg(to);
        house::run(sign.args(how).arg(file))
            .with_context(|| format!("signing {} with {}", file.display(), self.0))
    }
}

fn gpg() -> Command {
    let mut gpg = Command::new("gpg");
    gpg.args(["--batch", "--no-tty", "--yes", "--digest-algo", "SHA512"]);
    gpg
}
