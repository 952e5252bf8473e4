//! What the node does at once, and what it does again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_daemon::Shutdown;
use tokio::task::JoinSet;

use super::LaneReports;
use super::parts::Parts;
use crate::authorities::Authority;
use crate::authority::epochs::Herald;
use crate::authority::{AuthorityClient, Lane, revocations};
use crate::clock;
use crate::disk::{Disk, Space};
use crate::journal;
use crate::registry::Registry;
use crate::row_keys::RowKeys;
use crate::settings::Settings;
use crate::store::Store;
use crate::witness::Asking;

/// How often a crowded filter is looked for.
const FILTER_CHECK: Duration = Duration::from_secs(60);
/// How often disk, database and refusals are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// For so many seconds a refused submission that anybody could have made is remembered.
const STRANGERS_SECONDS: i64 = 3600;
/// And at most so many of them.
const MOST_STRANGERS: u32 = 10_000;
/// How often row keys are looked at: those that no row needs are destroyed.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How often old submissions are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// Everything that runs at once. One that fails stops all.
pub(super) struct Tasks {
    set: JoinSet<anyhow::Result<()>>,
    shutdown: Shutdown,
}

impl Tasks {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self {
            set: JoinSet::new(),
            shutdown,
        }
    }

    pub(super) fn essential(
        &mut self,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.set.spawn(task);
    }

    /// What ends by itself when the node is asked to stop, and cannot fail.
    fn running(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.essential(async move {
            task.await;
            Ok(())
        });
    }

    /// Does this now and after every pause, until the node is asked to stop.
    fn every<Done>(&mut self, pause: Duration, mut chore: impl FnMut() -> Done + Send + 'static)
    where
        Done: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        self.running(async move {
            while !shutdown.is_requested() {
                chore().await;
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = shutdown.requested() => {}
                }
            }
        });
    }

    /// Asks the authorities, and follows what they publish.
    pub(super) fn authorities(&mut self, parts: &Parts) -> anyhow::Result<LaneReports> {
        let (settler, herald) = (parts.settler(), parts.herald());
        let mut reports = LaneReports::new();
        for authority in parts.book.all() {
            let (settler, submitted) = (Arc::clone(&settler), Arc::clone(&parts.submitted));
            let lane = Lane::of(Arc::clone(authority), settler, submitted)?;
            reports.push((authority.settings.id.clone(), lane.report()));
            self.running(lane.run(self.shutdown.clone()));
            self.revocations(authority, parts)?;
            self.epochs(authority, &herald)?;
        }
        let lane = Lane::of_nobody(settler, Arc::clone(&parts.submitted));
        self.running(lane.run(self.shutdown.clone()));
        let (book, numbers) = (Arc::clone(&parts.book), Arc::clone(&parts.numbers));
        let (store, stop) = (parts.store.clone(), self.shutdown.clone());
        self.running(revocations::follow_files(book, numbers, store, stop));
        Ok(reports)
    }

    fn revocations(&mut self, authority: &Arc<Authority>, parts: &Parts) -> anyhow::Result<()> {
        let settings = &authority.settings;
        if settings.revocations.is_some() || settings.revocation_feed.is_some() {
            let client = AuthorityClient::new(authority)?;
            let (authority, numbers) = (Arc::clone(authority), Arc::clone(&parts.numbers));
            let (store, stop) = (parts.store.clone(), self.shutdown.clone());
            self.running(revocations::follow(authority, client, numbers, store, stop));
        }
        Ok(())
    }

    /// Registers what an authority that signs states about its epochs.
    fn epochs(&mut self, authority: &Arc<Authority>, herald: &Arc<Herald>) -> anyhow::Result<()> {
        if authority.signs() {
            let (client, stop) = (AuthorityClient::new(authority)?, self.shutdown.clone());
            self.running(Arc::clone(herald).follow(Arc::clone(authority), client, stop));
        }
        Ok(())
    }

    pub(super) fn witness(&mut self, asking: &Arc<Asking>) {
        self.running(Arc::clone(asking).run(self.shutdown.clone()));
    }

    /// What is looked after as long as the node runs.
    pub(super) fn chores(&mut self, parts: &Parts, settings: &Settings) {
        self.lookups(Arc::clone(&parts.registry));
        let (registry, stop) = (Arc::clone(&parts.registry), self.shutdown.clone());
        self.essential(async move { Ok(registry.follow_index(stop).await?) });
        self.forgetting(&parts.store, settings.limits.remember_days);
        self.row_keys(&parts.rows, &parts.store);
        self.strangers(&parts.store);
        self.disk(Arc::clone(&parts.disk));
        self.pulse(parts);
    }

    /// Fills the index in memory; for a registry too large for it the filter, now and whenever it
    /// has become crowded.
    fn lookups(&mut self, registry: Arc<Registry>) {
        self.every(FILTER_CHECK, move || prepare_lookups(Arc::clone(&registry)));
    }

    /// Forgets what became of submissions, when their time has come.
    fn forgetting(&mut self, store: &Store, remember_days: u32) {
        let store = store.clone();
        self.every(FORGET_EVERY, move || {
            let store = store.clone();
            async move {
                let before = clock::now().plus(-i64::from(remember_days) * 86_400);
                if let Err(error) = store.forget_decided(before).await {
                    log::debug!("old submissions are not forgotten yet: {error}");
                }
            }
        });
    }

    /// Forgets refusals of submissions that anybody could have made.
    fn strangers(&mut self, store: &Store) {
        let store = store.clone();
        self.every(LOOK_EVERY, move || {
            let store = store.clone();
            async move {
                let before = clock::now().plus(-STRANGERS_SECONDS);
                let forgotten = store.forget_refused_strangers(before, MOST_STRANGERS).await;
                if let Err(error) = forgotten {
                    log::debug!("old refusals are not forgotten yet: {error}");
                }
            }
        });
    }

    /// Looks whether the database can be written to.
    fn pulse(&mut self, parts: &Parts) {
        let (pulse, store) = (Arc::clone(&parts.pulse), parts.store.clone());
        self.every(LOOK_EVERY, move || {
            let (pulse, store) = (Arc::clone(&pulse), store.clone());
            async move {
                let written = store.try_write().await;
                if let Err(error) = &written {
                    // Told where it is noticed first: by submissions or blocks.
                    log::debug!("the database cannot be written to: {error}");
                }
                let trouble = "the database cannot be written to";
                pulse.set_database(written.is_err().then_some(trouble));
            }
        });
    }

    /// Looks how much room is left on the disk, and says when there is little.
    fn disk(&mut self, disk: Arc<Disk>) {
        let mut before = Space::Enough;
        self.every(LOOK_EVERY, move || {
            if let Err(error) = disk.look() {
                log::warn!("the disk cannot be looked at: {error}");
            }
            let space = disk.space();
            match space {
                Space::None if space != before => log::error!(MESSAGE_ID = journal::DISK_FULL; "the disk is full: no submission is taken any more"),
                Space::Little if space != before => log::warn!(MESSAGE_ID = journal::DISK_FULL; "the disk is nearly full: only signed submissions are taken"),
                Space::Enough if space != before => log::info!("the disk has room again"),
                Space::None | Space::Little | Space::Enough => {}
            }
            before = space;
            std::future::ready(())
        });
    }

    /// Destroys the keys of waiting rows once nothing waits under them.
    fn row_keys(&mut self, rows: &Arc<RowKeys>, store: &Store) {
        let failing = Arc::new(AtomicBool::new(false));
        let (rows, store) = (Arc::clone(rows), store.clone());
        self.every(TIDY_EVERY, move || {
            let (rows, store) = (Arc::clone(&rows), store.clone());
            let failing = Arc::clone(&failing);
            async move {
                let tidied = rows.tidy(&store, Instant::now()).await;
                let failed_before = failing.swap(tidied.is_err(), Ordering::Relaxed);
                if let (Err(error), false) = (tidied, failed_before) {
                    log::warn!("row keys are not destroyed at the moment: {error:#}");
                }
            }
        });
    }

    pub(super) async fn finish(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        while let Some(ended) = self.set.join_next().await {
            let ended = ended
                .context("a part of the node broke")
                .and_then(|ended| ended);
            if ended.is_err() {
                outcome = outcome.and(ended);
            }
            self.shutdown.request();
        }
        outcome
    }
}

/// Until this has succeeded, lookups ask the database.
async fn prepare_lookups(registry: Arc<Registry>) {
    let (index, filter) = (registry.index(), registry.filter());
    if !index.is_complete() && !index.is_outgrown() {
        if let Err(error) = registry.fill_index().await {
            log::warn!(
                "the index of registered digests is not filled, lookups ask the database: {error}"
            );
        }
        if index.is_outgrown() {
            log::info!(
                "the registry is too large for `memory.index_mb`: lookups ask a filter and the database"
            );
        }
    }
    if !index.is_complete()
        && (!filter.is_complete() || filter.is_crowded())
        && let Err(error) = registry.fill_filter().await
    {
        log::warn!(
            "the filter of registered digests is not filled, lookups ask the database: {error}"
        );
    }
}
