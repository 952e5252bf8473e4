//! An authority and a validator, founded with their own commands as their documents say.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Daemon, command, run};

const MAKER: &str = "STORY_MAKER";

/// The files of both, in one folder; what runs is the caller's.
pub struct Institutions {
    folder: PathBuf,
    pub authority: String,
    pub validator: String,
}

impl Institutions {
    /// Founds both. `chip_makers` are the certificates of TPM makers the authority believes.
    pub fn found(folder: &Path, chip_makers: &[String]) -> Self {
        let [authority, validator] = free_ports().map(|port| format!("127.0.0.1:{port}"));
        let institutions = Self {
            folder: folder.to_owned(),
            authority: format!("http://{authority}"),
            validator: format!("http://{validator}"),
        };
        institutions.found_authority(&authority, chip_makers);
        institutions.found_validator(&validator);
        institutions
    }

    pub fn start_authority(&self) -> Daemon {
        Daemon::start("sma", &self.folder)
    }

    pub fn start_validator(&self) -> Daemon {
        Daemon::start("node", &self.folder)
    }

    pub fn genesis(&self) -> PathBuf {
        self.folder.join("genesis.toml")
    }

    /// Changes a daemon's settings; it must find what it replaces.
    pub fn change(&self, daemon: &str, from: &str, to: &str) {
        let file = self.folder.join(format!("{daemon}.toml"));
        let settings = fs::read_to_string(&file).unwrap();
        assert!(settings.contains(from), "{settings}");
        fs::write(file, settings.replacen(from, to, 1)).unwrap();
    }

    /// What an administrator has the authority do.
    pub fn administer(&self, arguments: &[&str]) -> String {
        run(command("sma", &self.folder).args(arguments))
    }

    /// A public file of the authority.
    pub fn public(&self, name: &str) -> PathBuf {
        self.folder.join("public").join(name)
    }

    /// A token that enrols the camera of this serial.
    pub fn enrolment_token(&self, name: &str, serial: &str) -> String {
        let create = ["token", "create", name, "--role", "provision"];
        let mut command = command("sma", &self.folder);
        let token = run(command.args(create).args(["--serial", serial]));
        token.trim().to_owned()
    }

    /// The master key of a table, which only the authority has.
    pub fn master_key(&self, table: i64) -> String {
        let file = self.folder.join("key_tables.json");
        if !file.exists() {
            let mut export = command("sma", &self.folder);
            run(export.args(["export", "key-tables", "--to"]).arg(&file));
        }
        let tables: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let tables = tables["key_tables"].as_array().unwrap();
        let entry = tables.iter().find(|entry| entry["table_id"] == table);
        entry.unwrap()["master_key"].as_str().unwrap().to_owned()
    }

    fn found_authority(&self, listen: &str, chip_makers: &[String]) {
        let folder = &self.folder;
        secret(folder, "sma-keys/authority-vault");
        secret(folder, "sma-keys/root-passphrase");
        fs::create_dir(folder.join("chip-makers")).unwrap();
        for (number, certificate) in chip_makers.iter().enumerate() {
            let name = format!("chip-makers/{number}.pem");
            fs::write(folder.join(name), certificate).unwrap();
        }
        // A camera that nobody calibrated gets a fingerprint that is made up.
        let settings = format!(
            "manufacturer_id = {MAKER:?}\nendpoint = \"{}/validate-cert\"\nlisten = {listen:?}\n\
             database = \"sqlite://{}\"\ncontrol = {:?}\n[provisioning]\nsimulate_nuc = true\ntpm_roots = {:?}\nrequire_attestation = true\n",
            self.authority,
            folder.join("authority.db").display(),
            folder.join("control"),
            folder.join("chip-makers"),
        );
        fs::write(folder.join("sma.toml"), settings).unwrap();
        fs::create_dir(folder.join("public")).unwrap();
        let mut init = command("sma", folder);
        init.arg("init")
            .arg("--root-key")
            .arg(folder.join("root.key.pem"));
        run(init.arg("--out").arg(folder.join("public")));
    }

    fn found_validator(&self, listen: &str) {
        let folder = &self.folder;
        let settings = format!(
            "database = \"sqlite://{}\"\ngenesis = {:?}\ndefault_authority = {MAKER:?}\n[http]\nlisten = {listen:?}\n\
             [blocks]\nbatch_wait_ms = 50\n[[authorities]]\nid = {MAKER:?}\nendpoint = {:?}\naliases = [\"{}/validate-cert\"]\n\
             ca = [{:?}]\nverdict_keys = [{:?}]\nrevocations = \"{}/api/v1/revocations\"\n",
            folder.join("node.db").display(),
            self.genesis(),
            self.authority,
            self.authority,
            self.public("intermediate.pem"),
            self.public("verdict-key.pem"),
            self.authority,
        );
        fs::write(folder.join("node.toml"), settings).unwrap();
        let mut keys = command("node", folder);
        keys.arg("keys").arg(folder.join("node-keys"));
        let entry = run(keys.args(["--name", "validator.story.example"]));
        fs::write(folder.join("validator.toml"), entry).unwrap();
        let mut genesis = command("node", folder);
        genesis.arg("genesis").arg(self.genesis());
        genesis.args(["--chain-id", "story.example/registry"]);
        // Its cameras paint their scenes.
        genesis.args(["--rehearsal", "--validator"]);
        run(genesis.arg(folder.join("validator.toml")));
        run(command("node", folder).arg("check-config"));
    }
}

/// A credential made of chance.
fn secret(folder: &Path, name: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let random = fs::read("/proc/sys/kernel/random/uuid").unwrap();
    fs::write(&path, random.repeat(2)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn free_ports() -> [u16; 2] {
    // Both at once, so that they differ.
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
