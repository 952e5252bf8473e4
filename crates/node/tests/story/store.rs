//! What the database keeps beside the chain: claims and tokens found by a part of them, many blocks
//! in one transaction, and a database of a newer version.

use birthmark_daemon::Elsewhere;
use birthmark_ledger::{TransactionHash, ValidatorId};
use birthmark_node::commands::{export, fsck, import, reindex};
use birthmark_node::registry::Registry;
use birthmark_node::row_keys::Sealed;
use birthmark_node::store::{Owners, Pooled, ReceiptId, Settlement, Store, StoreUrl, Wanted};
use sqlx::migrate::Migrator;
use uuid::Uuid;

use crate::blocks::{decided, edit, photo};
use crate::camera::{digest, now};
use crate::world::{Base, World};

/// Sixteen bytes: the first eight are all that PostgreSQL's index holds.
fn key(first: u8, last: u8) -> Vec<u8> {
    [[first; 8], [last; 8]].concat()
}

fn id(number: u8) -> ReceiptId {
    ReceiptId(Uuid::from_bytes([number; 16]))
}

/// Takes what is free, as settling does; returns who owns each then.
async fn reserve(store: &Store, wanted: &[(Vec<u8>, ReceiptId)]) -> Owners {
    let keys: Vec<_> = wanted.iter().map(|(key, _)| key.clone()).collect();
    let asked = Wanted {
        claims: keys.clone(),
        tokens: keys,
    };
    let mut owned = Owners::default();
    let settled = store.settle(&asked, &[], now(), |owners| {
        let free = |owned: &std::collections::HashMap<Vec<u8>, ReceiptId>| {
            let free = wanted.iter().filter(|(key, _)| !owned.contains_key(key));
            free.cloned().collect::<Vec<_>>()
        };
        let settlement = Settlement {
            claims: free(&owners.claims),
            tokens: free(&owners.tokens),
            ..Settlement::default()
        };
        owned.claims.extend(owners.claims.clone());
        owned.tokens.extend(owners.tokens.clone());
        owned.claims.extend(settlement.claims.iter().cloned());
        owned.tokens.extend(settlement.tokens.iter().cloned());
        Ok(settlement)
    });
    settled.await.unwrap();
    owned
}

async fn prepared(base: Base) -> (World, Store) {
    let world = World::prepare(base, tempfile::tempdir().unwrap(), Vec::new());
    let store = Store::open(&world.settings.database).await.unwrap();
    (world, store)
}

/// Two keys with equal first halves are two keys: neither is refused because of the other, and
/// neither passes for the other.
async fn a_part_of_a_claim_decides_nothing(base: Base) {
    let (_world, store) = prepared(base).await;
    let meeting = [(key(0xf0, 1), id(1)), (key(0xf0, 2), id(2))];
    for one in &meeting {
        let owners = reserve(&store, std::slice::from_ref(one)).await;
        assert_eq!(owners.claims[&one.0], one.1);
        assert_eq!(owners.tokens[&one.0], one.1);
        assert_eq!((owners.claims.len(), owners.tokens.len()), (1, 1));
    }
    // Replayed by somebody else: each stays with its first owner, and only a third of the same half
    // is free.
    let again = [
        (key(0xf0, 1), id(7)),
        (key(0xf0, 2), id(8)),
        (key(0xf0, 3), id(9)),
    ];
    let owners = reserve(&store, &again).await;
    for owned in [&owners.claims, &owners.tokens] {
        assert_eq!(owned[&key(0xf0, 1)], id(1));
        assert_eq!(owned[&key(0xf0, 2)], id(2));
        assert_eq!(owned[&key(0xf0, 3)], id(9));
    }
    assert_eq!(store.rows("claims").await.unwrap(), 3);
    for found in [
        store.claimed(&[key(0xf0, 2), key(0xf0, 4)]).await.unwrap(),
        store.spent(&[key(0xf0, 4), key(0xf0, 2)]).await.unwrap(),
    ] {
        assert_eq!(found, [(key(0xf0, 2), id(2))]);
    }
    store.close().await;
}

#[tokio::test]
async fn a_part_of_a_claim_decides_nothing_on_sqlite() {
    a_part_of_a_claim_decides_nothing(Base::Sqlite).await;
}

