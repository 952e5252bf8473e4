//! An authority for one test: a database, credentials, a free port.

use std::path::{Path, PathBuf};
use std::time::Duration;

use birthmark_daemon::{Context, Credentials, Shutdown};
use birthmark_sma::settings::Settings;
use birthmark_sma::setup::{self, Founded, Root};
use birthmark_testkit::postgres::Postgres;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub const VAULT: &str = "a credential for tests only";
pub const PASSPHRASE: &str = "a passphrase for tests only";

/// Which database a story is told on.
pub enum Base {
    Sqlite,
    Postgres(Postgres),
}

pub struct Stand {
    pub folder: TempDir,
    pub settings: Settings,
    pub founded: Founded,
    pub base: Base,
    pub url: String,
    running: Option<(JoinHandle<anyhow::Result<()>>, Shutdown)>,
}

pub fn credentials(folder: &Path) -> Credentials {
    use std::os::unix::fs::PermissionsExt;
    let at = folder.join("credentials");
    std::fs::create_dir_all(&at).unwrap();
    for (name, text) in [
        (setup::VAULT_CREDENTIAL, VAULT),
        (setup::ROOT_CREDENTIAL, PASSPHRASE),
    ] {
        std::fs::write(at.join(name), text).unwrap();
        std::fs::set_permissions(at.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    Credentials::at(at)
}

/// Runs openssl in a folder; what it printed.
pub fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// A client that trusts what it is told and gives up after half a minute.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()
        .unwrap()
}

impl Stand {
    pub async fn sqlite() -> Self {
        Self::with(Base::Sqlite, |_| {}).await
    }

    pub async fn postgres() -> Self {
        Self::with(Base::Postgres(Postgres::start().unwrap()), |_| {}).await
    }

    pub async fn with(base: Base, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = TempDir::with_prefix("birthmark-sma-").unwrap();
        let database = match &base {
            Base::Sqlite => format!("sqlite://{}", folder.path().join("authority.db").display()),
            Base::Postgres(server) => server.database("authority").unwrap(),
        };
        let mut settings = Settings {
            database,
            listen: "127.0.0.1:0".parse().unwrap(),
            control: folder.path().join("control.sock"),
            ..Settings::rehearsal("test-maker")
        };
        change(&mut settings);
        let key_file = folder.path().join("root.key.pem");
        let founded = setup::found(
            &settings,
            &credentials(folder.path()),
            Root::New {
                key_file: &key_file,
            },
            None,
            |_| {},
        )
        .await
        .unwrap();
        let mut stand = Self {
            folder,
            settings,
            founded,
            base,
            url: String::new(),
            running: None,
        };
        stand.start().await;
        stand
    }

    pub async fn start(&mut self) {
        let shutdown = Shutdown::default();
        let (context, ready) = Context::embedded(credentials(self.folder.path()), shutdown.clone());
        let task = tokio::spawn(birthmark_sma::run(self.settings.clone(), context));
        match ready.await {
            Ok(addresses) => self.url = format!("http://{}", addresses.tcp("http").unwrap()),
            Err(_) => panic!("{:?}", task.await),
        }
        self.running = Some((task, shutdown));
    }

    pub async fn stop(&mut self) {
        let (task, shutdown) = self.running.take().unwrap();
        shutdown.request();
        task.await.unwrap().unwrap();
    }

    /// The PostgreSQL server of this stand.
    pub fn server(&mut self) -> &mut Postgres {
        match &mut self.base {
            Base::Postgres(server) => server,
            Base::Sqlite => panic!("not on PostgreSQL"),
        }
    }

    /// Runs the real binary with this stand's settings and credentials: what it prints, or what it
    /// complains about.
    pub async fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let file = self.path("sma.toml");
        std::fs::write(&file, toml::to_string(&self.settings).unwrap()).unwrap();
        credentials(self.folder.path());
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_birthmark-sma"));
        command
            .args(arguments)
            .arg("--config")
            .arg(&file)
            .env("CREDENTIALS_DIRECTORY", self.path("credentials"));
        let output = command.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = client()
            .post(format!("{}{path}", self.url))
            .json(body)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A new token for a validator.
    pub async fn validator(&self, name: &str) -> String {
        let create = ["token", "create", name, "--role", "validate"];
        self.command(&create).await.unwrap().trim().to_owned()
    }

    /// Asks as somebody elsewhere does: a rehearsal believes only who is on this machine.
    pub async fn post_from_elsewhere(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = client().post(format!("{}{path}", self.url));
        let answer = request.header("via", "1.1 elsewhere").json(body).send();
        let answer = answer.await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Asks with a token, from elsewhere.
    pub async fn post_as(&self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = client().post(format!("{}{path}", self.url));
        let request = request.bearer_auth(token).header("via", "1.1 elsewhere");
        let answer = request.json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Starts with these settings and credentials, and says why that ended at once.
    pub async fn refuses_to_start(&self) -> String {
        let shutdown = Shutdown::default();
        let (context, _) = Context::embedded(credentials(self.folder.path()), shutdown);
        let ended = birthmark_sma::run(self.settings.clone(), context).await;
        format!("{:#}", ended.unwrap_err())
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = client()
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}
