//! Commands in an operator's hand: those that look change nothing, those that change refuse while
//! the node runs, and a mistake that starting again cannot mend ends with status 78.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::routing::get;
use birthmark_ledger::KeyName;
use birthmark_node::setup;
use birthmark_protocol::api::Status;

use crate::authority::Authority;
use crate::camera::Camera;
use crate::operator::{node, text};
use crate::world::{Base, World};

async fn prepared() -> (World, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    (world, authority)
}

/// Everything in the folder but what the test itself writes.
fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("node.db") || name.starts_with("signed"))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_only_looks() {
    let (mut world, authority) = prepared().await;
    let report = text(&node(&world, &["doctor"]));
    assert!(report.contains("there is no database yet"), "{report}");
    assert_eq!(listing(world.folder.path()), Vec::<String>::new());
    // After the node has run and stopped, no log of SQLite's appears beside its file either.
    world.start().await;
    world.stop().await;
    let before = listing(world.folder.path());
    let report = text(&node(&world, &["doctor"]));
    assert!(report.contains("database holds 0 records"), "{report}");
    assert_eq!(listing(world.folder.path()), before);
    // While it runs, too.
    world.start().await;
    let report = text(&node(&world, &["doctor"]));
    assert!(report.contains("database holds 0 records"), "{report}");
    world.stop().await;
    drop(authority);
}

/// Somebody holds a lock that everything waits for: doctor says so, and goes on with the rest.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_does_not_wait_for_a_database_that_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let mut world = World::started(Base::postgres(), folder, vec![authority.entry()]).await;
    world.stop().await;
    let pool = sqlx::PgPool::connect(world.settings.database.as_str()).await;
    let pool = pool.unwrap();
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE node_state IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *holder)
        .await
        .unwrap();
    world.settings.http.trusted_proxies = serde_json::from_str("[\"104.0.0.0/8\"]").unwrap();
    let begun = std::time::Instant::now();
    let report = text(&node(&world, &["doctor"]));
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(25),
        "{report}"
    );
    assert!(
        report.contains("PROBLEM  the database did not answer within 10 s"),
        "{report}"
    );
    assert!(report.contains("authority test-maker answers"), "{report}");
    assert!(
        report.contains("16777216 addresses of the internet"),
        "{report}"
    );
    holder.rollback().await.unwrap();
    let report = text(&node(&world, &["doctor"]));
    assert!(report.contains("database holds 0 records"), "{report}");
}

