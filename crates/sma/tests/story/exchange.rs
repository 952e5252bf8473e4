//! Cameras in bulk, files of other authorities, backup and restore.

use std::path::Path;

use serde_json::{Value, json};

use crate::camera::{Camera, public_key};
use crate::stand::{Base, Stand};
use birthmark_testkit::postgres::Postgres;

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_csv_file_is_registered_and_can_be_continued() {
    let mut stand = Stand::sqlite().await;
    stand.stop().await;
    // The folder is made: nothing is registered whose file could not be written.
    let out = stand.path("out");
    let csv = stand.path("cameras.csv");
    let folder = stand.folder.path().to_owned();
    let line = |serial: &str| {
        let key = folder.join(format!("{serial}.pem"));
        if !key.exists() {
            std::fs::write(&key, public_key()).unwrap();
        }
        format!("{serial},Test Camera,{}\n", key.display())
    };
    let bad = "CAM-3,Test Camera,/nonexistent.pem\n";
    std::fs::write(
        &csv,
        format!(
            "serial,family,public_key_file,nuc_hash\n{}{}{bad}",
            line("CAM-1"),
            line("CAM-2")
        ),
    )
    .unwrap();
    let paths: Vec<String> = [&csv, &stand.path("report.jsonl"), &out]
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let call = [
        "provision-bulk",
        "--csv",
        &paths[0],
        "--report",
        &paths[1],
        "--out",
        &paths[2],
    ];
    let error = stand.command(&call).await.unwrap_err();
    assert!(error.contains("1 camera was not registered"), "{error}");
    std::fs::write(
        &csv,
        format!(
            "serial,family,public_key_file,nuc_hash\n{}{}{}",
            line("CAM-1"),
            line("CAM-2"),
            line("CAM-3")
        ),
    )
    .unwrap();
    let printed = stand.command(&call).await.unwrap();
    assert!(printed.contains("1 registered, 2 left out"), "{printed}");
    let file = json_file(&out.join("CAM-3.json"));
    assert_eq!(file["master_keys"].as_object().unwrap().len(), 3);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        out.join("CAM-3.json")
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

/// What was registered while its file could not be written is not lost: whoever asks again is given
/// it.
#[tokio::test]
async fn a_camera_whose_file_could_not_be_written_is_given_it_again() {
    let mut stand = Stand::sqlite().await;
    let (key, csv) = (stand.path("CAM-1.pem"), stand.path("cameras.csv"));
    std::fs::write(&key, public_key()).unwrap();
    let line = format!("CAM-1,Test Camera,{}", key.display());
    std::fs::write(&csv, format!("serial,family,public_key_file\n{line}\n")).unwrap();
    let (out, report) = (stand.path("out"), stand.path("report.jsonl"));
    let paths = [&csv, &report, &out].map(|path| path.display().to_string());
    let call = [
        "provision-bulk",
        "--csv",
        &paths[0],
        "--report",
        &paths[1],
        "--out",
        &paths[2],
    ];

    // Where no folder can be, nothing is registered.
    std::fs::write(&out, "a file").unwrap();
    let error = stand.command(&call).await.unwrap_err();
    assert!(error.contains("out"), "{error}");
    assert_eq!(stand.get("/stats").await.1["total_devices"], 0);
    std::fs::remove_file(&out).unwrap();

    // The power fails between the registration and the file: both files of the command are gone.
    stand.command(&call).await.unwrap();
    let first = json_file(&out.join("CAM-1.json"));
    for file in [&out.join("CAM-1.json"), &report] {
        std::fs::remove_file(file).unwrap();
    }
    let printed = stand.command(&call).await.unwrap();
    assert!(printed.contains("1 registered"), "{printed}");
    let second = json_file(&out.join("CAM-1.json"));
    assert_eq!(first, second);
    let left: Vec<_> = std::fs::read_dir(&out).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    // Another key for the same camera is another matter.
    std::fs::write(&key, public_key()).unwrap();
    for file in [&out.join("CAM-1.json"), &report] {
        std::fs::remove_file(file).unwrap();
    }
    stand.command(&call).await.unwrap_err();
    let reason = std::fs::read_to_string(&report).unwrap();
    assert!(reason.contains("provisioned already"), "{reason}");
    stand.stop().await;
}

#[tokio::test]
async fn a_backup_brings_everything_back_in_the_other_database() {
    let mut stand = Stand::sqlite().await;
    let (good, revoked) = (
        Camera::provision(&stand, "CAM-1").await,
        Camera::provision(&stand, "CAM-2").await,
    );
    stand
        .post(
            "/api/v1/revocations",
            &json!({"scope": {"kind": "device", "serial": "CAM-2"}, "reason": "stolen"}),
        )
        .await;
    assert!(good.is_valid(&stand).await);
    let saved = stand.path("authority.backup");
    // As an attempt leaves it that the power cut short.
    std::fs::write(stand.path("authority.backup.unfinished"), "half").unwrap();
    // While it runs.
    stand
        .command(&["backup", "--to", saved.to_str().unwrap()])
        .await
        .unwrap();
    stand.stop().await;

    let server = Postgres::start().unwrap();
    stand.settings.database = server.database("restored").unwrap();
    stand.base = Base::Postgres(server);
    stand
        .command(&["restore", "--from", saved.to_str().unwrap()])
        .await
        .unwrap();
    stand.start().await;
    assert!(good.is_valid(&stand).await && !revoked.is_valid(&stand).await);
    // New numbers follow the old ones.
    let third = Camera::provision(&stand, "CAM-3").await;
    assert!(third.is_valid(&stand).await);
    stand.stop().await;
    stand.command(&["audit", "verify"]).await.unwrap();

    // And back again.
    let server = std::mem::replace(&mut stand.base, Base::Sqlite);
    let returned = stand.path("returned.backup");
    let postgres = stand.settings.database.clone();
    stand
        .command(&["backup", "--to", returned.to_str().unwrap()])
        .await
        .unwrap();
    stand.settings.database = format!("sqlite://{}", stand.path("returned.db").display());
    stand
        .command(&["restore", "--from", returned.to_str().unwrap()])
        .await
        .unwrap();
    stand.start().await;
    assert!(third.is_valid(&stand).await && !revoked.is_valid(&stand).await);
    Camera::provision(&stand, "CAM-4").await;
    stand.stop().await;
    stand.command(&["audit", "verify"]).await.unwrap();
    (stand.base, stand.settings.database) = (server, postgres);

    // A second time there is something to lose; a backup cut short is no backup.
    assert!(
        stand
            .command(&["restore", "--from", saved.to_str().unwrap()])
            .await
            .is_err()
    );
    let text = std::fs::read_to_string(&saved).unwrap();
    let cut = stand.path("cut.backup");
    std::fs::write(
        &cut,
        text.lines()
            .take(100)
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
    .unwrap();
    let Base::Postgres(server) = &stand.base else {
        panic!()
    };
    stand.settings.database = server.database("empty").unwrap();
    let error = stand
        .command(&["restore", "--from", cut.to_str().unwrap()])
        .await
        .unwrap_err();
    assert!(error.contains("cut off"), "{error}");
    stand
        .command(&["restore", "--from", saved.to_str().unwrap()])
        .await
        .unwrap();
}

#[tokio::test]
async fn files_of_the_field_go_out_and_come_in() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    let (tables, devices) = (
        stand.path("key_tables.json"),
        stand.path("device_registry.json"),
    );
    stand
        .command(&["export", "key-tables", "--to", tables.to_str().unwrap()])
        .await
        .unwrap();
    stand
        .command(&[
            "export",
            "device-registry",
            "--to",
            devices.to_str().unwrap(),
        ])
        .await
        .unwrap();
    let exported = json_file(&tables);
    assert_eq!(
        (
            exported["total_tables"].as_u64(),
            exported["tables_per_device"].as_u64()
        ),
        (Some(2500), Some(3))
    );
    assert_eq!(
        exported["assigned_tables"]["CAM-1"],
        camera.answer["table_assignments"]
    );
    assert_eq!(
        json_file(&devices)["devices"][0]["nuc_hash"],
        camera.answer["nuc_hash"]
    );
    stand.stop().await;

    // Another authority takes over the tables and the cameras: tokens of the first open there.
    stand.settings.database = format!("sqlite://{}", stand.path("second.db").display());
    let root_key = stand.path("second.key.pem");
    let public = stand.path("public");
    std::fs::create_dir(&public).unwrap();
    stand
        .command(&[
            "init",
            "--root-key",
            root_key.to_str().unwrap(),
            "--out",
            public.to_str().unwrap(),
            "--key-tables",
            tables.to_str().unwrap(),
        ])
        .await
        .unwrap();
    let printed = stand
        .command(&["import", "--from", devices.to_str().unwrap()])
        .await
        .unwrap();
    assert!(printed.contains("1 cameras were imported"), "{printed}");
    let again = stand
        .command(&["import", "--from", devices.to_str().unwrap()])
        .await
        .unwrap();
    assert!(again.contains("0 cameras were imported, 1"), "{again}");
    assert!(
        stand
            .command(&[
                "init",
                "--root-key",
                stand.path("third.key.pem").to_str().unwrap()
            ])
            .await
            .unwrap_err()
            .contains("already")
    );
    stand.start().await;
    assert!(camera.is_valid(&stand).await);
    stand.stop().await;
}
