//! Whether the other validators can be reached, and whether one of them contradicted itself.

use std::time::Duration;

use birthmark_ledger::Genesis;

use super::Report;
use crate::contradictions::Contradictions;
use crate::registry::Registry;
use crate::settings::Settings;
use crate::store::Store;
use crate::{identity, network};

/// Which validators contradicted themselves, in words; nothing where the database is of another
/// registry.
async fn contradictions(store: &Store, genesis: Genesis) -> anyhow::Result<Vec<String>> {
    let stored = store.state("genesis").await?;
    let is_ours = stored.as_deref() == Some(genesis.hash().as_bytes());
    if !is_ours || store.misbehaviours().await?.is_empty() {
        return Ok(Vec::new());
    }
    let registry = Registry::open(store.clone(), genesis).await?;
    Ok(Contradictions::load(&registry).await?.list())
}

impl Report {
    /// How many validators there are, whether they can be reached, and who of them contradicted
    /// itself.
    pub(super) async fn network(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let Ok(genesis) = identity::read_genesis(&settings.genesis) else {
            return Ok(());
        };
        if let Some(advice) = network::size_advice(genesis.validators.len()) {
            // It is left by taking in a member, or letting one go.
            self.well(&advice)?;
        }
        let peers = settings.network.iter().flat_map(|network| &network.peers);
        for peer in peers {
            let connecting = tokio::net::TcpStream::connect(&peer.address);
            match tokio::time::timeout(Duration::from_secs(5), connecting).await {
                Ok(Ok(_)) => self.well(&format!("{} answers at {}", peer.name, peer.address))?,
                Ok(Err(_)) | Err(_) => self.ill(
                    &format!("{} does not answer at {}", peer.name, peer.address),
                    "Ask its operator; look at the address and at firewalls on both sides.",
                )?,
            }
        }
        // What is wrong with the database was said before.
        if self.database_hangs {
            return Ok(());
        }
        let Ok(Some(store)) = Store::look(&settings.database).await else {
            return Ok(());
        };
        match contradictions(&store, genesis).await {
            Ok(sentences) => {
                for sentence in sentences {
                    self.ill(
                        &sentence,
                        "Both signatures are kept. Two machines may run with one key, or one was set back: call its operator.",
                    )?;
                }
            }
            Err(error) => self.ill(
                &format!("whether a validator contradicted itself cannot be read: {error:#}"),
                "`birthmark-node fsck` reads all of the database.",
            )?,
        }
        store.close().await;
        Ok(())
    }
}
