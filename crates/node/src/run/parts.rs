//! What the node is made of, opened and checked in the order in which each needs the other.

use std::sync::Arc;

use anyhow::Context as _;
use birthmark_daemon::{Context, Credentials};
use birthmark_http::site::KeyedLimit;
use birthmark_ledger::{BlockTime, ValidatorId, VoteKey};
use tokio::sync::Notify;

use super::Keys;
use crate::admission::{Admission, QueueRoom};
use crate::authorities::AuthorityBook;
use crate::authority::epochs::Herald;
use crate::authority::{Settler, revocations};
use crate::changes::Changes;
use crate::clock;
use crate::contradictions::Contradictions;
use crate::disk::Disk;
use crate::guard::Guard;
use crate::identity;
use crate::list_numbers::ListNumbers;
use crate::lookup_key::LookupKey;
use crate::network;
use crate::production::Node;
use crate::pulse::Pulse;
use crate::registry::Registry;
use crate::row_keys::RowKeys;
use crate::settings::Settings;
use crate::standing;
use crate::store::Store;

/// How far the newest block may be ahead of our clock, in minutes.
const LARGEST_LAG: i64 = 10;

/// A clock that stands before the newest block was never set, or was set wrongly: every date we
/// would give is wrong.
fn check_clock(newest: BlockTime, now: BlockTime) -> anyhow::Result<()> {
    let minutes = newest.millis_since(now) / 60_000;
    anyhow::ensure!(
        minutes <= LARGEST_LAG,
        "this machine's clock is {minutes} minutes behind the newest block: set it (`timedatectl`, `chronyc tracking`)"
    );
    Ok(())
}

/// Refuses a key that this database was not begun with: with another one, what was registered once
/// would be taken again.
async fn check_lookup_key(store: &Store, key: &LookupKey) -> anyhow::Result<()> {
    const NAME: &str = "lookup-key";
    let expected = key.check_value();
    match store.state(NAME).await? {
        Some(stored) if stored != expected => {
            let reason = "it is not the one this database was begun with; load that one";
            return Err(identity::unusable(identity::LOOKUP_KEY, reason).into());
        }
        Some(_) => {}
        None => store.put_state(NAME, &expected).await?,
    }
    Ok(())
}

/// The lookup key and the row keys that belong to this database; forgets what waits under row keys
/// that are gone, of a restored backup for one.
pub(crate) async fn secrets(
    settings: &Settings,
    store: &Store,
    credentials: &Credentials,
) -> anyhow::Result<(LookupKey, RowKeys)> {
    let key = identity::lookup_key(credentials)?;
    check_lookup_key(store, &key).await?;
    let folder = settings.row_keys();
    let folder = folder.context("`row_keys` must name a folder on this machine")?;
    let rows = RowKeys::open(&folder, key.clone()).await?;
    let forgotten = store.forget_unreadable(&rows.known()).await?;
    if forgotten > 0 {
        log::warn!(
            "{forgotten} waiting submissions were sealed under keys that are gone, as after a restore: their cameras send them again"
        );
    }
    Ok((key, rows))
}

/// Everything that more than one task uses.
pub(super) struct Parts {
    pub(super) vote: Arc<VoteKey>,
    pub(super) own: ValidatorId,
    pub(super) name: String,
    pub(super) store: Store,
    pub(super) numbers: Arc<ListNumbers>,
    pub(super) book: Arc<AuthorityBook>,
    pub(super) rows: Arc<RowKeys>,
    pub(super) registry: Arc<Registry>,
    pub(super) changes: Arc<Changes>,
    pub(super) contradictions: Arc<Contradictions>,
    pub(super) disk: Arc<Disk>,
    pub(super) admission: Arc<Admission>,
    pub(super) pulse: Arc<Pulse>,
    /// A submission was taken.
    pub(super) submitted: Arc<Notify>,
    /// A transaction waits for a block.
    pub(super) pooled: Arc<Notify>,
    guard: Option<Guard>,
}

