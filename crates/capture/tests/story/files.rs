//! Files: configuration, replayed frames, and a very long queue.

use std::process::Command;

use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::queue::{Entry, EntryId, Stage};
use birthmark_capture::settings::Source;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_frame_has_the_digest_of_the_original() {
    let mut world = World::new().await;
    let _signer = world.sign();
    world.settings.dng = true;
    let mut camera = world.shoot().await;
    let original = camera.capture().await;
    camera.stop().await;
    let frames = world.path("frames");
    std::fs::create_dir(&frames).unwrap();
    let dng = std::path::Path::new(&original.path).with_extension("dng");
    std::fs::copy(dng, frames.join("1.dng")).unwrap();

    world.settings.source = Some(Source::Dng { folder: frames });
    let mut camera = world.shoot().await;
    let replayed = camera.capture().await;
    assert_eq!(replayed.raw, original.raw);
    assert!(
        camera
            .status()
            .await
            .source
            .unwrap()
            .starts_with("replay of")
    );
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_opened_listed_and_shot_on() {
    let mut world = World::new().await;
    let _signer = world.sign();
    world.settings.node = "http://127.0.0.1:9".to_owned().into();
    let many = 20_000;
    let entry = Entry {
        photo: "2026-11-20/a.jpg".to_owned(),
        bundle: "AAAA".to_owned(),
        anchor_block: None,
        opening: "00".repeat(32),
        refusals: Vec::new(),
        stage: Stage::Refused {
            proof: None,
            reason: "no".to_owned(),
            // Of today: it is not offered again.
            at: birthmark_sensor::clock::now_ns() / 1_000_000_000,
        },
    };
    let refused = world.settings.state.join("refused");
    for number in 0..many {
        let id = EntryId::new(i64::from(number), u64::from(number as u32));
        let folder = refused.join(id.shard());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(id.to_string()), entry.encode().unwrap()).unwrap();
    }
    let mut camera = world.shoot().await;
    assert_eq!(camera.status().await.refused, i64::from(many));
    camera.capture().await;
    let (mut after, mut seen) = (None::<String>, 0);
    loop {
        let page = camera
            .calls
            .list_queue(after.as_deref(), 500)
            .await
            .unwrap()
            .unwrap();
        seen += page.items.len();
        let Some(next) = page.next else { break };
        assert!(after.is_none_or(|after| next > after));
        after = Some(next);
    }
    assert_eq!(seen, many as usize + 1);
    camera.stop().await;
}

#[test]
fn a_wrong_setting_is_named_and_ends_with_the_status_for_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("capture.toml");
    for (text, named) in [
        ("shutter = 1\n", "shutter"),
        ("jpeg_quality = 101\n", "jpeg_quality"),
        ("node = \"gopher://x\"\n", "node"),
    ] {
        let text = format!("{text}[source]\nkind = \"libcamera\"\n");
        std::fs::write(&config, text).unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_birthmark-capture"))
            .args([
                "--config".as_ref(),
                config.as_os_str(),
                "check-config".as_ref(),
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&program.stderr);
        assert_eq!(program.status.code(), Some(78), "{said}");
        assert!(said.contains(named), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_says_which_system_took_it_and_a_digest_that_is_none_is_refused() {
    let mut world = World::new().await;
    let _signer = world.sign();
    let file = world.path("image-digest");
    let digest = birthmark_protocol::Digest::of(b"an image");
    std::fs::write(&file, format!("{digest}\n")).unwrap();
    world.settings.software = Some(file.clone());
    let mut camera = world.shoot().await;
    let photo = camera.capture().await;
    let sidecar = std::path::Path::new(&photo.path).with_extension("json");
    let sidecar: birthmark_capture::sidecar::Sidecar =
        serde_json::from_slice(&std::fs::read(sidecar).unwrap()).unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &sidecar.bundle);
    let bundle = birthmark_protocol::Bundle::decode(&bytes.unwrap()).unwrap();
    assert_eq!(bundle.capture().unwrap().software, Some(digest));
    camera.stop().await;

    std::fs::write(&file, "release 7").unwrap();
    let (context, _ready) = birthmark_daemon::Context::embedded(
        birthmark_daemon::Credentials::none(),
        birthmark_daemon::Shutdown::default(),
    );
    let settings = world.settings.clone();
    let error = birthmark_capture::run(settings, context).await.unwrap_err();
    let told = format!("{error:#}");
    assert!(
        told.contains("`software`") && told.contains("image-digest"),
        "{told}"
    );
}

#[test]
fn a_machine_that_trusts_no_certificate_authority_is_told_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("capture.toml");
    let place = folder.path().display();
    std::fs::write(
        &config,
        format!(
            "socket = \"{place}/socket\"\nphotos = \"{place}/photos\"\nstate = \"{place}/state\"\n[source]\nkind = \"simulated\"\nsensor = 7\nwidth = 1016\nheight = 760\n"
        ),
    )
    .unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_birthmark-capture"))
        .args(["--config".as_ref(), config.as_os_str()])
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&program.stderr);
    assert!(!program.status.success(), "{said}");
    for part in ["ca-certificates", "No CA certificates were loaded"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_commented_example_is_a_good_configuration() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/capture.example.toml");
    let text = std::fs::read_to_string(example).unwrap();
    let written: birthmark_capture::CaptureSettings = toml::from_str(&text).unwrap();
    let defaults = birthmark_capture::CaptureSettings {
        source: Some(Source::V4l2 {
            device: "/dev/video0".into(),
        }),
        ..birthmark_capture::CaptureSettings::default()
    };
    assert_eq!(
        toml::to_string(&written).unwrap(),
        toml::to_string(&defaults).unwrap(),
        "the example shows the defaults, and a source"
    );
}
