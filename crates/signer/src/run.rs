//! The daemon: wires the key store's thread to the socket.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use birthmark_daemon::varlink::{PeerError, Peers, User, serve};
use birthmark_daemon::{ConfigError, Context, CredentialError, Credentials, clock};
use birthmark_protocol::Timestamp;

use crate::keeper::{Keeper, Started};
use crate::key_store::KeyStore;
use crate::messages::KeyStoreKind;
use crate::provisioning;
use crate::service::{Roles, Signer};
use crate::settings::SignerSettings;
use crate::vault::Vault;

/// The credential that the chip asks for, by its name in the unit file.
#[cfg(feature = "tpm")]
const CREDENTIAL: &str = "chip-auth";

/// Runs the signer until it is asked to stop, or is idle where systemd would start it again.
pub async fn run(settings: SignerSettings, mut context: Context) -> anyhow::Result<()> {
    let roles = Roles {
        callers: peers(&settings.callers)?,
        administrators: peers(&settings.administrators)?,
    };
    let everybody = roles.callers.clone().or(roles.administrators.clone());
    // The folder's permissions and the kernel's word decide who gets in; the file itself does not.
    let socket = context
        .sockets
        .unix("varlink", &settings.socket, 0o666)
        .await?;
    let Started {
        keeper,
        opened,
        ended,
        thread,
    } = {
        let store = key_store(&settings, &context.credentials)?;
        let folder = settings.state_directory.clone();
        let deadline = Duration::from_secs(settings.deadline_seconds);
        let length = settings.queue;
        Keeper::start(move || Vault::open(store(), &folder), length, deadline)
            .context("starting the key store's thread")?
    };
    opened.await.context("the key store's thread died")??;
    let problem = import(&keeper, settings.provisioning_file.as_deref()).await;
    if settings.key_store == KeyStoreKind::Software {
        log::warn!(
            "this is a development build with software keys: nothing it signs proves anything"
        );
    }
    watch(&context, &keeper);
    let idle = context.idle_after(Duration::from_secs(settings.idle_seconds));
    let service = Signer::new(keeper.clone(), settings.key_store, roles, problem);
    context.ready();
    look_at_chip(&context, &keeper);
    tokio::select! {
        served = serve(socket, service, everybody, idle, context.shutdown.clone()) => served?,
        // Without the thread every call would be refused for ever; a new process has a new one.
        _ = ended => anyhow::bail!("the key store's thread died"),
    }
    tokio::task::spawn_blocking(move || keeper.stop(thread))
        .await?
        .map_err(|_| anyhow::anyhow!("the key store's thread died"))
}

fn peers(users: &[User]) -> Result<Peers, PeerError> {
    if users.is_empty() {
        Ok(Peers::same_user())
    } else {
        Peers::users(users)
    }
}

/// Feeds the watchdog as long as the key store's thread answers at all.
fn watch(context: &Context, keeper: &Keeper) {
    let keeper = keeper.clone();
    context.service.watch(move || {
        let keeper = keeper.clone();
        async move { Ok(keeper.ask(|_| Ok(())).await?) }
    });
}

/// Without its chip the signer still answers, with what is wrong; the journal and
/// `systemctl status` say it at once.
fn look_at_chip(context: &Context, keeper: &Keeper) {
    let (service, keeper) = (context.service.clone(), keeper.clone());
    tokio::spawn(async move {
        if let Err(error) = keeper.ask(|vault| vault.health()).await {
            log::error!("{error}");
            service.status(&error.to_string());
        }
    });
}

/// Imports the provisioning file, if it is there; why that failed is part of the status.
async fn import(keeper: &Keeper, path: Option<&Path>) -> Option<String> {
    let path = path.filter(|path| path.exists())?.to_owned();
    let outcome = keeper
        .ask(move |vault| {
            let text = provisioning::read(&path)?;
            // A file that was overwritten in part begins with a zero, which no JSON does.
            let was_imported = vault.is_provisioned() && text.starts_with('\0');
            if !was_imported {
                let now = Timestamp::from_unix(clock::seconds());
                vault.provision(&text, now)?;
            }
            // If we stop here, the next start imports the same file again, or finds it overwritten,
            // and then destroys it.
            provisioning::destroy(&path)?;
            Ok(())
        })
        .await;
    match outcome {
        Ok(()) => {
            log::info!("provisioned; the clear copy of the keys is destroyed");
            None
        }
        Err(error) => {
            log::error!("not provisioned: {error}");
            Some(error.to_string())
        }
    }
}

/// Makes the key store on the thread that will own it.
type OpenStore = Box<dyn FnOnce() -> Box<dyn KeyStore> + Send>;

/// Prepares the configured store. What cannot work is refused here, before anything starts.
fn key_store(
    settings: &SignerSettings,
    #[cfg_attr(not(feature = "tpm"), expect(unused_variables))] credentials: &Credentials,
) -> anyhow::Result<OpenStore> {
    match settings.key_store {
        #[cfg(feature = "tpm")]
        KeyStoreKind::Tpm => {
            let tcti = settings.tpm.tcti.parse();
            let tcti = tcti.map_err(|reason: String| ConfigError::field("tpm.tcti", reason))?;
            let auth = chip_auth(credentials)?;
            let handle = settings.tpm.signing_key_handle;
            let pcrs = settings.tpm.sealed_to_pcrs.clone();
            Ok(Box::new(move || {
                let tpm = crate::tpm::Tpm::new(tcti, handle, auth, None);
                Box::new(crate::tpm::TpmStore { tpm, pcrs })
            }))
        }
        #[cfg(feature = "software-keys")]
        KeyStoreKind::Software => {
            let folder = settings.state_directory.clone();
            Ok(Box::new(move || {
                Box::new(crate::software::SoftwareStore::new(&folder))
            }))
        }
        #[allow(
            unreachable_patterns,
            reason = "which kinds remain depends on the features of this build"
        )]
        _ => Err(
            ConfigError::field("key_store", "names a kind that this build does not have").into(),
        ),
    }
}

/// What the chip asks for. Without it there is no signer: it would make a key that anybody on this
/// machine could use.
#[cfg(feature = "tpm")]
fn chip_auth(credentials: &Credentials) -> Result<crate::tpm::ChipAuth, CredentialError> {
    let credential = credentials.secret(CREDENTIAL)?;
    crate::tpm::ChipAuth::from_credential(credential.bytes()).map_err(|error| {
        CredentialError::Unusable {
            name: CREDENTIAL.to_owned(),
            reason: error.to_string(),
        }
    })
}
