//! `birthmark old-settings`: what the prototype of the five documents kept in environment variables
//! and in `device_config.json`, as settings of the daemons here. Nothing is written anywhere but to
//! standard output, and no secret is passed on: each has its place among the systemd credentials,
//! and the answer says which.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

/// `birthmark old-settings`
#[derive(Args, Debug, Clone)]
pub struct OldSettingsOptions {
    /// An `.env` file, a `docker-compose.yml`, or a `device_config.json`
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Prints the settings files that follow from the old ones.
pub fn run(options: &OldSettingsOptions) -> anyhow::Result<ExitCode> {
    let mut old = BTreeMap::new();
    for path in &options.files {
        old.append(&mut read(path)?);
    }
    anyhow::ensure!(
        !old.is_empty(),
        "no setting was found: an .env file has lines like NAME=value, a compose file a list `environment:`"
    );
    print!("{}", New::from(&old).text());
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    if text.trim_start().starts_with('{') {
        return device_config(&text).with_context(|| path.display().to_string());
    }
    Ok(variables(&text))
}

/// Lines such as `NAME=value`, `export NAME=value` and, in a compose file, `- NAME=value`.
fn variables(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("- ").unwrap_or(line);
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').or_else(|| line.split_once(": "))?;
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let value = value.trim().trim_matches(['"', '\'']);
        (!name.is_empty() && name.chars().all(is_name)).then(|| (name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn device_config(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let config: serde_json::Value = serde_json::from_str(text).context("this is no JSON")?;
    let config = config
        .as_object()
        .context("a device_config.json is an object")?;
    let pairs = config.iter().map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), text)
    });
    Ok(pairs.collect())
}

/// The lines of each daemon's settings, and what a person has to do beside them.
#[derive(Debug, Default)]
struct New {
    node: Vec<String>,
    authorities: Vec<String>,
    sma: Vec<String>,
    capture: Vec<String>,
    remarks: Vec<String>,
}

impl New {
    fn from(old: &BTreeMap<String, String>) -> Self {
        let mut new = Self::default();
        // The same variable was the database of either server; what stands beside it says whose it
        // is.
        let is_authority = old
            .keys()
            .any(|name| name.starts_with("SMA_DATA") || name == "CA_PASSWORD");
        for (name, value) in old {
            new.take(name, value, is_authority);
        }
        new
    }

    fn take(&mut self, name: &str, value: &str, is_authority: bool) {
        match name {
            "DATABASE_URL" | "DB_URL" => self.database(name, value, is_authority),
            "NODE_ID" | "AGGREGATOR_NODE_ID" => {
                self.remark(
                    name,
                    &format!("a validator's name is part of its keys: birthmark-node keys /root/keys --name {value}"),
                );
            }
            "SMA_VALIDATION_ENDPOINT" | "SMA_URL" => self.authority(value),
            "AGGREGATOR_URL" | "aggregator_url" => {
                self.capture.push(format!("node = {}", quoted(value)));
            }
            "BLOCKCHAIN_URL" | "BLOCKCHAIN_ENDPOINT" => {
                self.remark(name, "submission server and chain are one program here, birthmark-node: nothing to set");
            }
            "BATCH_SIZE_MIN" | "BATCH_SIZE_MAX" => self.remark(
                name,
                "a block is made as soon as a photo has waited for blocks.batch_wait_ms; its size needs no setting",
            ),
            "CONSENSUS_MODE" => self.remark(
                name,
                "how many validators a registry has stands in its genesis: with one, it decides by itself",
            ),
            "SMA_DATA_DIR" => self.sma.push(format!(
                "database = {}",
                quoted(&format!("sqlite://{}/authority.db", value.trim_end_matches('/')))
            )),
            "KEY_TABLES_PATH" => {
                self.remark(name, &format!("taken over once, when the authority begins: birthmark-sma init --key-tables {value}"));
            }
            "DEVICE_REGISTRY_PATH" => self.remark(
                name,
                "the old registry has no certificates: enrol each camera again, with its own key (birthmark provision)",
            ),
            "CA_PASSWORD" => self.remark(
                name,
                "not passed on. The root's passphrase is the credential root-passphrase of birthmark-sma init, in a file",
            ),
            "PORT" => self.remark(
                name,
                &format!("systemd listens for the daemon: systemctl edit birthmark-{}.socket, ListenStream={value}",
                    if is_authority { "sma" } else { "node" }),
            ),
            "encryption_key" | "table_id" | "key_table_id" => self.remark(
                name,
                "not passed on. A camera's keys are made or sealed in its chip: enrol it again (birthmark provision)",
            ),
            "device_serial" => {
                self.remark(name, &format!("given when the camera is enrolled: birthmark provision --serial {value}"));
            }
            "manufacturer_cert" => self.remark(
                name,
                "the camera's certificate names its authority; it comes with the enrolment",
            ),
            _ if name.starts_with("POSTGRES_") => self.remark(
                name,
                "of the database's own container; on NixOS services.birthmark.node.database.createLocally makes one",
            ),
            _ => self.remark(name, "nothing here has such a setting"),
        }
    }

