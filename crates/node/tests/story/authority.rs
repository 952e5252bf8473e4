//! A real manufacturer authority on a free port.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use birthmark_daemon::Credentials;
use birthmark_node::settings::AuthoritySettings;
use birthmark_sma::setup::{self, Root};
use birthmark_testkit::Running;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::process::Process;

pub const NAME: &str = "test-maker";

pub struct Authority {
    folder: PathBuf,
    settings: birthmark_sma::Settings,
    running: Option<Running>,
    pub url: String,
}

fn credentials(folder: &Path) -> Credentials {
    let at = folder.join("credentials");
    std::fs::create_dir_all(&at).unwrap();
    for name in [setup::VAULT_CREDENTIAL, setup::ROOT_CREDENTIAL] {
        std::fs::write(at.join(name), "a passphrase for tests only").unwrap();
        std::fs::set_permissions(at.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    Credentials::at(at)
}

impl Authority {
    pub async fn found(folder: &Path) -> Self {
        Self::found_named(folder, NAME).await
    }

    pub async fn found_named(folder: &Path, name: &str) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let rehearsal = birthmark_sma::Settings::rehearsal(name);
        let settings = birthmark_sma::Settings {
            // Cameras of the documents bind their tokens to no photo.
            provisioning: birthmark_sma::settings::Provisioning {
                older_cameras: true,
                simulate_nuc: false,
                ..rehearsal.provisioning
            },
            database: format!("sqlite://{}", folder.join("authority.db").display()),
            listen: "127.0.0.1:0".parse().unwrap(),
            control: folder.join("control.sock"),
            limits: birthmark_sma::settings::Limits {
                requests_per_second: 0,
                public_questions_per_second: 0,
                ..Default::default()
            },
            ..rehearsal
        };
        let root = Root::New {
            key_file: &folder.join("root.key.pem"),
        };
        let founded = setup::found(&settings, &credentials(&folder), root, None, |_| {})
            .await
            .unwrap();
        for (file, text) in [
            ("root.pem", &founded.root),
            ("intermediate.pem", &founded.intermediate),
            ("verdict.pem", &founded.verdict_key),
        ] {
            std::fs::write(folder.join(file), text).unwrap();
        }
        let mut authority = Self {
            folder,
            settings,
            running: None,
            url: String::new(),
        };
        authority.start().await;
        authority
    }

    /// Starts, at the same address as before if there was one.
    pub async fn start(&mut self) {
        let credentials = credentials(&self.folder);
        let running = Running::start(self.settings.clone(), credentials, birthmark_sma::run).await;
        let running = running.unwrap();
        self.settings.listen = running.addresses().tcp("http").unwrap();
        self.url = format!("http://{}", self.settings.listen);
        self.running = Some(running);
    }

    pub async fn stop(&mut self) {
        self.running.take().unwrap().stop().await.unwrap();
    }

    /// Stops, and starts at the same address with other settings.
    pub async fn restart(&mut self, change: impl FnOnce(&mut birthmark_sma::Settings)) {
        self.stop().await;
        change(&mut self.settings);
        self.start().await;
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.settings.listen
    }

    /// Stops, and goes on as a process of its own at the same address, with the limits it ships
    /// with.
    pub async fn as_process(&mut self) -> Process {
        self.stop().await;
        self.settings = birthmark_sma::Settings {
            limits: birthmark_sma::settings::Limits::default(),
            rehearsal: false,
            ..self.settings.clone()
        };
        let (program, config) = self.program();
        let credentials = self.folder.join("credentials");
        let process = Process::spawn(&program, &config, &credentials, &[]);
        let health = format!("{}/health", self.url);
        for _ in 0..1200 {
            if crate::world::client().get(&health).send().await.is_ok() {
                return process;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("the authority did not come up");
    }

    /// The authority's own program, built beside the node's, and the file with its settings.
    fn program(&self) -> (PathBuf, PathBuf) {
        let config = self.folder.join("authority.toml");
        std::fs::write(&config, toml::to_string(&self.settings).unwrap()).unwrap();
        let node = Path::new(env!("CARGO_BIN_EXE_birthmark-node"));
        (node.with_file_name("birthmark-sma"), config)
    }

    /// What a person types on the authority's machine; what its program printed.
    pub fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let (program, config) = self.program();
        let mut command = std::process::Command::new(program);
        command.args(arguments).arg("--config").arg(config);
        command.env("CREDENTIALS_DIRECTORY", self.folder.join("credentials"));
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stderr)),
        }
    }

    /// Asks as this machine's administrator does, through the control socket; the answer's body.
    async fn control(&self, request: &str, body: &str) -> String {
        let mut socket = UnixStream::connect(&self.settings.control).await.unwrap();
        let text = format!(
            "{request} HTTP/1.1\r\nhost: authority\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Makes a token for a validator.
    pub async fn token(&self, name: &str) -> String {
        let body = json!({"name": name, "roles": ["validate"]}).to_string();
        let answer = self.control("POST /control/tokens", &body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Withdraws a validator's token.
    pub async fn withdraw(&self, name: &str) {
        let request = format!("DELETE /control/tokens/{name}");
        self.control(&request, "").await;
    }

    /// What a node pins.
    pub fn entry(&self) -> AuthoritySettings {
        AuthoritySettings {
            ca: vec![
                self.folder.join("root.pem"),
                self.folder.join("intermediate.pem"),
            ],
            verdict_keys: vec![self.folder.join("verdict.pem")],
            ..AuthoritySettings::new(&self.settings.manufacturer_id, &self.url)
        }
    }

    /// Revokes a camera; the revocation's id.
    pub async fn revoke(&self, serial: &str) -> String {
        let request = json!({"scope": {"kind": "device", "serial": serial}, "reason": "stolen"});
        let answer = crate::world::client()
            .post(format!("{}/api/v1/revocations", self.url))
            .json(&request)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        let answer: Value = answer.json().await.unwrap();
        answer["id"].to_string()
    }

    /// Ends a revocation.
    pub async fn lift(&self, id: &str) {
        let answer = crate::world::client()
            .delete(format!("{}/api/v1/revocations/{id}", self.url))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    pub async fn provision(&self, serial: &str, public_key_pem: &str) -> Value {
        let request = json!({"device_serial": serial, "device_family": "Test Camera", "device_public_key": public_key_pem,
            "nuc_hash": crate::camera::digest().to_string()});
        let answer = crate::world::client()
            .post(format!("{}/api/v1/devices/provision", self.url))
            .json(&request)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        answer.json().await.unwrap()
    }
}
