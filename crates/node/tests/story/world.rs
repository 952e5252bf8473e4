//! A validator for one test: a database, keys, a genesis, a free port.

use std::path::PathBuf;
use std::time::Duration;

use birthmark_daemon::Credentials;
use birthmark_ledger::{ChainId, Genesis, KeyName, Receipt, Trusted, verify_receipt};
use birthmark_node::settings::{AuthoritySettings, Settings};
use birthmark_node::setup;
use birthmark_protocol::{Digest, Timestamp};
use birthmark_testkit::Running;
use birthmark_testkit::postgres::Postgres;
use serde_json::Value;
use tempfile::TempDir;

use crate::camera::{Camera, digest, now};

/// Which database a story is told on.
pub enum Base {
    Sqlite,
    Postgres(Postgres),
}

impl Base {
    pub fn postgres() -> Self {
        Self::Postgres(Postgres::start().unwrap())
    }
}

pub struct World {
    pub folder: TempDir,
    pub base: Base,
    pub settings: Settings,
    pub genesis: Genesis,
    pub url: String,
    running: Option<Running>,
}

/// A client that trusts what it is told and gives up after a minute.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .no_proxy()
        .build()
        .unwrap()
}

impl World {
    /// Keys, genesis and settings; nothing runs.
    pub fn prepare(base: Base, folder: TempDir, authorities: Vec<AuthoritySettings>) -> Self {
        Self::prepare_named(base, folder, authorities, "library.example")
    }

    /// The same for a validator of this name.
    pub fn prepare_named(
        base: Base,
        folder: TempDir,
        authorities: Vec<AuthoritySettings>,
        name: &str,
    ) -> Self {
        let at = folder.path();
        let database = match &base {
            Base::Sqlite => format!("sqlite://{}", at.join("node.db").display()),
            Base::Postgres(server) => server.database("node").unwrap(),
        };
        let validator = setup::create_keys(&at.join("keys"), KeyName::new(name).unwrap()).unwrap();
        let chain_id = ChainId::new("test.example/registry").unwrap();
        let genesis = setup::genesis(
            chain_id,
            Timestamp::from_unix(1_700_000_000),
            false,
            vec![validator],
        )
        .unwrap();
        setup::write_genesis(&at.join("genesis.toml"), &genesis).unwrap();
        let mut settings = Settings::new(database, at.join("genesis.toml"));
        settings.http.listen = "127.0.0.1:0".parse().unwrap();
        settings.signed_heights = Some(at.join("signed"));
        settings.blocks.batch_wait_ms = 50;
        // Blocks only for photos: stories count them.
        settings.blocks.heartbeat_s = 0;
        settings.limits.submissions_per_minute = 0;
        settings.limits.requests_per_minute = 0;
        settings.default_authority = authorities.first().map(|authority| authority.id.clone());
        settings.authorities = authorities;
        Self {
            folder,
            base,
            settings,
            genesis,
            url: String::new(),
            running: None,
        }
    }

    pub async fn started(base: Base, folder: TempDir, authorities: Vec<AuthoritySettings>) -> Self {
        let mut world = Self::prepare(base, folder, authorities);
        world.start().await;
        world
    }

    pub fn credentials(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub async fn start(&mut self) {
        self.try_start().await.unwrap();
    }

    pub async fn try_start(&mut self) -> anyhow::Result<()> {
        let credentials = Credentials::at(self.credentials());
        let running =
            Running::start(self.settings.clone(), credentials, birthmark_node::run).await?;
        let address = running.addresses().tcp(birthmark_node::HTTP_SOCKET);
        self.url = format!("http://{}", address.unwrap());
        self.running = Some(running);
        Ok(())
    }

    pub async fn stop(&mut self) {
        self.running.take().unwrap().stop().await.unwrap();
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

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = client()
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Submits and expects to be accepted.
    pub async fn submit(&self, path: &str, body: &Value) -> String {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(
            (status, answer["status"].as_str()),
            (202, Some("pending_validation")),
            "{answer}"
        );
        answer["receipt_id"].as_str().unwrap().to_owned()
    }

    /// A new photo of this camera, in a block.
    pub async fn registered(&self, camera: &Camera) -> Digest {
        let photo = digest();
        let body = camera.certificate_plan(photo, now());
        let id = self.submit("/api/v1/submit-cert", &body).await;
        self.stored(&id).await;
        photo
    }

    /// Submits and expects to be refused with a sentence.
    pub async fn refused(&self, path: &str, body: &Value) -> String {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, 400, "{answer}");
        answer["detail"].as_str().unwrap().to_owned()
    }

    /// Waits until a submission is decided.
    pub async fn decided(&self, receipt_id: &str) -> Value {
        for _ in 0..1200 {
            let (status, answer) = self.get(&format!("/api/v1/submission/{receipt_id}")).await;
            assert_eq!(status, 200, "{answer}");
            if matches!(answer["status"].as_str(), Some("stored" | "rejected")) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("submission {receipt_id} was never decided");
    }

    pub async fn stored(&self, receipt_id: &str) -> Value {
        let fate = self.decided(receipt_id).await;
        assert_eq!(fate["status"], "stored", "{fate}");
        self.check_receipt(&fate["receipt"]);
        fate
    }

    /// The receipt holds with nothing but the genesis.
    pub fn check_receipt(&self, receipt: &Value) {
        let receipt = serde_json::from_value::<Receipt>(receipt.clone()).unwrap();
        verify_receipt(&receipt, &Trusted::genesis(&self.genesis)).unwrap();
    }

    /// The receipt that the interface gives of a digest holds, too.
    pub async fn check_receipt_of(&self, digest: &str) {
        let url = format!("{}/api/v1/receipt/{digest}", self.url);
        let answer = client().get(url).send().await.unwrap();
        let receipt = Receipt::parse(&answer.bytes().await.unwrap()).unwrap();
        verify_receipt(&receipt, &Trusted::genesis(&self.genesis)).unwrap();
    }

    pub async fn verify(&self, image: &Digest) -> (u16, Value) {
        self.get(&format!("/api/v1/verify/{image}")).await
    }
}
