//! A camera's card: what the text file on its FAT partition does, and what is written back beside
//! it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A card whose partitions are folders.
struct Card {
    folder: tempfile::TempDir,
}

impl Card {
    fn new() -> Self {
        let card = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for name in ["firmware", "light", "state", "wifi"] {
            std::fs::create_dir(card.path(name)).unwrap();
        }
        std::fs::write(card.path("light/trigger"), "mmc0").unwrap();
        let built = "node = \"http://127.0.0.1:8545\"\nplace = \"ignored\"\n\n[source]\nkind = \"libcamera\"\n";
        std::fs::write(card.path("built.toml"), built).unwrap();
        card
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn ask(&self, text: impl AsRef<[u8]>) {
        std::fs::write(self.path("firmware/birthmark-setup.txt"), text).unwrap();
    }

    /// One start of the camera, and the result it leaves on the FAT partition.
    fn start(&self) -> String {
        let daemon = Path::new(env!("CARGO_BIN_EXE_birthmark-capture"));
        let programs = format!(
            "{}:{}",
            daemon.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../images/card-setup.sh");
        let ended = Command::new("bash")
            .args(["-euo", "pipefail", script])
            .args(["firmware", "built.toml", "state", "wifi", "light"].map(|name| self.path(name)))
            .env("PATH", programs)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        let result = self.path("firmware/birthmark-setup.result.txt");
        // A setup that had nothing to do writes none.
        std::fs::read_to_string(result).ok().unwrap_or_default()
    }
}

#[test]
fn a_card_that_was_told_nothing_runs_as_it_was_built() {
    let card = Card::new();
    assert_eq!(card.start(), "");
    assert_eq!(card.text("state/capture.toml"), card.text("built.toml"));
    assert_eq!(card.text("light/trigger"), "mmc0");
}

#[test]
fn a_card_takes_over_what_it_is_told_and_keeps_no_password_in_the_open() {
    let card = Card::new();
    // As an editor of another system writes it.
    card.ask(
        "\u{feff}# Mine\r\nvalidator = https://validator.library.example\r\nwifi_name = Reading room\r\n\
         wifi_password = correct horse = battery\r\nssh_key = ssh-ed25519 AAAAC3Nza me@desk\r\n",
    );
    let said = card.start();
    assert!(
        said.contains("validator: https://validator.library.example\r\n"),
        "{said}"
    );
    assert!(said.contains("wifi: Reading room\r\n"), "{said}");
    assert!(said.ends_with("done: the camera is set up\r\n"), "{said}");
    assert!(!said.contains("correct horse"), "{said}");
    assert!(!card.path("firmware/birthmark-setup.txt").exists());
    assert_eq!(card.text("light/trigger").trim(), "mmc0");

    let settings = card.text("state/capture.toml");
    assert!(
        settings.starts_with("node = \"https://validator.library.example\"\n"),
        "{settings}"
    );
    assert_eq!(settings.matches("node").count(), 1);
    assert!(settings.contains("place = \"ignored\""), "{settings}");
    let network = card.text("wifi/Reading room.psk");
    assert_eq!(network, "[Security]\nPassphrase=correct horse = battery\n");
    assert_eq!(
        card.text("state/keys/photographer"),
        "ssh-ed25519 AAAAC3Nza me@desk\n"
    );

    // Only what a later file says is changed.
    card.ask("validator = https://other.example");
    assert!(
        card.start()
            .contains("validator: https://other.example\r\n")
    );
    assert!(card.path("state/keys/photographer").exists());
}

#[test]
fn a_file_with_one_wrong_line_changes_nothing_and_the_result_names_the_line() {
    for (text, complaint) in [
        (
            "validator = ftp://x",
            "line 1: validator is not an http(s) address",
        ),
        (
            "# a\nwifi_country = de",
            "line 2: wifi_country is two capital letters",
        ),
        (
            "wifi_password = short",
            "line 1: wifi_password has 8 to 63 characters, none of them accented",
        ),
        (
            "wifi_password = p\u{e4}sswort",
            "line 1: wifi_password has 8 to 63 characters, none of them accented",
        ),
        (
            "ssh_key = -----BEGIN OPENSSH PRIVATE KEY-----",
            "line 1: ssh_key is not a public key",
        ),
        (
            "authority = http://authority.example",
            "line 1: authority is not an https address",
        ),
        (
            "operator_token = a b",
            "line 1: operator_token is not a token of an authority",
        ),
        (
            "authority = https://authority.example\nserial = SN-1\nfamily = Pi HQ",
            "to enrol the camera, operator_token is needed too",
        ),
        ("colour = red", "line 1: no setting is called \"colour\""),
        ("hello", "line 1: no \"=\" in it"),
    ] {
        let card = Card::new();
        card.ask(format!("{text}\nwifi_name = Reading room\n"));
        let said = card.start();
        assert!(said.contains(&format!("{complaint}\r\n")), "{text}: {said}");
        assert!(said.contains("nothing was changed"), "{said}");
        assert!(card.path("firmware/birthmark-setup.txt").exists());
        assert_eq!(card.text("state/capture.toml"), card.text("built.toml"));
        assert_eq!(std::fs::read_dir(card.path("wifi")).unwrap().count(), 0);
        assert_eq!(card.text("light/trigger").trim(), "timer");
    }
}

/// What the camera is enrolled with later, when there is a network; `cli/tests/story/enrolment.rs`
/// does it with an authority.
#[test]
fn an_enrolment_waits_where_only_root_reads_it_and_its_token_leaves_the_drive() {
    let card = Card::new();
    card.ask(
        "authority = https://authority.example/maker\r\noperator_token = bma_0123456789abcdef\r\n\
         serial = SN-0001 \r\nfamily = Pi \"HQ\" $(reboot)\r\n",
    );
    let said = card.start();
    assert!(
        said.contains("enrolment: as soon as https://authority.example/maker can be reached"),
        "{said}"
    );
    assert!(!said.contains("bma_"), "{said}");
    assert!(!card.path("firmware/birthmark-setup.txt").exists());
    for (name, text) in [
        ("authority", "https://authority.example/maker"),
        ("token", "bma_0123456789abcdef"),
        ("serial", "SN-0001"),
        ("family", "Pi \"HQ\" $(reboot)"),
    ] {
        assert_eq!(card.text(&format!("state/enrol/{name}")), text);
    }
    let folder = std::fs::metadata(card.path("state/enrol")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
}

/// iwd looks for these names, and reads a backslash as the beginning of something.
#[test]
fn networks_are_called_as_the_radio_s_daemon_looks_for_them() {
    let card = Card::new();
    card.ask("wifi_name = Caf\u{e9}\nwifi_password = back\\slash");
    card.start();
    let network = card.text("wifi/=436166c3a9.psk");
    assert_eq!(network, "[Security]\nPassphrase=back\\\\slash\n");
    card.ask("wifi_name = Caf\u{e9}\n");
    card.start();
    assert!(card.path("wifi/=436166c3a9.open").exists());
    assert!(!card.path("wifi/=436166c3a9.psk").exists());
    card.ask(format!("wifi_name = {}\n", "\u{e9}".repeat(17)));
    assert!(card.start().contains("wifi_name has 1 to 32 bytes"));
    card.ask("wifi_password = forgotten name");
    assert!(card.start().contains("wifi_name is needed too"));
}

#[test]
fn an_upgrade_changes_the_settings_and_keeps_what_the_card_was_told() {
    let card = Card::new();
    card.start();
    card.ask("validator = https://validator.example");
    card.start();
    let upgraded = "node = \"http://127.0.0.1:8545\"\ndng = true\n[source]\nkind = \"libcamera\"\n";
    std::fs::write(card.path("built.toml"), upgraded).unwrap();
    card.start();
    let settings = card.text("state/capture.toml");
    assert!(settings.contains("dng = true"), "{settings}");
    assert!(
        settings.starts_with("node = \"https://validator.example\"\n"),
        "{settings}"
    );
}

#[test]
fn a_file_that_is_no_plain_text_is_refused_in_words() {
    let card = Card::new();
    card.ask(b"\xff\xfev\0a\0l\0");
    assert!(card.start().contains("save the file as UTF-8"));
}

#[test]
fn a_name_with_a_second_ending_is_understood() {
    let card = Card::new();
    let named = card.path("firmware/birthmark-setup.txt.txt");
    std::fs::write(&named, "validator = https://validator.example").unwrap();
    assert!(
        card.start()
            .contains("validator: https://validator.example\r\n")
    );
    assert!(!named.exists());
}

#[test]
fn the_example_on_the_card_is_understood_with_every_line_in_use() {
    let card = Card::new();
    let example = include_str!("../../../../images/birthmark-setup.txt");
    let settings = example.lines().filter_map(|line| line.strip_prefix('#'));
    let settings: Vec<_> = settings.filter(|line| !line.starts_with(' ')).collect();
    assert!(settings.iter().filter(|line| line.contains('=')).count() >= 9);
    // The lines for a network with names of users ask for a file beside them.
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(card.path("firmware/birthmark-wifi-ca.pem"), certificate).unwrap();
    card.ask(settings.join("\n").replace("AAAA…", "AAAAC3Nza"));
    let said = card.start();
    assert!(said.ends_with("done: the camera is set up\r\n"), "{said}");
}
