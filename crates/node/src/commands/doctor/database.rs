//! Whether the database can be read, is this registry's, and has room on its disk.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use birthmark_http::database::cannot_open;

use super::{DATABASE_PATIENCE, Report};
use crate::disk::free_bytes;
use crate::registry::Registry;
use crate::settings::Settings;
use crate::store::Store;
use crate::{clock, identity};

impl Report {
    /// However large the database is and whatever it is busy with, doctor does not wait for ever,
    /// and does not keep it busy.
    pub(super) async fn patient_with_database(
        &mut self,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        let looked = tokio::time::timeout(DATABASE_PATIENCE, self.database(settings)).await;
        let Ok(looked) = looked else {
            self.database_hangs = true;
            return self.ill(
                &format!(
                    "the database did not answer within {} s, and nothing more is asked of it",
                    DATABASE_PATIENCE.as_secs()
                ),
                "Look at its server and disk, and at who holds its locks; `birthmark-node fsck` reads all of it.",
            );
        };
        looked
    }

    /// Looks at the database without making or changing anything: whoever runs this may be another
    /// user than the daemon.
    async fn database(&mut self, settings: &Settings) -> anyhow::Result<()> {
        self.ownership(settings)?;
        let store = match Store::look(&settings.database).await {
            Ok(Some(store)) => store,
            Ok(None) => {
                return self.well("there is no database yet: the node makes it at its first start");
            }
            Err(error) => {
                let explained = cannot_open(settings.database.as_str(), &error);
                return self.ill(
                    &format!("{explained} ({error})"),
                    "Start it, or correct `database` in the configuration.",
                );
            }
        };
        let looked = self.contents(settings, &store).await;
        store.close().await;
        looked
    }

    async fn contents(&mut self, settings: &Settings, store: &Store) -> anyhow::Result<()> {
        let unreadable = "Run `birthmark-node fsck`, then restore a backup.";
        let stored = match store.state("genesis").await {
            Ok(stored) => stored,
            Err(error) => return self.ill(&format!("database: {error}"), unreadable),
        };
        match store.waiting_authorities().await {
            Ok(waiting) => {
                for (name, count, since) in waiting {
                    let seconds = clock::now().since(since);
                    self.well(&format!(
                        "{count} submissions wait for the authority {name:?}, the oldest for {seconds} s"
                    ))?;
                }
            }
            Err(error) => self.ill(&format!("database: {error}"), unreadable)?,
        }
        // What is wrong with the genesis file was said with the keys.
        let Ok(genesis) = identity::read_genesis(&settings.genesis) else {
            return Ok(());
        };
        let Some(stored) = stored else {
            return self.well("the database is empty");
        };
        let given = genesis.hash();
        if stored != given.as_bytes() {
            let held = hex::encode(&stored);
            return self.ill(
                &format!("the database holds the registry with the genesis hash {held}, the genesis file has {given}"),
                "Name the genesis file of this database in `genesis`, or another `database`. Nothing is damaged.",
            );
        }
        match Registry::open(store.clone(), genesis).await {
            Ok(registry) => {
                let tip = registry.tip();
                self.well(&format!(
                    "database holds {} records in {} blocks",
                    tip.frontier().size(),
                    tip.height()
                ))
            }
            Err(error) => self.ill(&format!("database: {error}"), unreadable),
        }
    }

    /// A file of the database that belongs to another user than its folder: the daemon reads it and
    /// cannot write.
    fn ownership(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let Some(file) = settings.database.file() else {
            return Ok(());
        };
        let owner = |path: &Path| std::fs::metadata(path).map(|about| about.uid()).ok();
        let Some(folder) = settings.data_folder() else {
            return Ok(());
        };
        let Some(of_folder) = owner(&folder) else {
            return Ok(());
        };
        for ending in ["", "-wal", "-shm"] {
            let mut name = file.as_os_str().to_owned();
            name.push(ending);
            let path = PathBuf::from(name);
            if owner(&path).is_some_and(|of_file| of_file != of_folder) {
                self.ill(
                    &format!(
                        "{} does not belong to the user its folder belongs to",
                        path.display()
                    ),
                    &format!(
                        "The daemon cannot write it: chown --reference={} {}",
                        folder.display(),
                        path.display()
                    ),
                )?;
            }
        }
        Ok(())
    }

    pub(super) fn disk(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let Some(folder) = settings.data_folder() else {
            return Ok(());
        };
        // Before the first start systemd has not made the folder; its disk is that of the folder
        // above.
        let mut existing = folder.as_path();
        while !existing.exists() {
            let Some(above) = existing.parent() else {
                return Ok(());
            };
            existing = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                above
            };
        }
        if existing != folder {
            self.well(&format!(
                "{} is not there yet: systemd makes it at the first start",
                folder.display()
            ))?;
        }
        let reserve = settings.limits.disk_reserve_mb.saturating_mul(1 << 20);
        match free_bytes(existing) {
            Ok(free) if free < reserve => self.ill(
                &format!("{} MiB are free on the database's disk", free >> 20),
                "Make room: below `limits.disk_reserve_mb` submissions are turned away, and a full disk stops the node.",
            ),
            Ok(free) => self.well(&format!(
                "{} GiB are free on the database's disk",
                free >> 30
            )),
            Err(error) => self.ill(
                &format!("the disk of {}: {error}", existing.display()),
                "Correct `database` in the configuration.",
            ),
        }
    }
}
