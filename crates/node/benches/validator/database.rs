//! The database a run is made on: a file, or a PostgreSQL server of its own on the same cores.

use std::path::{Path, PathBuf};

use birthmark_testkit::postgres::Postgres;

use crate::process::{cpu_seconds, family_cpu_seconds};

pub struct Database {
    folder: PathBuf,
    url: String,
    server: Option<Postgres>,
}

impl Database {
    /// SQLite in this folder.
    pub fn sqlite(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            url: format!("sqlite://{}", folder.join("node.db").display()),
            server: None,
        }
    }

    /// A server that keeps its data in this folder. While it is filled nothing is flushed; measured
    /// is with every promise.
    pub fn postgres(folder: &Path, is_durable: bool) -> Self {
        let flush = if is_durable { "fsync=on" } else { "fsync=off" };
        // Long checkpoints are what docs/VALIDATOR.md recommends.
        let options = [
            flush,
            "synchronous_commit=on",
            "shared_buffers=2GB",
            "max_wal_size=4GB",
            "checkpoint_timeout=30min",
        ];
        let server = Postgres::kept(&folder.join("postgres"), &options).unwrap();
        let url = match server.has_database("node").unwrap() {
            true => server.database_url("node"),
            false => server.database("node").unwrap(),
        };
        Self {
            folder: folder.to_owned(),
            url,
            server: Some(server),
        }
    }

    pub fn is_postgres(&self) -> bool {
        self.server.is_some()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// CPU seconds of the database's own processes.
    pub fn server_cpu_seconds(&self) -> f64 {
        let server = self.server.as_ref().and_then(Postgres::id);
        server.map_or(0.0, family_cpu_seconds)
    }

    /// The same with this process, which is SQLite's.
    pub fn cpu_seconds(&self) -> f64 {
        self.server_cpu_seconds() + cpu_seconds(std::process::id())
    }
}
