//! One camera of several that may run at once: signer over an emulated TPM, and capture. And the
//! maker whose authority signs its one-time keys.

use std::fs;
use std::path::{Path, PathBuf};

use birthmark_testkit::tpm::Swtpm;
use serde_json::Value;
use tempfile::TempDir;

use crate::institutions::Institutions;
use crate::outfit::{Said, chip_auth, signer_settings};
use crate::process::{Daemon, command, log};
use crate::running::{birthmark, texts, until};

pub const FAMILY: &str = "Story camera";
pub const NAME: &str = "STORY_MAKER";

/// An authority that gives one-time keys, and a validator of its cameras.
pub struct Maker {
    pub institutions: Institutions,
    folder: PathBuf,
}

impl Maker {
    /// Founds both; nothing runs yet.
    pub fn found(folder: &Path, chip_makers: &[String]) -> Self {
        let institutions = Institutions::found(folder, chip_makers);
        // Its cameras bring their fingerprints.
        institutions.change("sma", "simulate_nuc = true", "simulate_nuc = false");
        let settings = "require_attestation = true\n[one_time]\nahead = 1\n";
        institutions.change("sma", "require_attestation = true\n", settings);
        Self {
            institutions,
            folder: folder.to_owned(),
        }
    }

    /// What the running authority does by itself within a minute.
    pub fn new_epoch(&self) {
        let mut command = command("sma", &self.folder);
        let made = command.args(["epoch", "new", "--family", FAMILY]).output();
        let made = made.unwrap();
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        // It was quicker.
        let is_there = said.contains("has a key already");
        assert!(made.status.success() || is_there, "{said}");
    }

    pub fn epoch_list(&self) -> Value {
        serde_json::from_str(&self.institutions.administer(&["epoch", "list"])).unwrap()
    }

    fn registered(&self) -> Value {
        let path = format!("/api/v1/epochs?authority={NAME}&family=Story%20camera");
        get(&format!("{}{path}", self.institutions.validator))
    }

    /// How many statements about epochs stand in the registry.
    pub fn statements(&self) -> usize {
        self.registered()["statements"].as_array().unwrap().len()
    }

    /// The epochs whose keys stand in the registry, oldest first.
    pub fn epochs(&self) -> Vec<u64> {
        let answer = self.registered();
        let mut epochs = Vec::new();
        for text in answer["statements"].as_array().unwrap() {
            use base64::Engine as _;
            use birthmark_protocol::one_time::{EpochStatement, SignedEpochStatement};
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap());
            let signed = SignedEpochStatement::decode(&bytes.unwrap()).unwrap();
            if let EpochStatement::Key(key) = signed.statement {
                epochs.push(u64::from(key.epoch));
            }
        }
        epochs
    }

    /// Waits until the registry holds this many epochs.
    pub fn has_registered(&self, epochs: usize) {
        until("the epoch's registration", || self.epochs().len() >= epochs);
    }

    /// What the validator answers about a digest.
    pub fn answer_about(&self, digest: &str) -> Value {
        let validator = &self.institutions.validator;
        get(&format!("{validator}/api/v1/verify/{digest}"))
    }

    pub fn log(&self, daemon: &str) -> String {
        log(daemon, &self.folder)
    }
}

/// Asks a server of this machine.
pub fn get(address: &str) -> Value {
    serde_json::from_str(&get_text(address)).unwrap()
}

/// The same about a text.
pub fn get_text(address: &str) -> String {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(address).send().await.unwrap();
        answer.text().await.unwrap()
    })
}

/// A provisioned camera, a maker and a validator that have met.
pub struct Stage {
    pub camera: Kit,
    pub maker: Maker,
    pub authority: Option<Daemon>,
    pub validator: Option<Daemon>,
    /// Goes last: what was said lies in it.
    pub folder: TempDir,
}

/// Everything runs, the present epoch is registered, and the camera has no keys yet.
pub fn stage(when_out: &str) -> Stage {
    let folder = TempDir::new().unwrap();
    let tpm = Swtpm::start().unwrap();
    let maker = Maker::found(folder.path(), &tpm.endorsement_authorities().unwrap());
    let authority = Some(maker.institutions.start_authority());
    let mut camera = Kit::assemble(folder.path(), "camera", 7, tpm, &maker, when_out);
    camera.provision(&maker, "ONCE-0001");
    maker.new_epoch();
    let validator = Some(maker.institutions.start_validator());
    maker.has_registered(1);
    Stage {
        folder,
        maker,
        authority,
        validator,
        camera,
    }
}

impl Stage {
    /// Moves every clock so many days from now, with a present epoch on the other side. What ran
    /// starts again there.
    pub fn travel(&mut self, days: i64) {
        self.travel_with(days, |_| {});
    }

