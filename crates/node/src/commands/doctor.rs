//! `doctor`: looks at everything the node depends on and says what to do about what is not well.

mod authorities;
mod database;
mod keys;
mod network;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_daemon::{Context, Program};
use birthmark_ledger::{Genesis, ValidatorId, ValidatorSet};
use birthmark_protocol::api::Status;
use birthmark_protocol::numbers::at_most;
use clap::{Arg, ArgAction, value_parser};
use x509_cert::Certificate;

use super::running::{RunningNode, at_argument};
use super::{command, say};
use crate::authorities::AuthorityBook;
use crate::registry::Registry;
use crate::settings::Settings;
use crate::store::Store;
use crate::{clock, identity};

const MONTH: i64 = 30 * 86_400;
/// How long the database may take for all that is asked of it.
const DATABASE_PATIENCE: Duration = Duration::from_secs(10);
/// The pause before a node that does not answer, or whose height stays, is asked again.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let doctor = command(
        "doctor",
        "Checks keys, clock, disk, database, authorities and certificates, and says what to do",
    )
    .arg(
        Arg::new("boot")
            .long("boot")
            .action(ArgAction::SetTrue)
            .help("Only what another system on the same machine could mend: keys, database, disk, and whether the running node makes blocks"),
    )
    .arg(
        Arg::new("patience")
            .long("patience")
            .value_name("SECONDS")
            .value_parser(value_parser!(u64))
            .default_value("300")
            .requires("boot")
            .help("With --boot: how long the node may take until it answers, and until a block is made of what waits"),
    )
    .arg(at_argument().requires("boot"));
    program.command(doctor, |settings, matches, context| async move {
        let mut report = Report::default();
        if matches.get_flag("boot") {
            let node = RunningNode::find(&settings, &matches)?;
            let patience = matches.get_one("patience").copied();
            let patience = Duration::from_secs(patience.context("--patience is missing")?);
            report.works(&node, patience).await?;
            report.own(&settings, &context).await?;
        } else {
            report.examine(&settings, &context).await?;
        }
        match report.problems {
            0 => Ok(()),
            1 => anyhow::bail!("1 problem found"),
            several => anyhow::bail!("{several} problems found"),
        }
    })
}

/// The registry, and who decides its next block. Without a database that can be read those of the
/// genesis do: that it cannot be read is said by itself.
async fn present(settings: &Settings) -> anyhow::Result<(Genesis, ValidatorSet)> {
    let genesis = identity::read_genesis(&settings.genesis)?;
    let looking = async {
        let store = Store::look(&settings.database).await.ok()??;
        let registry = Registry::open(store.clone(), genesis.clone()).await;
        let found = registry.ok().map(|one| one.tip().validators().clone());
        store.close().await;
        found
    };
    let found = tokio::time::timeout(DATABASE_PATIENCE, looking).await;
    let validators = found.ok().flatten();
    let validators = validators.unwrap_or_else(|| genesis.validators.clone());
    Ok((genesis, validators))
}

#[derive(Default)]
struct Report {
    problems: usize,
    /// Whether the database takes so long that nothing more is asked of it.
    database_hangs: bool,
}

impl Report {
    fn well(&self, text: &str) -> anyhow::Result<()> {
        say(&format!("ok       {text}"))
    }

    fn ill(&mut self, text: &str, remedy: &str) -> anyhow::Result<()> {
        self.problems += 1;
        say(&format!("PROBLEM  {text}\n         {remedy}"))
    }

    /// What lies on this machine, whoever else is there.
    async fn own(
        &mut self,
        settings: &Settings,
        context: &Context,
    ) -> anyhow::Result<Option<ValidatorId>> {
        let own = self.keys(settings, context, present(settings).await)?;
        self.clock()?;
        self.patient_with_database(settings).await?;
        self.disk(settings)?;
        Ok(own)
    }

