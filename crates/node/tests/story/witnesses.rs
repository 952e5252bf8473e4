//! Witnesses outside of the registry: two registries sign each other, and nobody waits for one that
//! hangs, lies or talks nonsense.

use std::time::Duration;

use birthmark_ledger::witness::VerifierKey;
use birthmark_ledger::{
    ChainId, Checkpoint, CheckpointKey, KeyName, SignedCheckpoint, Validator, VoteKey,
    VoteSigner as _,
};
use birthmark_node::settings::{LogSettings, WitnessOfUs, WitnessSettings};
use birthmark_node::setup;
use birthmark_protocol::Digest;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::camera::{Camera, now};
use crate::world::{Base, World, client};

/// A registry of another name.
async fn registry(name: &str) -> (World, Authority, Camera) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let mut world = World::prepare(Base::Sqlite, folder, vec![authority.entry()]);
    world.genesis.chain_id = ChainId::new(name).unwrap();
    std::fs::remove_file(&world.settings.genesis).unwrap();
    setup::write_genesis(&world.settings.genesis, &world.genesis).unwrap();
    (world, authority, camera)
}

fn member(world: &World) -> &Validator {
    &world.genesis.validators.validators()[0]
}

/// What `birthmark-node witness` prints for others to take over.
fn log_of(world: &World) -> LogSettings {
    let origin = world.genesis.chain_id.clone();
    let key = member(world).log_verifier_key(&origin).parse().unwrap();
    LogSettings {
        origin,
        keys: vec![key],
    }
}

fn witness_of(logs: Vec<LogSettings>) -> Option<WitnessSettings> {
    Some(WitnessSettings { folder: None, logs })
}

fn cosigner(world: &World) -> VerifierKey {
    member(world).verifier_key().parse().unwrap()
}

/// Waits until this is so.
async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: not in a minute");
}

