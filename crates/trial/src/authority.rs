//! The authority that certifies the cameras of a trial: the real one, in a process of its own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use birthmark_daemon::{Context, Credentials, Shutdown};
use birthmark_node::settings::AuthoritySettings;
use birthmark_sma::setup::{self, Root};

/// What it is called.
const NAME: &str = "trial-maker";

/// Serves until it is asked to stop, with what `folder` holds or with keys made now. Its address is
/// the first line of what it prints.
#[allow(clippy::print_stdout, reason = "whoever started it reads the address")]
pub async fn serve(folder: &Path) -> anyhow::Result<()> {
    let settings = birthmark_sma::Settings {
        database: format!("sqlite://{}", folder.join("authority.db").display()),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        control: folder.join("control.sock"),
        limits: birthmark_sma::settings::Limits {
            requests_per_second: 0,
            public_questions_per_second: 0,
            ..Default::default()
        },
        ..birthmark_sma::Settings::rehearsal(NAME)
    };
    let credentials = credentials(folder)?;
    let key_file = folder.join("root.key.pem");
    if !key_file.exists() {
        let root = Root::New {
            key_file: &key_file,
        };
        let founded = setup::found(&settings, &credentials, root, None, |_| {}).await?;
        fs::write(folder.join("intermediate.pem"), &founded.intermediate)?;
        fs::write(folder.join("verdict.pem"), &founded.verdict_key)?;
    }
    let (context, ready) = Context::embedded(credentials, Shutdown::default());
    let running = tokio::spawn(birthmark_sma::run(settings, context));
    let addresses = ready.await.context("the authority does not start")?;
    let address = addresses.tcp("http").context("it has no address")?;
    println!("{address}");
    running.await.context("it broke")?
}

fn credentials(folder: &Path) -> anyhow::Result<Credentials> {
    let at = folder.join("credentials");
    fs::create_dir_all(&at)?;
    for name in [setup::VAULT_CREDENTIAL, setup::ROOT_CREDENTIAL] {
        fs::write(at.join(name), "a passphrase for trials only")?;
        fs::set_permissions(at.join(name), fs::Permissions::from_mode(0o600))?;
    }
    Ok(Credentials::at(at))
}

/// What a validator pins of the authority in this folder.
pub fn entry(folder: &Path, address: SocketAddr) -> AuthoritySettings {
    AuthoritySettings {
        ca: vec![folder.join("intermediate.pem")],
        verdict_keys: vec![folder.join("verdict.pem")],
        ..AuthoritySettings::new(NAME, format!("http://{address}"))
    }
}