impl Parts {
    pub(super) async fn open(
        settings: &Settings,
        keys: &Keys,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let genesis = identity::read_genesis(&settings.genesis)?;
        // Whoever decides alone has nobody to follow.
        if settings.network.is_none() {
            standing::check_keys(&genesis.validators, &keys.own, &keys.checkpoint)?;
        }
        // A newer version may have to rewrite tens of millions of records first.
        let opening = Store::open_or_explain(&settings.database, settings.memory.database_mb);
        let store = context.service.patiently("Opening the database", opening);
        let store = store.await?;
        let numbers = Arc::new(ListNumbers::load(&store).await?);
        let book = Arc::new(AuthorityBook::read(settings, keys.own, &numbers)?);
        book.take_tokens(&context.credentials)?;
        revocations::restore(&book, &numbers, &store).await?;
        let (lookup_key, rows) = secrets(settings, &store, &context.credentials).await?;
        let rows = Arc::new(rows);
        let registry = Registry::with_memory(store.clone(), genesis, settings.memory).await?;
        let registry = Arc::new(registry);
        check_clock(registry.tip().time(), clock::now_millis())?;

        let name = standing::name(&registry, &keys.own, &keys.checkpoint, keys.link.identity())?;
        network::check(settings, registry.tip().validators(), &name)?;
        let guard = checked_guard(settings, &registry)?;
        let disk = Arc::new(disk(settings)?);
        let submitted = Arc::new(Notify::new());
        let admission = Admission::start(
            store.clone(),
            Arc::clone(&rows),
            lookup_key,
            Arc::clone(&book),
            QueueRoom::new(
                settings.limits.queue,
                book.all().map(|authority| authority.settings.id.as_str()),
            ),
            Arc::clone(&disk),
            Arc::clone(&submitted),
        );
        let budget = KeyedLimit::per_hour(settings.limits.photos_per_camera_per_hour);
        Ok(Self {
            vote: Arc::clone(&keys.vote),
            own: keys.own,
            admission: Arc::new(admission.await?.with_budget(budget)),
            changes: Arc::new(Changes::load(&registry).await?),
            contradictions: Arc::new(Contradictions::load(&registry).await?),
            pulse: Arc::new(Pulse::default()),
            pooled: Arc::new(Notify::new()),
            name,
            store,
            numbers,
            book,
            rows,
            registry,
            disk,
            submitted,
            guard,
        })
    }

    /// Turns what authorities answer into transactions.
    pub(super) fn settler(&self) -> Arc<Settler> {
        Arc::new(Settler::new(
            self.store.clone(),
            Arc::clone(&self.rows),
            Arc::clone(&self.admission),
            Arc::clone(&self.vote),
            self.registry.genesis().hash(),
            Arc::clone(&self.pooled),
        ))
    }

    /// Registers what authorities state about their epochs.
    pub(super) fn herald(&self) -> Arc<Herald> {
        Arc::new(Herald {
            registry: Arc::clone(&self.registry),
            rows: Arc::clone(&self.rows),
            key: Arc::clone(&self.vote),
            pooled: Arc::clone(&self.pooled),
        })
    }

    /// The node as the consensus engine sees it.
    pub(super) fn producer(&self) -> Node {
        Node::new(
            Arc::clone(&self.registry),
            Arc::clone(&self.rows),
            Arc::clone(&self.book),
            self.guard.clone(),
            Arc::clone(&self.contradictions),
            Arc::clone(&self.changes),
            Arc::clone(&self.vote),
        )
    }
}

/// The guard of signed heights. In a network the others are there: it abstains until they have
/// passed what it may have signed.
fn checked_guard(settings: &Settings, registry: &Registry) -> anyhow::Result<Option<Guard>> {
    let guard = settings.guard();
    if let (Some(guard), None) = (&guard, &settings.network) {
        guard.check(registry.tip().height().get())?;
    }
    Ok(guard)
}

fn disk(settings: &Settings) -> anyhow::Result<Disk> {
    let folder = settings.data_folder();
    let folder = folder.context("`signed_heights` must name a file on this machine")?;
    let reserve = settings.limits.disk_reserve_mb.saturating_mul(1 << 20);
    Disk::new(&folder, reserve)
        .with_context(|| format!("cannot look at the disk of {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_newest_block_is_refused_with_what_to_do() {
        let newest = BlockTime::from_millis(1_790_000_000_000);
        assert!(check_clock(newest, newest).is_ok());
        assert!(check_clock(newest, newest.plus_millis(-5 * 60_000)).is_ok());
        let error = check_clock(newest, BlockTime::from_millis(0)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("29833333 minutes behind the newest block: set it")
        );
    }
}
