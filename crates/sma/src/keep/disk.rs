//! Whether the disk under an embedded database has room.

use std::path::Path;
use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;

use crate::settings::Settings;

/// Whether the database's disk has room for more cameras; what is left is for the audit log.
/// PostgreSQL watches its own disk.
pub fn has_room(settings: &Settings) -> bool {
    if !settings.database.starts_with("sqlite:") {
        return true;
    }
    let Ok(options) = SqliteConnectOptions::from_str(&settings.database) else {
        return true;
    };
    // A bare file name has an empty parent, which means this folder.
    let folder = options.get_filename().parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let reserve = settings.disk_reserve_mb.saturating_mul(1024 * 1024);
    match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) >= reserve,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(database: &str, reserve: u64) -> bool {
        let mut settings = Settings::rehearsal("disk");
        settings.database = database.into();
        settings.disk_reserve_mb = reserve;
        has_room(&settings)
    }

    #[test]
    fn the_disk_under_an_embedded_database_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let inside = format!("sqlite://{}/authority.db", folder.path().display());
        // A bare name lies in this folder.
        for database in [&*inside, "sqlite:authority.db"] {
            assert!(asked(database, 0), "{database}");
            assert!(!asked(database, u64::MAX), "{database}");
        }
        // A server looks after its own disk.
        assert!(asked("postgres:///authority", u64::MAX));
    }
}