    /// The same; the operators do this once the authority runs there.
    pub fn travel_with(&mut self, days: i64, operate: impl FnOnce(&Self)) {
        drop((self.authority.take(), self.validator.take()));
        self.camera.stop();
        fs::write(self.folder.path().join("clock"), offset(days)).unwrap();
        self.authority = Some(self.maker.institutions.start_authority());
        operate(self);
        self.maker.new_epoch();
        self.validator = Some(self.maker.institutions.start_validator());
        let present = self.maker.epoch_list();
        let epochs = present.as_array().unwrap().len();
        self.maker.has_registered(epochs);
        self.camera.set_clock(Some(days));
    }
}

fn offset(days: i64) -> String {
    format!("{days:+}d")
}

impl Drop for Kit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["signer", "capture"] {
                match fs::read_to_string(self.folder.join(format!("{name}.log"))) {
                    Ok(said) => eprintln!("{name}:\n{said}"),
                    Err(error) => eprintln!("{name} has said nothing: {error}"),
                }
            }
        }
    }
}

/// A camera in a folder of its own. What it said is shown when its test fails.
pub struct Kit {
    pub folder: PathBuf,
    pub tpm: Swtpm,
    signer: Option<Daemon>,
    capture: Option<Daemon>,
}

impl Kit {
    /// Puts it together; nothing of it runs.
    pub fn assemble(
        world: &Path,
        name: &str,
        sensor: usize,
        tpm: Swtpm,
        maker: &Maker,
        when_out: &str,
    ) -> Self {
        let folder = world.join(name);
        fs::create_dir(&folder).unwrap();
        chip_auth(&folder);
        let path = |name: &str| folder.join(name);
        let signer = signer_settings(&folder, &tpm);
        let capture = format!(
            "socket = {:?}\nphotos = {:?}\nstate = {:?}\nnode = {:?}\ngenesis = {:?}\nsigner = {:?}\n\
             anchor_seconds = 0\nkeep_free_mib = 1\nlongest_pause_seconds = 1\n\
             [source]\nkind = \"simulated\"\nsensor = {sensor}\nwidth = 320\nheight = 240\n\
             [one_time]\nauthority = {:?}\nwhen_out = {when_out:?}\nkeys_per_epoch = 2\nahead = 1\ndelay_minutes = 0\n",
            path("capture"),
            path("photos"),
            path("capture-state"),
            maker.institutions.validator,
            maker.institutions.genesis(),
            path("signer"),
            maker.institutions.authority,
        );
        fs::write(path("signer.toml"), signer).unwrap();
        fs::write(path("capture.toml"), capture).unwrap();
        Self {
            folder,
            tpm,
            signer: None,
            capture: None,
        }
    }

    pub fn provision(&mut self, maker: &Maker, serial: &str) {
        self.provision_as(maker, serial, &[]);
    }

    /// After a repair: the earlier key and its secrets are destroyed first.
    pub fn provision_again(&mut self, maker: &Maker, serial: &str) {
        self.provision_as(maker, serial, &["--again"]);
    }

    fn provision_as(&mut self, maker: &Maker, serial: &str, more: &[&str]) {
        self.start_signer();
        let token = self.folder.join("enrolment-token");
        let name = format!("lab-{serial}");
        fs::write(&token, maker.institutions.enrolment_token(&name, serial)).unwrap();
        let fingerprint = birthmark_protocol::Digest::of(serial.as_bytes()).to_hex();
        let arguments = [
            "provision",
            "--token-file",
            token.to_str().unwrap(),
            "--authority",
            &maker.institutions.authority,
            "--serial",
            serial,
            "--family",
            FAMILY,
            "--nuc-hash",
            &fingerprint,
            "--require-attestation",
        ];
        self.birthmark(&[&arguments[..], more].concat()).well();
    }

    fn start_signer(&mut self) {
        if self.signer.is_none() {
            self.signer = Some(Daemon::start("signer", &self.folder));
        }
    }

    pub fn start(&mut self) {
        self.start_signer();
        if self.capture.is_none() {
            self.capture = Some(Daemon::start("capture", &self.folder));
        }
    }

    /// In good order.
    pub fn stop(&mut self) {
        for daemon in [self.capture.take(), self.signer.take()] {
            daemon.into_iter().for_each(Daemon::stop);
        }
    }

    /// As a power cut does.
    pub fn kill(&mut self) {
        for daemon in [self.capture.take(), self.signer.take()] {
            daemon.into_iter().for_each(Daemon::kill);
        }
    }

    pub fn kill_capture(&mut self) {
        self.capture.take().into_iter().for_each(Daemon::kill);
    }