    /// Whether the running node makes blocks of what waits for one.
    ///
    /// Authorities are not asked: what waits for one that is away waits with every system. With
    /// several validators, what a system could mend cannot be told from what the others hold up, so
    /// that a height which stays is said and no more.
    async fn works(&mut self, node: &RunningNode, patience: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        let mut first: Option<Status> = None;
        loop {
            let late = Instant::now() >= until;
            match node.status().await {
                Ok(now) => {
                    let moved = first
                        .as_ref()
                        .is_some_and(|first| now.block_height > first.block_height);
                    let well = now.trouble.is_none();
                    if well && (moved || now.validated_submissions == 0) {
                        return self.well(&format!(
                            "the node at {} makes blocks: height {}, {} submissions wait for one",
                            node.address(),
                            now.block_height,
                            now.validated_submissions
                        ));
                    }
                    if late {
                        return match &now.trouble {
                            Some(trouble) => self.ill(
                                &format!("the node at {} says: {trouble}", node.address()),
                                "`journalctl -u birthmark-node` says more.",
                            ),
                            None => self.stuck(&now, patience),
                        };
                    }
                    first.get_or_insert(now);
                }
                Err(error) if late => {
                    return self.ill(
                        &format!("the node at {} {error}", node.address()),
                        "`systemctl status birthmark-node` says why.",
                    );
                }
                Err(_) => {}
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    fn stuck(&mut self, status: &Status, patience: Duration) -> anyhow::Result<()> {
        let said = format!(
            "{} submissions wait for a block, and none was made in {} s after height {}",
            status.validated_submissions,
            patience.as_secs(),
            status.block_height
        );
        match status.validator_nodes {
            1 => self.ill(&said, "`journalctl -u birthmark-node` says why."),
            several => self.well(&format!("{said}: {several} validators decide, look at all")),
        }
    }

    async fn examine(&mut self, settings: &Settings, context: &Context) -> anyhow::Result<()> {
        let own = self.own(settings, context).await?;
        self.network(settings).await?;
        self.tls(settings)?;
        let own = own.unwrap_or(ValidatorId::from_bytes([0; 32]));
        let numbers = self.list_numbers(settings).await?;
        let book = AuthorityBook::read(settings, own, &numbers);
        let book = book.and_then(|book| {
            book.take_tokens(&context.credentials)?;
            Ok(book)
        });
        let book = match book {
            Ok(book) => book,
            Err(error) => {
                return self.ill(
                    &format!("authorities: {error:#}"),
                    "Correct the files the configuration names.",
                );
            }
        };
        if book.all().next().is_none() {
            self.ill(
                "no authority is configured",
                "Without one no camera can be vouched for: add [[authorities]].",
            )?;
        }
        for authority in book.all() {
            self.authority(authority, &numbers).await?;
        }
        for authority in book.software_authorities() {
            self.software(authority, &numbers)?;
        }
        Ok(())
    }

    fn clock(&mut self) -> anyhow::Result<()> {
        let synchronised = std::path::Path::new("/run/systemd/timesync/synchronized").exists();
        let now = clock::now().unix();
        match (now > 1_750_000_000, synchronised) {
            (false, _) => self.ill(
                "the clock stands before the year 2025",
                "Set it; blocks with a false time are not signed.",
            ),
            (true, true) => self.well("the clock is synchronised"),
            (true, false) => {
                self.well("the clock is plausible; whether it is synchronised, `timedatectl` says")
            }
        }
    }

    fn tls(&mut self, settings: &Settings) -> anyhow::Result<()> {
        for doubt in settings.http.trusted_proxies.doubts() {
            let remedy = "Correct `http.trusted_proxies`.";
            self.ill(&format!("trusted proxies: {doubt}"), remedy)?;
        }
        let Some(files) = &settings.http.tls else {
            return self
                .well("HTTP is served in the clear: right behind a proxy, wrong on the internet");
        };
        let chain = std::fs::read(&files.certificate)
            .map_err(|error| error.to_string())
            .and_then(|pem| Certificate::load_pem_chain(&pem).map_err(|error| error.to_string()));
        let name = files.certificate.display();
        let first = match &chain {
            Ok(chain) => chain.first(),
            Err(error) => {
                return self.ill(&format!("{name}: {error}"), "Correct `http.tls`.");
            }
        };
        let Some(certificate) = first else {
            return self.ill(
                &format!("{name} holds no certificate"),
                "Correct `http.tls`.",
            );
        };
        let until = certificate.tbs_certificate().validity().not_after;
        let until = at_most::<i64, _>(until.to_unix_duration().as_secs());
        let days = until.saturating_sub(clock::now().unix()).div_euclid(86_400);
        match days {
            days if days < 0 => self.ill(
                &format!("the TLS certificate {name} has expired"),
                "Renew it; the node takes the new file by itself.",
            ),
            days if days < 14 => self.ill(
                &format!("the TLS certificate {name} expires in {days} days"),
                "Look at what renews it; the node takes the new file by itself.",
            ),
            days => self.well(&format!(
                "the TLS certificate {name} is valid for {days} more days"
            )),
        }
    }
}