    fn database(&mut self, name: &str, value: &str, is_authority: bool) {
        let (address, had_password) = without_password(value);
        if had_password {
            self.remark(
                name,
                "the password was left out: use the Unix socket (host=/run/postgresql), which needs none, or a \
                 .pgpass file of the daemon's user",
            );
        }
        let line = format!("database = {}", quoted(&address));
        match is_authority {
            true => self.sma.push(line),
            false => {
                // It has to be named with PostgreSQL, and lies where nothing takes it back with the
                // database.
                self.node.push(line);
                self.node.push(format!(
                    "signed_heights = {}",
                    quoted("/var/lib/birthmark-guard/signed")
                ));
            }
        }
    }

    fn authority(&mut self, value: &str) {
        let endpoint = origin(value);
        let mut lines = vec![
            "[[authorities]]".to_owned(),
            "id = \"SIMULATED_MFG_001\"    # the manufacturer's own name".to_owned(),
            format!("endpoint = {}", quoted(endpoint)),
        ];
        if endpoint != value {
            lines.push(format!("aliases = [{}]", quoted(value)));
        }
        lines.push("# ca, verdict_keys: the public files that this authority hands out".to_owned());
        self.authorities.extend(lines);
    }

    fn remark(&mut self, name: &str, sentence: &str) {
        self.remarks.push(format!("{name}: {sentence}"));
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let node = [self.node.as_slice(), self.authorities.as_slice()].concat();
        for (daemon, lines) in [
            ("node", node.as_slice()),
            ("sma", &self.sma),
            ("capture", &self.capture),
        ] {
            if lines.is_empty() {
                continue;
            }
            // Writing into a string cannot fail.
            let _ = writeln!(text, "# /etc/birthmark/{daemon}.toml");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "{line}");
            });
            let _ = writeln!(text);
        }
        self.remarks.iter().for_each(|remark| {
            let _ = writeln!(text, "# {remark}");
        });
        text
    }
}

/// As TOML writes text.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `https://host:port` of an address.
fn origin(address: &str) -> &str {
    let after_scheme = address.find("://").map_or(0, |at| at.saturating_add(3));
    let path = address
        .get(after_scheme..)
        .and_then(|rest| rest.find('/'))
        .map(|at| at.saturating_add(after_scheme));
    path.and_then(|end| address.get(..end)).unwrap_or(address)
}