#[tokio::test]
async fn a_part_of_a_claim_decides_nothing_on_postgresql() {
    a_part_of_a_claim_decides_nothing(Base::postgres()).await;
}

/// However many reach for the same claims at once, all hear of the same owner of each.
async fn a_claim_has_one_owner(base: Base) {
    let (_world, store) = prepared(base).await;
    for round in 0..20 {
        let reach = |number: u8| {
            let store = store.clone();
            // Half of them from the other end, so that nobody waits in line.
            let mut wanted: Vec<_> = (0..50).map(|last| (key(round, last), id(number))).collect();
            if number.is_multiple_of(2) {
                wanted.reverse();
            }
            tokio::spawn(async move { reserve(&store, &wanted).await })
        };
        let reaching: Vec<_> = (0..8).map(reach).collect();
        let mut heard = Vec::new();
        for one in reaching {
            heard.push(one.await.unwrap());
        }
        for owners in &heard {
            assert_eq!(owners.claims.len(), 50);
            assert_eq!(owners.claims, heard[0].claims);
            assert_eq!(owners.tokens, heard[0].tokens);
        }
    }
    assert_eq!(store.rows("claims").await.unwrap(), 20 * 50);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_has_one_owner_on_sqlite() {
    a_claim_has_one_owner(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_has_one_owner_on_postgresql() {
    a_claim_has_one_owner(Base::postgres()).await;
}

/// Whoever pushes the pool to others asks for what came after the last row. After everything was
/// decided, the next row must come after it, too.
async fn a_number_of_the_pool_is_never_used_again(base: Base) {
    let (_world, store) = prepared(base).await;
    let submitter = ValidatorId::from_bytes([9; 32]);
    let mut last = 0;
    for number in 1..=3 {
        let hash = TransactionHash::from_bytes([number; 32]);
        let pooled = Pooled {
            hash,
            submitter,
            records: 1,
            since_ms: 0,
            body: b"a transaction".to_vec(),
            evidence: Sealed::stored(0, b"its evidence".to_vec()),
        };
        store.pool(&pooled).await.unwrap();
        let new = store.pooled_of(&submitter, last, 10).await.unwrap();
        let new: Vec<_> = new.iter().map(|(seq, new)| (*seq, new.hash)).collect();
        assert_eq!(new.len(), 1, "after row {last}: {new:?}");
        (last, _) = new[0];
        assert_eq!(new[0].1, hash);
        store.discard(&hash, "it is decided", now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_number_of_the_pool_is_never_used_again_on_sqlite() {
    a_number_of_the_pool_is_never_used_again(Base::Sqlite).await;
}

#[tokio::test]
async fn a_number_of_the_pool_is_never_used_again_on_postgresql() {
    a_number_of_the_pool_is_never_used_again(Base::postgres()).await;
}

/// What a validator took under a key that counts no longer is signed anew: the new row keeps what
/// the old one took, and is pushed.
async fn a_transaction_is_replaced_with_all_that_it_took(base: Base) {
    let (_world, store) = prepared(base).await;
    let (claim, own) = (key(1, 1), ValidatorId::from_bytes([8; 32]));
    let pooled = |number: u8, submitter: u8| Pooled {
        hash: TransactionHash::from_bytes([number; 32]),
        submitter: ValidatorId::from_bytes([submitter; 32]),
        records: 1,
        since_ms: 5,
        body: vec![number],
        evidence: Sealed::stored(i64::from(number), vec![number]),
    };
    let taken = [(claim.clone(), id(1))];
    let settlement = |_: &Owners| {
        Ok(Settlement {
            pooled: Some(pooled(7, 9)),
            claims: taken.to_vec(),
            ..Settlement::default()
        })
    };
    let asked = Wanted {
        claims: vec![claim.clone()],
        tokens: Vec::new(),
    };
    store.settle(&asked, &[], now(), settlement).await.unwrap();
    // What another validator pushed here took nothing.
    store.pool(&pooled(6, 9)).await.unwrap();
    let old = store.pooled_under_other_keys(&own, 10).await.unwrap();
    assert_eq!(old.len(), 1, "{old:?}");
    let last = store.pooled_of(&old[0].submitter, 0, 10).await.unwrap();
    let last = last.last().unwrap().0;
    let new = pooled(5, 8);
    store.replace_pooled(&old[0].hash, &new).await.unwrap();
    let found = store.pooled_of(&own, last, 10).await.unwrap();
    assert_eq!(found.len(), 1, "in a row after all others");
    assert_eq!((found[0].1.hash, &found[0].1.body), (new.hash, &new.body));
    assert!(store.pooled_one(&old[0].hash).await.unwrap().is_none());
    assert!(
        store
            .pooled_under_other_keys(&own, 10)
            .await
            .unwrap()
            .is_empty()
    );
    // It gives back what the old one took.
    store
        .discard(&new.hash, "the clock was set back", now())
        .await
        .unwrap();
    let owners = reserve(&store, &[(claim.clone(), id(2))]).await;
    assert_eq!(owners.claims[&claim], id(2));
    store.close().await;
}

#[tokio::test]
async fn a_transaction_is_replaced_with_all_that_it_took_on_sqlite() {
    a_transaction_is_replaced_with_all_that_it_took(Base::Sqlite).await;
}

#[tokio::test]
async fn a_transaction_is_replaced_with_all_that_it_took_on_postgresql() {
    a_transaction_is_replaced_with_all_that_it_took(Base::postgres()).await;
}

/// What was taken for a transaction that can never stand in a block is given back with it.
async fn a_discarded_photo_may_come_again(base: Base) {
    let (_world, store) = prepared(base).await;
    let (claim, hash) = (key(1, 1), TransactionHash::from_bytes([7; 32]));
    let asked = Wanted {
        claims: vec![claim.clone()],
        tokens: vec![claim.clone()],
    };
    let pooled = |_: &Owners| {
        Ok(Settlement {
            pooled: Some(Pooled {
                hash,
                submitter: ValidatorId::from_bytes([9; 32]),
                records: 1,
                since_ms: 0,
                body: b"a transaction".to_vec(),
                evidence: Sealed::stored(0, b"its evidence".to_vec()),
            }),
            claims: vec![(claim.clone(), id(1))],
            tokens: vec![(claim.clone(), id(1))],
            ..Settlement::default()
        })
    };
    store.settle(&asked, &[], now(), pooled).await.unwrap();
    let again = [(claim.clone(), id(2))];
    let owners = reserve(&store, &again).await;
    assert_eq!(
        (owners.claims[&claim], owners.tokens[&claim]),
        (id(1), id(1))
    );
    store
        .discard(&hash, "the clock was set back", now())
        .await
        .unwrap();
    let owners = reserve(&store, &again).await;
    assert_eq!(
        (owners.claims[&claim], owners.tokens[&claim]),
        (id(2), id(2))
    );
    store.close().await;
}

#[tokio::test]
async fn a_discarded_photo_may_come_again_on_sqlite() {
    a_discarded_photo_may_come_again(Base::Sqlite).await;
}

#[tokio::test]
async fn a_discarded_photo_may_come_again_on_postgresql() {
    a_discarded_photo_may_come_again(Base::postgres()).await;
}

/// One migration of another version of this program, which cares for no other.
async fn migration(name: &str, sql: &str) -> Migrator {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), sql).unwrap();
    let mut migrator = Migrator::new(folder.path()).await.unwrap();
    migrator.set_ignore_missing(true);
    migrator
}

/// Does to the database what another version of this program did: its migration, then its rows.
async fn changed_by(world: &World, migrator: Migrator, rows: Vec<String>) {
    let url = world.settings.database.as_str();
    match &world.base {
        Base::Sqlite => {
            let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
            let options = options.create_if_missing(true);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            migrator.run(&pool).await.unwrap();
            for row in rows {
                let row = sqlx::query(sqlx::AssertSqlSafe(row));
                row.execute(&pool).await.unwrap();
            }
            pool.close().await;
        }
        Base::Postgres(_) => {
            let pool = sqlx::PgPool::connect(url).await.unwrap();
            migrator.run(&pool).await.unwrap();
            for row in rows {
                let row = sqlx::query(sqlx::AssertSqlSafe(row));
                row.execute(&pool).await.unwrap();
            }
            pool.close().await;
        }
    }
}

async fn what_a_newer_version_changed_is_refused_in_words(base: Base) {
    let world = World::prepare(base, tempfile::tempdir().unwrap(), Vec::new());
    let url = &world.settings.database;
    Store::open(url).await.unwrap().close().await;
    let future = migration("0099_future.sql", "CREATE TABLE future (x BIGINT)").await;
    changed_by(&world, future, Vec::new()).await;
    let refused = Store::open_or_explain(url, 2).await.unwrap_err();
    let said = format!("{refused:#}");
    assert!(
        said.contains("a newer version of this program has changed it"),
        "{said}"
    );
    assert!(said.contains("restore a backup"), "{said}");
}

#[tokio::test]
async fn what_a_newer_version_changed_is_refused_in_words_on_sqlite() {
    what_a_newer_version_changed_is_refused_in_words(Base::Sqlite).await;
}

#[tokio::test]
async fn what_a_newer_version_changed_is_refused_in_words_on_postgresql() {
    what_a_newer_version_changed_is_refused_in_words(Base::postgres()).await;
}

/// More blocks than one transaction takes, pictures edited from the block before among them: the
/// copy is the original.
async fn many_blocks_at_once_are_the_blocks_one_by_one(base: Base) {
    let (world, store) = prepared(base).await;
    let whole = Registry::open(store, world.genesis.clone()).await.unwrap();
    let mut last = digest();
    for height in 0..70u32 {
        let mut records = vec![photo(digest()), photo(digest())];
        if height == 0 {
            records.push(photo(last));
        }
        if [1, 2, 63, 64, 65, 66].contains(&height) {
            let next = digest();
            records.push(edit(next, last));
            last = next;
        }
        let block = decided(&world, &whole, records).await;
        whole.append(&block, None).await.unwrap();
    }
    let findings = fsck(&whole).await.unwrap().problems;
    // Nobody cosigned these trees.
    let others = |found: &String| !found.contains("cosign");
    assert_eq!(findings.into_iter().find(others), None);

    let files = world.folder.path().join("export");
    assert_eq!(export(&whole, &files).await.unwrap(), 70);
    let path = world.folder.path().join("copy.db");
    let url = StoreUrl::new(format!("sqlite://{}", path.display()));
    let copy = Registry::open(Store::open(&url).await.unwrap(), world.genesis.clone())
        .await
        .unwrap();
    assert_eq!(import(&copy, &files, None).await.unwrap(), 70);
    assert_eq!(copy.tip().hash(), whole.tip().hash());
    assert_eq!(copy.find(&last).await.unwrap().len(), 1);
    for registry in [&whole, &copy] {
        let counts = async || {
            let mut counts = Vec::new();
            for table in ["images", "edits", "nodes", "transactions"] {
                counts.push(registry.store().rows(table).await.unwrap());
            }
            counts
        };
        let before = counts().await;
        assert_eq!(before, [147, 6, 1, 70]);
        reindex(registry).await.unwrap();
        assert_eq!(counts().await, before);
        let problems = fsck(registry).await.unwrap().problems;
        assert_eq!(problems.into_iter().find(others), None);
    }
    whole.store().close().await;
    copy.store().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_blocks_at_once_are_the_blocks_one_by_one_on_sqlite() {
    many_blocks_at_once_are_the_blocks_one_by_one(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_blocks_at_once_are_the_blocks_one_by_one_on_postgresql() {
    many_blocks_at_once_are_the_blocks_one_by_one(Base::postgres()).await;
}

/// A server that is away does not starve the watchdog; a file that cannot be used does.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_database_server_is_elsewhere() {
    let (mut world, store) = prepared(Base::postgres()).await;
    store.check().await.unwrap();
    let Base::Postgres(server) = &mut world.base else {
        unreachable!()
    };
    server.stop().unwrap();
    assert!(store.check().await.unwrap_err().is::<Elsewhere>());

    let (_world, store) = prepared(Base::Sqlite).await;
    store.check().await.unwrap();
    store.close().await;
    assert!(!store.check().await.unwrap_err().is::<Elsewhere>());
}
