//! Authorities know their validators by tokens: what is answered without one, and what with one.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::operator::{command, text};
use crate::world::{Base, World, client};

pub const CREDENTIAL: &str = "maker-token";

pub fn keep(credentials: &Path, token: &str) {
    let file = credentials.join(CREDENTIAL);
    std::fs::write(&file, token).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

async fn submit(world: &World, camera: &Camera) -> String {
    let body = camera.certificate_plan(digest(), now());
    world.submit("/api/v1/submit-cert", &body).await
}

/// Waits until the node's page says this about an authority.
async fn page_says(world: &World, words: &str) {
    for _ in 0..1200 {
        let answer = client().get(format!("{}/status", world.url)).send().await;
        let page = answer.unwrap().text().await.unwrap();
        if page.contains(words) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the page never says {words:?}");
}

/// From here on the authority answers nobody but validators that it knows. The token of one.
async fn short_of_room(authority: &mut Authority) -> String {
    authority
        .restart(|settings| {
            settings.rehearsal = false;
            settings.disk_reserve_mb = u64::MAX;
        })
        .await;
    authority.token("library.example").await
}

async fn is_waiting(world: &World, id: &str) -> bool {
    let (_, answer) = world.get(&format!("/api/v1/submission/{id}")).await;
    answer["status"] == "pending_validation"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_short_of_room_answers_only_the_validators_that_it_gave_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let token = short_of_room(&mut authority).await;

    let mut world = World::started(Base::Sqlite, folder, vec![authority.entry()]).await;
    let id = submit(&world, &camera).await;
    page_says(&world, "submissions wait").await;
    assert!(is_waiting(&world, &id).await);
    world.stop().await;

    // A token that is named and missing keeps the node from starting: it would be slow, and nobody
    // would know why.
    world.settings.authorities[0].token_credential = Some(CREDENTIAL.into());
    let refusal = format!("{:#}", world.try_start().await.unwrap_err());
    assert!(refusal.contains(CREDENTIAL), "{refusal}");

    keep(&world.credentials(), &token);
    world.start().await;
    world.stored(&id).await;
    world.stop().await;
    authority.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_questions_go_one_by_one_and_a_withdrawn_one_is_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    authority
        .restart(|settings| settings.rehearsal = false)
        .await;
    let token = authority.token("library.example").await;

    let mut world = World::started(Base::Sqlite, folder, vec![authority.entry()]).await;
    let id = submit(&world, &camera).await;
    world.stored(&id).await;
    world.stop().await;

    keep(&world.credentials(), &token);
    world.settings.authorities[0].token_credential = Some(CREDENTIAL.into());
    world.start().await;
    let id = submit(&world, &camera).await;
    world.stored(&id).await;
    authority.withdraw("library.example").await;
    let id = submit(&world, &camera).await;
    page_says(&world, "does not know this validator").await;
    assert!(is_waiting(&world, &id).await);
    world.stop().await;

    keep(
        &world.credentials(),
        &authority.token("library.example.2").await,
    );
    world.start().await;
    world.stored(&id).await;
    world.stop().await;
    authority.stop().await;
}

/// Hands a token to the node's command.
fn hand_over(world: &World, authority: &str, token: &str) -> Output {
    let credentials = world.credentials();
    let to = credentials.to_str().unwrap();
    let mut command = command(world, &["token", authority, "--to", to]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    writeln!(input, "{token}").unwrap();
    drop(input);
    running.wait_with_output().unwrap()
}

/// One command at the authority makes the token, one at the validator keeps it, and nothing else is
/// set.
#[tokio::test(flavor = "multi_thread")]
async fn one_command_on_each_side_makes_a_validator_known() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    // Both are the programs that ship, and the authority answers nobody whom it does not know.
    authority
        .restart(|settings| settings.disk_reserve_mb = u64::MAX)
        .await;
    let mut running = authority.as_process().await;
    let create = ["token", "create", "library.example", "--role", "validate"];
    let printed = authority.command(&create).unwrap();
    let token = printed.trim().to_owned();
    assert!(token.starts_with("bma_") && !token.contains(char::is_whitespace));
    let again = authority.command(&create).unwrap_err();
    assert!(again.contains("there is or was a token"), "{again}");
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    let kept = world.credentials().join("birthmark-node.token.test-maker");

    for (maker, token, said) in [
        ("test-maker", "x".repeat(43), "does not know this token"),
        ("test-maker", "a token".into(), "this is no token"),
        ("nobody", token.clone(), "has no authority \"nobody\""),
    ] {
        let refused = hand_over(&world, maker, &token);
        let words = text(&refused);
        assert!(!refused.status.success() && words.contains(said), "{words}");
        assert!(!words.contains(&token) && !kept.exists(), "{words}");
    }
    let taken = hand_over(&world, "test-maker", &token);
    let said = text(&taken);
    assert!(taken.status.success(), "{said}");
    assert!(said.contains("test-maker knows this validator"), "{said}");
    assert!(!said.contains(&token), "{said}");
    let mode = kept.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let report = text(&command(&world, &["doctor"]).output().unwrap());
    assert!(
        report.contains("knows this validator by its token"),
        "{report}"
    );

    world.start().await;
    let id = submit(&world, &camera).await;
    world.stored(&id).await;
    world.stop().await;

    // What it withdraws, doctor notices.
    let withdraw = ["token", "revoke", "library.example"];
    let said = authority.command(&withdraw).unwrap();
    assert!(said.contains("is withdrawn"), "{said}");
    let report = text(&command(&world, &["doctor"]).output().unwrap());
    assert!(
        report.contains("does not know this validator's token"),
        "{report}"
    );
    // While it is away, a token is kept, and that nobody asked is said.
    running.kill();
    let kept_anyway = hand_over(&world, "test-maker", &token);
    let said = text(&kept_anyway);
    assert!(said.contains("is not known"), "{said}");
}