/// A database's address without the password in it, and whether there was one. `postgresql://` is
/// called `postgres://` here.
fn without_password(address: &str) -> (String, bool) {
    let address = match address.strip_prefix("postgresql://") {
        Some(rest) => format!("postgres://{rest}"),
        None => address.to_owned(),
    };
    let Some((scheme, rest)) = address.split_once("://") else {
        return (address, false);
    };
    let Some((who, place)) = rest.rsplit_once('@') else {
        return (address, false);
    };
    match who.split_once(':') {
        Some((user, _)) => (format!("{scheme}://{user}@{place}"), true),
        None => (address, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(text: &str) -> String {
        New::from(&variables(text)).text()
    }

    /// The compose file of document 004.
    const COMPOSE: &str = "services:\n  blockchain-node:\n    environment:\n      - NODE_ID=university_of_oregon\n      \
        - DATABASE_URL=postgresql://user:pass@db:5432/birthmark\n      \
        - SMA_VALIDATION_ENDPOINT=http://localhost:8001/validate-cert\n      - BATCH_SIZE_MIN=1\n      \
        - CONSENSUS_MODE=single\n    depends_on:\n      - db\n";

    #[test]
    fn the_compose_file_of_the_documents_becomes_a_validator_s_settings() {
        let text = new(COMPOSE);
        assert!(
            text.starts_with(
                "# /etc/birthmark/node.toml\ndatabase = \"postgres://user@db:5432/birthmark\"\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("endpoint = \"http://localhost:8001\"\n"),
            "{text}"
        );
        assert!(
            text.contains("aliases = [\"http://localhost:8001/validate-cert\"]\n"),
            "{text}"
        );
        for name in [
            "NODE_ID",
            "BATCH_SIZE_MIN",
            "CONSENSUS_MODE",
            "DATABASE_URL",
        ] {
            assert!(text.contains(&format!("\n# {name}: ")), "{name}: {text}");
        }
        let settings: toml::Table = text.parse().unwrap();
        assert_eq!(
            settings["signed_heights"].as_str(),
            Some("/var/lib/birthmark-guard/signed")
        );
    }

    #[test]
    fn no_secret_is_passed_on() {
        let old = device_config(
            "{\"device_serial\": \"PI_CAMERA_001\", \"table_id\": 42, \"encryption_key\": \"c2VjcmV0\",\
             \"aggregator_url\": \"http://192.168.1.100:8545\"}",
        )
        .unwrap();
        let text = New::from(&old).text();
        assert!(
            text.starts_with(
                "# /etc/birthmark/capture.toml\nnode = \"http://192.168.1.100:8545\"\n"
            ),
            "{text}"
        );
        assert!(text.contains("# table_id: not passed on."), "{text}");
        assert!(!text.contains("c2VjcmV0"), "{text}");
        let text =
            new("CA_PASSWORD=hunter2\nDATABASE_URL=postgresql://a:hunter2@db/sma\nPORT=8000\n");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            text.contains("# /etc/birthmark/sma.toml\ndatabase = \"postgres://a@db/sma\"\n"),
            "{text}"
        );
        assert!(
            text.contains("birthmark-sma.socket, ListenStream=8000"),
            "{text}"
        );
    }

    #[test]
    fn the_authority_s_folder_and_its_files() {
        let text = new(
            "SMA_DATA_DIR=/var/lib/birthmark/sma/\nexport KEY_TABLES_PATH=\"/x/key_tables.json\"\n",
        );
        assert!(
            text.contains("database = \"sqlite:///var/lib/birthmark/sma/authority.db\""),
            "{text}"
        );
        assert!(
            text.contains("birthmark-sma init --key-tables /x/key_tables.json"),
            "{text}"
        );
    }

    #[test]
    fn what_is_unknown_is_said_and_no_line_is_lost() {
        let text = new("# a comment\nRAILWAY_TOKEN=x\nversion: '3.8'\nlower=case\nNODE_ID: a\n");
        assert!(
            text.contains("# RAILWAY_TOKEN: nothing here has such a setting\n"),
            "{text}"
        );
        assert!(
            text.contains("# NODE_ID: ") && text.contains("--name a\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn an_address_keeps_everything_but_its_password() {
        for (address, without) in [
            (
                "postgresql://localhost/birthmark_sma",
                "postgres://localhost/birthmark_sma",
            ),
            ("postgresql://a:b:c@host/db", "postgres://a@host/db"),
            ("postgres://a@host/db", "postgres://a@host/db"),
            ("sqlite:///x.db", "sqlite:///x.db"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(without_password(address).0, without);
        }
        assert_eq!(origin("https://a.example/x/y"), "https://a.example");
        assert_eq!(origin("https://a.example"), "https://a.example");
    }
}
