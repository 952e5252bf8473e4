//! The operator's commands: check, rebuild, move, back up, restore, diagnose.

use std::process::{Command, Output};

use birthmark_daemon::Credentials;
use birthmark_ledger::{Checkpoint, SignedCheckpoint};
use birthmark_node::commands::{Cosigner, export, fsck, import, reindex};
use birthmark_node::registry::Registry;
use birthmark_node::store::{Store, StoreUrl};

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::world::{Base, World};

async fn filled(base: Base) -> (World, Authority, Vec<birthmark_protocol::Digest>) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::started(base, folder, vec![authority.entry()]).await;
    let mut photos = Vec::new();
    for _ in 0..3 {
        let mut ids = Vec::new();
        for _ in 0..20 {
            let photo = digest();
            photos.push(photo);
            ids.push(
                world
                    .submit(
                        "/api/v1/submit-cert",
                        &camera.certificate_plan(photo, now()),
                    )
                    .await,
            );
        }
        for id in ids {
            world.stored(&id).await;
        }
    }
    world.stop().await;
    (world, authority, photos)
}

async fn registry(world: &World) -> Registry {
    let store = Store::open(&world.settings.database).await.unwrap();
    Registry::open(store, world.genesis.clone()).await.unwrap()
}

pub fn node(world: &World, arguments: &[&str]) -> Output {
    command(world, arguments).output().unwrap()
}