async fn fetch(url: String) -> (u16, String) {
    let answer = client().get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn post(world: &World, body: String) -> (u16, String, String) {
    let place = format!("{}/witness/add-checkpoint", world.url);
    let answer = client().post(place).body(body).send().await.unwrap();
    let kind = answer.headers().get("content-type");
    let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
    let status = answer.status().as_u16();
    (status, kind, answer.text().await.unwrap())
}

/// The checkpoint that witnesses signed last, once it has so many records.
async fn witnessed(world: &World, size: u64) -> SignedCheckpoint {
    until("no witness signed", async || {
        let (status, text) = fetch(format!("{}/api/v1/checkpoint/witnessed", world.url)).await;
        let signed = (status == 200).then(|| SignedCheckpoint::parse(&text).unwrap())?;
        (signed.checkpoint.size == size).then_some(signed)
    })
    .await
}

fn holds(signed: &SignedCheckpoint, key: &VerifierKey) -> bool {
    let time = signed
        .signatures
        .iter()
        .find_map(|line| key.cosigned_at(&signed.checkpoint, line));
    time.is_some_and(|time| time.unix().abs_diff(now().unix()) < 120)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_registries_witness_each_other() {
    let (mut one, _one_authority, camera) = registry("one.example/registry").await;
    let (mut other, _other_authority, other_camera) = registry("other.example/registry").await;
    one.settings.witness = witness_of(vec![log_of(&other)]);
    other.settings.witness = witness_of(vec![log_of(&one)]);
    one.start().await;
    other.settings.witnesses = vec![WitnessOfUs {
        url: format!("{}/witness", one.url),
        key: cosigner(&one),
    }];
    other.start().await;
    one.stop().await;
    one.settings.http.listen = one.url.trim_start_matches("http://").parse().unwrap();
    one.settings.witnesses = vec![WitnessOfUs {
        url: format!("{}/witness", other.url),
        key: cosigner(&other),
    }];
    one.start().await;

    one.registered(&camera).await;
    other.registered(&other_camera).await;
    for (world, witness) in [(&one, &other), (&other, &one)] {
        let signed = witnessed(world, 1).await;
        assert!(holds(&signed, &cosigner(witness)), "{signed}");
        // It stands under the newest checkpoint as well, and in the state for people.
        let (_, newest) = fetch(format!("{}/checkpoint", world.url)).await;
        assert!(holds(
            &SignedCheckpoint::parse(&newest).unwrap(),
            &cosigner(witness)
        ));
        let (_, status) = world.get("/api/v1/status").await;
        let said = &status["witnesses"][0];
        assert_eq!(
            (&said["records"], &said["trouble"]),
            (&Value::from(1), &Value::Null)
        );
        // Whoever reads the policy learns of it, and is not made to wait for it.
        let (_, policy) = fetch(format!("{}/api/v1/tlog-policy", world.url)).await;
        let (key, url) = (cosigner(witness), &witness.url);
        let line = format!("\nwitness outside+{} {key} {url}/witness\n", key.name());
        assert!(policy.contains(&line), "{policy}");
        assert!(policy.ends_with("\nquorum validators\n"), "{policy}");
        // And the witness tells everybody what it signed.
        let origin = world.genesis.chain_id.to_string();
        let hash = Digest::of(origin.as_bytes());
        let (_, kept) = fetch(format!("{}/witness/{hash}/checkpoint", witness.url)).await;
        assert_eq!(
            SignedCheckpoint::parse(&kept).unwrap().checkpoint,
            signed.checkpoint
        );
    }

    // It grows, and is signed again; a witness that starts anew knows what it signed.
    one.registered(&camera).await;
    other.stop().await;
    other.settings.http.listen = other.url.trim_start_matches("http://").parse().unwrap();
    other.start().await;
    one.registered(&camera).await;
    let signed = witnessed(&one, 3).await;
    assert!(holds(&signed, &cosigner(&other)));
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_answers_each_question_with_the_status_that_the_protocol_names() {
    let (mut witness, _authority, _) = registry("one.example/registry").await;
    let (mut world, _other_authority, camera) = registry("other.example/registry").await;
    let (mut twin, _twin_authority, twin_camera) = registry("other.example/registry").await;
    // The twin's key signs in the same name: another history of the registry.
    let mut log = log_of(&world);
    log.keys.extend(log_of(&twin).keys);
    witness.settings.witness = witness_of(vec![log]);
    witness.start().await;
    world.start().await;
    twin.start().await;
    world.registered(&camera).await;
    twin.registered(&twin_camera).await;
    let checkpoint = fetch(format!("{}/checkpoint", world.url)).await.1;
    let forked = fetch(format!("{}/checkpoint", twin.url)).await.1;

    let (status, _, said) = post(&witness, format!("old 1\n\n{checkpoint}")).await;
    assert_eq!(
        (status, said.as_str()),
        (409, "0\n"),
        "nothing was seen before"
    );
    let (status, _, line) = post(&witness, format!("old 0\n\n{checkpoint}")).await;
    assert_eq!(status, 200, "{line}");
    assert!(line.starts_with("\u{2014} library.example "), "{line}");
    let (status, kind, said) = post(&witness, format!("old 0\n\n{checkpoint}")).await;
    assert_eq!((status, said.as_str()), (409, "1\n"));
    assert_eq!(kind, "text/x.tlog.size");
    let (status, ..) = post(&witness, format!("old 1\n\n{checkpoint}")).await;
    assert_eq!(status, 200, "the same again, for a fresh date");
    let (status, _, said) = post(&witness, format!("old 1\n\n{forked}")).await;
    assert!(
        status == 422 && said.contains("does not continue"),
        "{said}"
    );
    let (status, _, said) = post(&witness, "what?".to_owned()).await;
    assert!(status == 400 && said.contains("blank line"), "{said}");
    let (status, _, said) = post(&witness, format!("old 2\n\n{checkpoint}")).await;
    assert!(status == 400 && said.contains("has only 1"), "{said}");
    let other = checkpoint.replacen("other.example/registry\n", "third.example\n", 1);
    let (status, _, said) = post(&witness, format!("old 0\n\n{other}")).await;
    assert!(
        status == 404 && said.contains("does not know that log"),
        "{said}"
    );
    let unsigned = checkpoint.replacen("\n1\n", "\n2\n", 1);
    let (status, _, said) = post(&witness, format!("old 1\n\n{unsigned}")).await;
    assert!(status == 403 && said.contains("no line"), "{said}");
    let (status, ..) = post(&witness, "x".repeat(1 << 20)).await;
    assert_eq!(status, 413);
    let (status, _, said) = post(&world, format!("old 0\n\n{checkpoint}")).await;
    assert!(status == 404 && said.contains("is no witness"), "{said}");

    // What it cannot remember, it does not sign.
    let hash = Digest::of(b"other.example/registry").to_hex();
    let memory = witness.settings.witness_folder().unwrap().join(hash);
    let kept = std::fs::read(&memory).unwrap();
    std::fs::write(&memory, "half a note").unwrap();
    let (status, ..) = post(&witness, format!("old 1\n\n{checkpoint}")).await;
    assert_eq!(status, 500);
    std::fs::write(&memory, kept).unwrap();
    let (status, ..) = post(&witness, format!("old 1\n\n{checkpoint}")).await;
    assert_eq!(status, 200);
    for world in [&mut witness, &mut world, &mut twin] {
        world.stop().await;
    }
}

/// What a witness that is none says to everybody.
#[derive(Clone, Copy)]
enum Bad {
    Hangs,
    Says(u16, &'static str),
    /// Signs another checkpoint than it was sent.
    Lies,
}

/// A seed for the witness at this place.
fn bad_key(place: u8) -> CheckpointKey {
    CheckpointKey::from_seed(&[place + 40; 32])
}

/// Starts a witness that is none; its settings.
async fn bad_witness(place: u8, bad: Bad) -> WitnessOfUs {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let name = KeyName::new(&format!("bad-{place}.example")).unwrap();
    let key = bad_key(place);
    let entry = Validator {
        name: name.clone(),
        vote_key: VoteKey::from_bytes(&[place + 1; 32]).unwrap().public_key(),
        checkpoint_key: key.public_key(),
        log_key: key.log_public_key(),
    };
    let lie = Checkpoint {
        origin: ChainId::new("elsewhere.example").unwrap(),
        size: 7,
        root: Digest::of(b"another history"),
    };
    let lie = lie.cosign(&name, &key, now()).unwrap();
    tokio::spawn(async move {
        let mut open = vec![];
        while let Ok((mut stream, _)) = listener.accept().await {
            let (status, body) = match bad {
                Bad::Hangs => {
                    open.push(stream);
                    continue;
                }
                Bad::Says(status, body) => (status, body.to_owned()),
                Bad::Lies => (200, format!("{lie}\n")),
            };
            let mut asked = [0; 16_384];
            let _ = stream.read(&mut asked).await;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            // Closed with something unread, the answer would be lost on the way.
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    WitnessOfUs {
        url: format!("http://{address}"),
        key: entry.verifier_key().parse().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_witness_and_each_bad_one_has_its_sentence() {
    let bad = [
        (Bad::Hangs, "cannot be reached: it did not answer in time"),
        (Bad::Says(200, "<html>"), "is not made of signature lines"),
        (Bad::Says(200, ""), "is not made of signature lines"),
        (Bad::Lies, "its signature does not hold for the checkpoint"),
        (
            Bad::Says(409, "1000\n"),
            "has seen 1000 records of this registry, which has 1 here",
        ),
        (
            Bad::Says(409, "many"),
            "409 without the size that it saw last: \"many\"",
        ),
        (Bad::Says(403, "no"), "under other keys"),
        (Bad::Says(404, "no"), "does not know this registry"),
        (Bad::Says(422, "no"), "does not continue what it saw before"),
        (Bad::Says(503, "later"), "refuses the question: 503 later"),
    ];
    let (mut world, _authority, camera) = registry("one.example/registry").await;
    for (place, (bad, _)) in bad.iter().enumerate() {
        let witness = bad_witness(u8::try_from(place).unwrap(), *bad).await;
        world.settings.witnesses.push(witness);
    }
    world.start().await;
    let begun = std::time::Instant::now();
    world.registered(&camera).await;
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "a photo waited for witnesses"
    );
    let status = until("not all were asked", async || {
        let (_, status) = world.get("/api/v1/status").await;
        let witnesses = status["witnesses"].as_array().unwrap();
        let all = witnesses.iter().all(|one| one["trouble"].is_string());
        all.then(|| status.clone())
    })
    .await;
    for (place, (_, sentence)) in bad.iter().enumerate() {
        let said = &status["witnesses"][place];
        assert!(
            said["trouble"].as_str().unwrap().contains(sentence),
            "{said}"
        );
        assert!(said["records"].is_null(), "{said}");
    }
    // Nothing of theirs stands under a checkpoint.
    let (_, text) = fetch(format!("{}/checkpoint", world.url)).await;
    assert!(!text.contains("bad-"), "{text}");
    let (status, _) = fetch(format!("{}/api/v1/checkpoint/witnessed", world.url)).await;
    assert_eq!(status, 404);
    let (_, page) = fetch(format!("{}/status", world.url)).await;
    assert!(page.contains("Witnesses") && page.contains("Has cosigned nothing yet"));
    world.stop().await;
}
