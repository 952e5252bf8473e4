//! A real manufacturer authority on a free port.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use birthmark_daemon::Credentials;
use birthmark_node::settings::AuthoritySettings;
use birthmark_sma::setup::{self, Root};
use birthmark_testkit::Running;
use serde_json::{Value, json};

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
        let settings = birthmark_sma::Settings {
            database: format!("sqlite://{}", folder.join("authority.db").display()),
            manufacturer_id: name.into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            control: folder.join("control.sock"),
            limits: birthmark_sma::settings::Limits {
                requests_per_second: 0,
                burst: 0,
                ..Default::default()
            },
            ..Default::default()
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
        let request = json!({"device_serial": serial, "device_family": "Test Camera", "device_public_key": public_key_pem});
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