pub fn command(world: &World, arguments: &[&str]) -> Command {
    let config = world.folder.path().join("node.toml");
    std::fs::write(&config, toml::to_string(&world.settings).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_birthmark-node"));
    command.arg("--config").arg(&config).args(arguments);
    command.env("CREDENTIALS_DIRECTORY", world.credentials());
    command
}

pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn checked_rebuilt_and_moved(base: Base) {
    let (world, authority, photos) = filled(base).await;
    let whole = registry(&world).await;
    let findings = fsck(&whole).await.unwrap();
    assert_eq!(
        (findings.count, findings.records),
        (0, 60),
        "{:?}",
        findings.problems
    );

    // An index that lost an entry is found, and built again.
    whole.store().clear_index().await.unwrap();
    assert!(fsck(&whole).await.unwrap().count > 0);
    reindex(&whole).await.unwrap();
    assert_eq!(fsck(&whole).await.unwrap().count, 0);

    // The chain as plain files, read into an empty database of the other kind of caution.
    let files = world.folder.path().join("export");
    let blocks = export(&whole, &files).await.unwrap();
    assert_eq!(
        (blocks, export(&whole, &files).await.unwrap()),
        (whole.tip().height().get(), 0)
    );
    let url = StoreUrl::new(format!(
        "sqlite://{}",
        world.folder.path().join("copy.db").display()
    ));
    let copy = Registry::open(Store::open(&url).await.unwrap(), world.genesis.clone())
        .await
        .unwrap();
    let keys = birthmark_node::identity::keys(&Credentials::at(world.credentials())).unwrap();
    let cosigner = Cosigner::new(keys);
    let read = import(&copy, &files, Some(&cosigner)).await.unwrap();
    assert_eq!(read, blocks);
    // The validator stands by each checkpoint as it did when it saw the block, and says when it
    // checked it.
    for height in 1..=blocks {
        let written = whole.block(height).await.unwrap().unwrap();
        let imported = copy.block(height).await.unwrap().unwrap();
        for decided in [&written, &imported] {
            let header = &decided.block.header;
            let cosigned = SignedCheckpoint {
                checkpoint: Checkpoint::after(world.genesis.chain_id.clone(), header),
                signatures: decided.checkpoint_lines.clone(),
            };
            let times = cosigned.cosigners(&world.genesis.validators).unwrap();
            let time = times.into_values().next().unwrap();
            assert!(time >= header.time.timestamp());
        }
    }
    assert_eq!(
        (copy.tip().hash(), copy.tip().frontier()),
        (whole.tip().hash(), whole.tip().frontier())
    );
    assert_eq!(fsck(&copy).await.unwrap().count, 0);
    for photo in &photos {
        assert_eq!(copy.find(photo).await.unwrap().len(), 1);
    }

    // One changed byte in a file is refused with the block's number.
    let damaged = world.folder.path().join("damaged.db");
    let url = StoreUrl::new(format!("sqlite://{}", damaged.display()));
    let fresh = Registry::open(Store::open(&url).await.unwrap(), world.genesis.clone())
        .await
        .unwrap();
    let file = files.join("000000").join("000000000002.block");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(format!("{:#}", import(&fresh, &files, None).await.unwrap_err()).contains("block 2"));
    whole.store().close().await;
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_checked_rebuilt_and_moved_on_sqlite() {
    checked_rebuilt_and_moved(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_checked_rebuilt_and_moved_on_postgresql() {
    checked_rebuilt_and_moved(Base::postgres()).await;
}

/// The drill: back up, lose everything, restore, check, go on; and a backup that is too old is not
/// built upon.
async fn the_restore_drill(base: Base) {
    let (mut world, authority, photos) = filled(base).await;
    let backup = world.folder.path().join("backup");
    let output = node(&world, &["backup", backup.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        !node(&world, &["backup", backup.to_str().unwrap()])
            .status
            .success(),
        "a backup is never overwritten"
    );

    lose(&mut world);
    let output = node(&world, &["restore", backup.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    let output = node(&world, &["fsck"]);
    assert!(
        output.status.success() && text(&output).contains("60 records checked, 0 problems"),
        "{}",
        text(&output)
    );
    world.start().await;
    for photo in &photos {
        assert_eq!(world.verify(photo).await.0, 200);
    }
    let camera = Camera::new(&authority, "CAM-0002").await;
    world.registered(&camera).await;
    world.stop().await;

    // The backup is older now than what this validator has signed: the node refuses to start on it.
    lose(&mut world);
    assert!(
        node(&world, &["restore", backup.to_str().unwrap()])
            .status
            .success()
    );
    let output = node(&world, &[]);
    assert!(
        !output.status.success() && text(&output).contains("it was set back"),
        "{}",
        text(&output)
    );
    drop(authority);
}

fn lose(world: &mut World) {
    match &world.base {
        Base::Sqlite => {
            for ending in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(world.folder.path().join(format!("node.db{ending}")));
            }
        }
        Base::Postgres(server) => {
            let name = format!("node{}", u32::from_be_bytes(crate::camera::random()));
            world.settings.database = StoreUrl::new(server.database(&name).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_restore_drill_on_sqlite() {
    the_restore_drill(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_restore_drill_on_postgresql() {
    the_restore_drill(Base::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_say_what_they_found() {
    let (mut world, authority, _) = filled(Base::Sqlite).await;
    let output = node(&world, &["stats"]);
    assert!(
        text(&output).contains("records             60"),
        "{}",
        text(&output)
    );
    let output = node(&world, &["doctor"]);
    let report = text(&output);
    assert!(
        report.contains("keys belong to library.example") && report.contains("answers"),
        "{report}"
    );
    // Somebody's own shell has no credentials: that is said, and is no problem of the node's.
    let by_hand = command(&world, &["doctor"])
        .env_remove("CREDENTIALS_DIRECTORY")
        .output()
        .unwrap();
    let said = text(&by_hand);
    assert!(said.contains("skipped  keys: systemd hands them"), "{said}");
    assert!(!said.contains("credential `vote-key`"), "{said}");
    assert!(
        report.contains("no list of revoked certificates") && !output.status.success(),
        "{report}"
    );
    assert!(
        report.contains("no peers to reach") && report.contains("served in the clear"),
        "{report}"
    );
    // Each thing that is wrong is named, with what to do.
    let (mut ill, at) = (world.settings.clone(), world.folder.path().to_owned());
    ill.http.tls = Some(birthmark_http::TlsFiles {
        certificate: at.join("expired.pem"),
        key: at.join("key.pem"),
    });
    std::fs::write(at.join("expired.pem"), "nothing").unwrap();
    ill.software_authorities = vec![birthmark_node::settings::SoftwareAuthoritySettings {
        id: "software".into(),
        ca: vec![at.join("test-maker/root.pem")],
        revoked: None,
    }];
    let whole = std::mem::replace(&mut world.settings, ill);
    let output = node(&world, &["doctor"]);
    let report = text(&output);
    for words in [
        "expired.pem",
        "Correct `http.tls`",
        "stolen software key stays welcome",
    ] {
        assert!(
            report.contains(words) && !output.status.success(),
            "{words}: {report}"
        );
    }
    world.settings = whole;
    let output = node(&world, &["check-config"]);
    assert!(output.status.success(), "{}", text(&output));
    std::fs::remove_file(world.credentials().join("vote-key")).unwrap();
    let output = node(&world, &[]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    drop(authority);
}

/// An existing chain of the node plan's schema is taken over, hash by hash, and says whose word it
/// is.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_the_node_plan_is_taken_over() {
    let (mut world, authority, photos) = filled(Base::postgres()).await;
    let Base::Postgres(server) = &world.base else {
        unreachable!()
    };
    let url = server.database("plan").unwrap();
    let old = sqlx::PgPool::connect(&url).await.unwrap();
    for sql in [
        "CREATE TABLE blocks (block_height BIGINT PRIMARY KEY, block_hash CHAR(64) NOT NULL UNIQUE, previous_hash CHAR(64) NOT NULL, timestamp BIGINT NOT NULL, validator_id VARCHAR(255) NOT NULL, signature TEXT NOT NULL)",
        "CREATE TABLE transactions (tx_id SERIAL PRIMARY KEY, tx_hash CHAR(64) NOT NULL UNIQUE, block_height BIGINT REFERENCES blocks(block_height), aggregator_id VARCHAR(255) NOT NULL, batch_size INTEGER NOT NULL, signature TEXT NOT NULL)",
        "CREATE TABLE image_hashes (image_hash CHAR(64) PRIMARY KEY, tx_id INTEGER REFERENCES transactions(tx_id), block_height BIGINT REFERENCES blocks(block_height), timestamp BIGINT NOT NULL, gps_hash CHAR(64))",
        "INSERT INTO blocks VALUES (1, repeat('a', 64), repeat('0', 64), 1700000000, 'old', 'x')",
        "INSERT INTO transactions (tx_hash, block_height, aggregator_id, batch_size, signature) VALUES (repeat('b', 64), 1, 'old_university', 3, 'x')",
    ] {
        sqlx::query(sql).execute(&old).await.unwrap();
    }
    let fresh = [digest(), digest()];
    for photo in [fresh[0], fresh[1], photos[0]] {
        sqlx::query("INSERT INTO image_hashes VALUES ($1, 1, 1, 1700000000, NULL)")
            .bind(photo.to_hex())
            .execute(&old)
            .await
            .unwrap();
    }
    old.close().await;
    // Asked twice, because the first time may have been cut short: what waits, waits once.
    for _ in 0..2 {
        let output = node(&world, &["import-plan-chain", &url]);
        assert!(
            output.status.success()
                && text(&output)
                    .contains("2 hashes wait for their blocks, 1 were registered already"),
            "{}",
            text(&output)
        );
    }
    world.start().await;
    for photo in fresh {
        let mut answer = world.verify(&photo).await;
        for _ in 0..200 {
            if answer.0 == 200 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            answer = world.verify(&photo).await;
        }
        assert_eq!(
            (
                answer.1["authority"].as_str(),
                answer.1["timestamp"].as_i64()
            ),
            (Some("old_university"), Some(1_700_000_000))
        );
        assert_eq!(answer.1["assurance"].as_str(), None);
        assert_eq!(answer.1["records"].as_array().unwrap().len(), 1);
    }
    // Taken over, the hashes are registered like any other: cosigned, and proven by a receipt.
    world.check_receipt_of(&fresh[0].to_string()).await;
    world.stop().await;
    let output = node(&world, &["fsck"]);
    assert!(
        text(&output).contains("62 records checked, 0 problems"),
        "{}",
        text(&output)
    );
    drop(authority);
}

/// The first hour of an operator: keys, genesis and a server's token come before there is a
/// configuration.
#[test]
fn the_first_commands_need_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_birthmark-node"))
            .arg("--config")
            .arg(folder.path().join("there-is-none.toml"))
            .args(arguments)
            .current_dir(folder.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = run(&["keys", "keys", "--name", ""], "");
    assert!(text(&output).contains("--name: "), "{}", text(&output));
    let output = run(&["keys", "keys", "--name", "library.example"], "");
    assert!(output.status.success(), "{}", text(&output));
    std::fs::write(folder.path().join("validator.toml"), &output.stdout).unwrap();
    let genesis = [
        "genesis",
        "genesis.toml",
        "--chain-id",
        "example/registry",
        "--start",
        "1790000000",
        "--validator",
        "validator.toml",
    ];
    let output = run(&genesis, "");
    assert!(output.status.success(), "{}", text(&output));
    // The same answers give the same genesis; one that exists is never overwritten.
    assert!(!run(&genesis, "").status.success());
    let first = text(&output);
    std::fs::remove_file(folder.path().join("genesis.toml")).unwrap();
    assert_eq!(text(&run(&genesis, "")), first);
    let output = run(&["hash-token"], "a token for tests only\n");
    let expected = birthmark_protocol::Digest::of(b"a token for tests only").to_hex();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected);
    let output = run(&["hash-token"], "short");
    assert!(
        text(&output).contains("can be guessed"),
        "{}",
        text(&output)
    );
    // What does need one still says so.
    assert_eq!(run(&["stats"], "").status.code(), Some(78));
}