    pub fn kill_signer(&mut self) {
        self.signer.take().into_iter().for_each(Daemon::kill);
    }

    pub fn restart_capture(&mut self) {
        self.capture.take().into_iter().for_each(Daemon::stop);
        self.start();
    }

    /// The camera's own clock, so many days off.
    pub fn set_clock(&mut self, days: Option<i64>) {
        self.stop();
        let file = self.folder.join("clock");
        match days {
            Some(days) => fs::write(file, offset(days)).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
        self.start();
    }

    /// Changes one of its daemons' settings, for its next start.
    pub fn change(&self, daemon: &str, from: &str, to: &str) {
        let file = self.folder.join(format!("{daemon}.toml"));
        let settings = fs::read_to_string(&file).unwrap();
        assert!(settings.contains(from), "{settings}");
        fs::write(file, settings.replacen(from, to, 1)).unwrap();
    }

    /// How many keys it fetches at once from its next start on.
    pub fn wants(&self, keys: usize) {
        let file = self.folder.join("capture.toml");
        let settings = fs::read_to_string(&file).unwrap();
        let line = settings
            .lines()
            .find(|line| line.starts_with("keys_per_epoch"));
        self.change(
            "capture",
            line.unwrap(),
            &format!("keys_per_epoch = {keys}"),
        );
    }

    /// Starts it with so many keys wanted, and waits until they are there.
    pub fn fetches_keys(&mut self, keys: usize) {
        self.capture.take().into_iter().for_each(Daemon::stop);
        self.wants(keys);
        let said = self.said();
        self.start();
        until("the batch", || {
            let log = self.log("capture");
            log.split_at(said)
                .1
                .contains("one-time keys are ready for epoch")
        });
    }

    /// How much the camera has said so far.
    fn said(&self) -> usize {
        fs::read(self.folder.join("capture.log")).map_or(0, |log| log.len())
    }

    pub fn log(&self, daemon: &str) -> String {
        log(daemon, &self.folder)
    }

    pub fn signer_folder(&self) -> PathBuf {
        self.folder.join("signer-state")
    }

    /// Those of one epoch.
    pub fn ready_keys_of(&self, epoch: u64) -> Vec<PathBuf> {
        let folder = self
            .signer_folder()
            .join("one-time")
            .join(epoch.to_string());
        let mut keys = self.ready_keys();
        keys.retain(|key| key.starts_with(&folder));
        keys
    }

    /// The files of the keys that wait for a photo.
    pub fn ready_keys(&self) -> Vec<PathBuf> {
        let entries = |folder: PathBuf| {
            let read = fs::read_dir(folder).into_iter().flatten();
            read.map(|entry| entry.unwrap().path())
        };
        let epochs = entries(self.signer_folder().join("one-time"));
        let batches = epochs.flat_map(entries).filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("ready-")
        });
        let mut keys: Vec<_> = batches.flat_map(entries).collect();
        keys.sort();
        keys
    }

    /// `birthmark` on this camera.
    pub fn birthmark(&self, arguments: &[&str]) -> Said {
        let mut command = birthmark(arguments, &self.folder);
        for name in ["signer", "capture"] {
            command
                .arg(format!("--{name}-socket"))
                .arg(self.folder.join(name));
        }
        let output = command.output().unwrap();
        let (text, errors) = texts(&output);
        Said {
            status: output.status.code(),
            text: text + &errors,
        }
    }

    /// Takes a photo: the file of the picture.
    pub fn photo(&self) -> PathBuf {
        let taken = self.birthmark(&["capture", "--json"]);
        assert_eq!(taken.status, Some(0), "{}", taken.text);
        taken.json()["path"].as_str().unwrap().into()
    }

    pub fn receipt(photo: &Path) -> PathBuf {
        photo.with_extension("jpg.birthmark")
    }

    /// Waits for the photo's receipt.
    pub fn receipt_of(&self, photo: &Path) -> birthmark_ledger::Receipt {
        let receipt = Self::receipt(photo);
        until(&format!("the receipt of {}", photo.display()), || {
            receipt.exists()
        });
        birthmark_ledger::Receipt::parse(&fs::read(&receipt).unwrap()).unwrap()
    }

    /// The digest of the picture's file, as its sidecar has it.
    pub fn file_digest(sidecar: &Value) -> String {
        let images = sidecar["images"].as_array().unwrap();
        let file = images.iter().find(|image| image["role"] == "file");
        file.unwrap()["image_hash"].as_str().unwrap().to_owned()
    }

    pub fn sidecar(&self, photo: &Path) -> Value {
        let text = fs::read_to_string(photo.with_extension("json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}