/// What cannot be read is not taken for nothing: neither the numbers of lists, without which an
/// older one would pass, nor the proofs against a validator. And doctor goes on.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_what_it_cannot_read() {
    let (mut world, authority) = prepared().await;
    world.start().await;
    world.stop().await;
    let report = text(&node(&world, &["doctor"]));
    assert!(!report.contains("cannot be read"), "{report}");
    let pool = sqlx::SqlitePool::connect(world.settings.database.as_str()).await;
    let pool = pool.unwrap();
    for name in ["list-number/anybody", "misbehaviour/anybody"] {
        sqlx::query("INSERT INTO node_state (name, value) VALUES (?, X'00')")
            .bind(name)
            .execute(&pool)
            .await
            .unwrap();
    }
    pool.close().await;
    let report = text(&node(&world, &["doctor"]));
    for words in [
        "the numbers of the lists that were fetched cannot be read",
        "whether a validator contradicted itself cannot be read",
        "test-maker",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_goes_on_where_nothing_has_run_yet() {
    let (mut world, authority) = prepared().await;
    let at = world.folder.path().join("not/made/yet");
    world.settings.database =
        birthmark_node::store::StoreUrl::new(format!("sqlite://{}", at.join("node.db").display()));
    world.settings.signed_heights = Some(at.join("signed"));
    let report = text(&node(&world, &["doctor"]));
    assert!(
        report.contains("is not there yet: systemd makes it"),
        "{report}"
    );
    assert!(report.contains("authority test-maker answers"), "{report}");
    assert!(!at.exists());
    drop(authority);
}

/// After an upgrade the machine goes back to the system before if this fails. What no system on it
/// could mend, such as an authority that is away, must not do that.
#[tokio::test(flavor = "multi_thread")]
async fn a_boot_is_judged_by_what_another_system_could_mend() {
    let (mut world, authority) = prepared().await;
    let boot = |world: &World, at: &str, patience: &str| {
        node(
            world,
            &["doctor", "--boot", "--patience", patience, "--at", at],
        )
    };
    world.start().await;
    let url = world.url.clone();
    drop(authority);
    let output = boot(&world, &url, "60");
    let report = text(&output);
    assert!(output.status.success(), "{report}");
    assert!(
        report.contains("makes blocks: height 0") && report.contains("keys belong to"),
        "{report}"
    );
    assert!(!report.contains("authority"), "{report}");
    // The same shown to a person.
    let status = text(&node(&world, &["status", "--at", &url]));
    assert!(status.contains("validator   library.example"), "{status}");
    world.stop().await;

    // A node that does not answer, a key that does not fit.
    let output = boot(&world, &url, "1");
    let report = text(&output);
    assert!(
        !output.status.success() && report.contains("PROBLEM  the node at"),
        "{report}"
    );
    let status = node(&world, &["status", "--at", &url]);
    assert!(
        !status.status.success() && text(&status).contains("systemctl status birthmark-node"),
        "{}",
        text(&status)
    );
    world.start().await;
    setup::create_keys(
        &world.folder.path().join("others"),
        KeyName::new("elsewhere.example").unwrap(),
    )
    .unwrap();
    std::fs::copy(
        world.folder.path().join("others/vote-key"),
        world.credentials().join("vote-key"),
    )
    .unwrap();
    let output = boot(&world, &world.url, "60");
    let report = text(&output);
    assert!(
        !output.status.success() && report.contains("belongs to no validator"),
        "{report}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_makes_no_blocks_of_what_waits_has_failed() {
    let (world, _authority) = prepared().await;
    for (validators, moves, well) in [(1, false, false), (1, true, true), (4, false, true)] {
        let at = pretender(validators, moves).await;
        let output = node(
            &world,
            &["doctor", "--boot", "--patience", "4", "--at", &at],
        );
        let report = text(&output);
        assert_eq!(
            output.status.success(),
            well,
            "{validators} {moves}: {report}"
        );
        assert_eq!(
            report.contains("none was made in 4 s after height 7"),
            !moves,
            "{report}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_knows_a_set_of_several_and_what_its_settings_lack() {
    let (mut world, _authority) = prepared().await;
    let at = world.folder.path().to_owned();
    let mut members = vec![world.genesis.validators.validators()[0].clone()];
    for name in ["one", "two", "three"] {
        let name = KeyName::new(&format!("{name}.example")).unwrap();
        members.push(setup::create_keys(&at.join(name.as_str()), name).unwrap());
    }
    let genesis = setup::genesis(
        world.genesis.chain_id.clone(),
        birthmark_protocol::Timestamp::from_unix(1_700_000_000),
        false,
        members,
    )
    .unwrap();
    world.settings.genesis = at.join("four.toml");
    setup::write_genesis(&world.settings.genesis, &genesis).unwrap();
    let report = text(&node(&world, &["doctor"]));
    assert!(
        report.contains("PROBLEM  `network`: there are 3 other validators"),
        "{report}"
    );
    world.settings.network = Some(birthmark_node::settings::NetworkSettings {
        follow: false,
        listen: "127.0.0.1:0".parse().unwrap(),
        log: None,
        peers: Vec::new(),
    });
    let report = text(&node(&world, &["doctor"]));
    assert!(
        report.contains("ok       4 validators decide together"),
        "{report}"
    );
    assert!(
        report.contains("PROBLEM  two.example is a validator, and [[network.peers]] has no entry"),
        "{report}"
    );
}

/// Something that answers as a node with three submissions that wait for a block.
async fn pretender(validators: usize, moves: bool) -> String {
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(7));
    let status = move || {
        let height = match moves {
            true => asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            false => 7,
        };
        std::future::ready(axum::Json(Status {
            node_id: "pretender.example".to_owned(),
            block_height: height,
            total_hashes: height,
            pending_submissions: 0,
            last_block_time: None,
            validator_nodes: validators,
            consensus_mode: "single".into(),
            uptime: "0d 00h 00m 01s".to_owned(),
            chain_id: "test.example/registry".to_owned(),
            genesis_hash: "ab".repeat(32),
            tree_root: "cd".repeat(32),
            validated_submissions: 3,
            version: "0.1.0".into(),
            trouble: None,
            warnings: Vec::new(),
            members: Vec::new(),
            witnesses: Vec::new(),
        }))
    };
    let router = axum::Router::new().route("/api/v1/status", get(status));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_another_genesis_from_damage() {
    let (mut world, authority) = prepared().await;
    world.start().await;
    world.stop().await;
    let keys = tempfile::tempdir().unwrap();
    let name = KeyName::new("library.example").unwrap();
    let stranger = setup::create_keys(&keys.path().join("keys"), name).unwrap();
    let chain = birthmark_ledger::ChainId::new("test.example/registry").unwrap();
    let start = birthmark_protocol::Timestamp::from_unix(1_700_000_000);
    let other = setup::genesis(chain, start, false, vec![stranger]).unwrap();
    let file = world.folder.path().join("other.toml");
    setup::write_genesis(&file, &other).unwrap();
    world.settings.genesis = file;
    let report = text(&node(&world, &["doctor"]));
    for words in [
        world.genesis.hash().to_hex(),
        other.hash().to_hex(),
        "Nothing is damaged".into(),
    ] {
        assert!(report.contains(&words), "{words}: {report}");
    }
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_need_the_node_stopped_refuse_while_it_runs() {
    let (mut world, authority) = prepared().await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    world.start().await;
    let photo = world.registered(&camera).await;
    let export = world.folder.path().join("export");
    let export = export.to_str().unwrap();
    let backup = world.folder.path().join("backup.db");
    let backup = backup.to_str().unwrap();
    // These only read.
    for command in [["export", export], ["backup", backup]] {
        let output = node(&world, &command);
        assert!(output.status.success(), "{}", text(&output));
    }
    let changing: [&[&str]; 4] = [
        &["reindex"],
        &["import", export],
        &["restore", backup],
        &["import-plan-chain", "postgres:///nowhere"],
    ];
    for command in changing {
        let output = node(&world, command);
        let said = text(&output);
        assert!(!output.status.success(), "{command:?}: {said}");
        assert!(
            said.contains("stop it first") || said.contains("is locked"),
            "{command:?}: {said}"
        );
    }
    // And a second node on the same database.
    let output = node(&world, &[]);
    assert!(text(&output).contains("is locked"), "{}", text(&output));
    assert_eq!(world.verify(&photo).await.0, 200);
    world.stop().await;
    let output = node(&world, &["reindex"]);
    assert!(output.status.success(), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_knows_its_own_files_and_backups_are_private() {
    let (mut world, authority) = prepared().await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    world.start().await;
    world.registered(&camera).await;
    let backup = world.folder.path().join("backup.db");
    let output = node(&world, &["backup", backup.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    let mode = std::fs::metadata(&backup).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.stop().await;
    // What holds blocks is never replaced.
    let output = node(&world, &["restore", backup.to_str().unwrap()]);
    assert!(
        text(&output).contains("move it away first"),
        "{}",
        text(&output)
    );
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(world.folder.path().join(format!("node.db{ending}")));
    }
    for file in ["genesis.toml", "node.toml", "test-maker/authority.db"] {
        let file = world.folder.path().join(file);
        let output = node(&world, &["restore", file.to_str().unwrap()]);
        let said = text(&output);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("is not a backup of a validator"), "{said}");
        assert!(!world.folder.path().join("node.db").exists());
    }
    // A database that a failed start left behind is empty, and is replaced as the help promises.
    let store = birthmark_node::store::Store::open(&world.settings.database)
        .await
        .unwrap();
    store.close().await;
    let output = node(&world, &["restore", backup.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    let output = node(&world, &["fsck"]);
    assert!(
        text(&output).contains("1 record checked, 0 problems"),
        "{}",
        text(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_files_that_cannot_be_used_end_with_status_78() {
    let (mut world, authority) = prepared().await;
    let whole = world.settings.clone();
    let ends = |world: &World, words: &str| {
        let output = node(world, &[]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(78), "{words}: {said}");
        assert!(said.contains(words), "{words}: {said}");
    };
    world.settings.genesis = world.folder.path().join("nowhere.toml");
    ends(&world, "nowhere.toml");
    world.settings = whole.clone();
    world.settings.authorities[0].ca = vec![world.folder.path().join("nowhere.pem")];
    ends(&world, "nowhere.pem");
    world.settings = whole;
    let (key, other) = (world.credentials(), tempfile::tempdir().unwrap());
    let name = KeyName::new("other.example").unwrap();
    setup::create_keys(&other.path().join("keys"), name).unwrap();
    for (credential, words) in [
        ("lookup-key", "lookup-key"),
        ("checkpoint-key", "checkpoint-key"),
        ("vote-key", "vote-key"),
    ] {
        let path = key.join(credential);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, "junk").unwrap();
        ends(&world, words);
        if credential != "lookup-key" {
            let of_another = other.path().join("keys").join(credential);
            std::fs::write(&path, std::fs::read(of_another).unwrap()).unwrap();
            ends(&world, "genesis");
        }
        std::fs::write(&path, good).unwrap();
    }
    drop(authority);
}
