//! What is forgotten is gone: no file of the database tells, after a decision, an opening, a
//! certificate, or which photos one camera took.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_protocol::Digest;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row as _};

use crate::authority::Authority;
use crate::camera::{Camera, digest, now};
use crate::world::{Base, World};

async fn stage(base: Base) -> (World, Authority, Camera) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path()).await;
    let camera = Camera::new(&authority, "CAM-0001").await;
    let world = World::started(base, folder, vec![authority.entry()]).await;
    (world, authority, camera)
}

/// Every file that the node and its database have written, their logs included. What the authority
/// and the credentials' folder hold is theirs.
fn files_of(world: &World) -> Vec<PathBuf> {
    let mut files = files_under(world.folder.path(), &["keys", crate::authority::NAME]);
    match &world.base {
        Base::Sqlite => assert!(files.iter().any(|path| path.ends_with("node.db"))),
        Base::Postgres(server) => {
            let written = files_under(&server.data(), &[]);
            assert!(written.len() > 100, "{written:?}");
            files.extend(written);
        }
    }
    files
}

fn files_under(folder: &Path, but: &[&str]) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let is_left_out = but.iter().any(|name| path.ends_with(name));
            if path.is_dir() && !is_left_out {
                folders.push(path);
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    files
}

/// A piece of text or bytes, and what it is.
type Piece = (&'static str, Vec<u8>);

/// What is looked for in files, by its first four bytes: a thousand photos are looked for in one
/// go.
struct Wanted<'a> {
    /// Whether any piece begins with these two bytes.
    begins: Vec<bool>,
    by_head: HashMap<[u8; 4], Vec<&'a Piece>>,
}

impl<'a> Wanted<'a> {
    fn new(pieces: &'a [Piece]) -> Self {
        let (mut begins, mut by_head) = (vec![false; 1 << 16], HashMap::<_, Vec<_>>::new());
        for piece in pieces {
            let [a, b, c, d] = *piece.1.first_chunk::<4>().unwrap();
            begins[usize::from(a) << 8 | usize::from(b)] = true;
            by_head.entry([a, b, c, d]).or_default().push(piece);
        }
        Self { begins, by_head }
    }

    fn find(&self, bytes: &[u8]) -> Option<&'static str> {
        let at = bytes.windows(4).enumerate().find_map(|(at, head)| {
            let [a, b, c, d] = *head.first_chunk::<4>().unwrap();
            if !self.begins[usize::from(a) << 8 | usize::from(b)] {
                return None;
            }
            let known = self.by_head.get(&[a, b, c, d])?;
            known
                .iter()
                .find(|(_, piece)| bytes[at..].starts_with(piece))
        });
        at.map(|(name, _)| *name)
    }
}

/// Whether any of these pieces stands in one of the files; says how much was looked through.
fn find(files: &[PathBuf], pieces: &[Piece]) -> Option<(PathBuf, &'static str)> {
    let (wanted, mut looked) = (Wanted::new(pieces), 0);
    for file in files {
        // A file of the server's may go between the two looks.
        let Ok(bytes) = std::fs::read(file) else {
            continue;
        };
        looked += bytes.len();
        if let Some(name) = wanted.find(&bytes) {
            return Some((file.clone(), name));
        }
    }
    assert!(looked > 0, "there is no file to look through");
    let (count, pieces) = (files.len(), pieces.len());
    eprintln!("{pieces} pieces are in none of {count} files with {looked} bytes");
    None
}

fn contains(bytes: &[u8], piece: &[u8]) -> bool {
    let first = piece[0];
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        let at = from + at;
        if bytes[at..].starts_with(piece) {
            return true;
        }
        from = at + 1;
    }
    false
}

/// What must be forgotten of a submission, in every form it could be written in.
fn secrets_of(body: &Value) -> Vec<Piece> {
    let opening = body["opening"].as_str().unwrap();
    let certificate = body["camera_cert"].as_str().unwrap();
    let der = STANDARD.decode(certificate).unwrap();
    // Pages cut long values; a piece from the middle is enough to know a certificate by.
    vec![
        ("opening as text", opening.as_bytes().to_vec()),
        ("opening", hex::decode(opening).unwrap()),
        (
            "certificate as text",
            certificate.as_bytes()[200..264].to_vec(),
        ),
        ("certificate", der[150..198].to_vec()),
    ]
}

/// By what else a camera could be known: its key, its key's digest, its certificate's number and
/// digest.
fn names_of(camera: &Camera) -> Vec<Piece> {
    let certificate = camera.certificate();
    let spki = certificate.key().to_spki_der();
    let names = [
        ("key", spki[spki.len() - 64..spki.len() - 32].to_vec()),
        ("digest of the key", Digest::of(&spki).as_bytes().to_vec()),
        ("number of the certificate", certificate.serial().to_vec()),
        (
            "digest of the certificate",
            Digest::of(certificate.der()).as_bytes().to_vec(),
        ),
    ];
    let as_text = names
        .clone()
        .map(|(name, bytes)| (name, hex::encode(bytes).into_bytes()));
    [names, as_text].concat()
}

/// How many photos of how many cameras are looked for. `BIRTHMARK_SCAN` says otherwise: `1000 20`
/// is the whole.
fn photos_and_cameras() -> (usize, usize) {
    let Ok(asked) = std::env::var("BIRTHMARK_SCAN") else {
        return (24, 3);
    };
    let (photos, cameras) = asked.split_once(' ').unwrap();
    (photos.parse().unwrap(), cameras.parse().unwrap())
}

async fn after_everything_is_decided(base: Base) {
    let (mut world, authority, first) = stage(base).await;
    let (photos, count) = photos_and_cameras();
    let mut cameras = vec![first];
    for number in 2..=count {
        cameras.push(Camera::new(&authority, &format!("CAM-{number:04}")).await);
    }
    let mut secrets: Vec<_> = cameras.iter().flat_map(names_of).collect();
    let mut ids = Vec::new();
    for camera in cameras.iter().cycle().take(photos) {
        let body = camera.ours([digest(), digest(), digest()]);
        secrets.extend(secrets_of(&body));
        ids.push(world.submit("/api/v1/submit-cert", &body).await);
    }
    for id in &ids {
        world.stored(id).await;
    }
    // While it runs, and after it has stopped and moved everything into its files.
    assert_eq!(find(&files_of(&world), &secrets), None);
    world.stop().await;
    assert_eq!(find(&files_of(&world), &secrets), None);
    drop(authority);
}

/// The scan finds what is there: across the whole length of a file, and every form.
#[test]
fn a_scan_for_what_must_be_gone_finds_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.db");
    let pieces = [
        ("opening", vec![7; 32]),
        ("key", b"0123456789abcdef".to_vec()),
    ];
    for (content, found) in [
        ([&[0; 5000][..], &[7; 32]].concat(), Some("opening")),
        (
            [b"01230123456789abcdef".to_vec(), vec![0; 9]].concat(),
            Some("key"),
        ),
        ([&[7; 31][..], &[0; 100]].concat(), None),
    ] {
        std::fs::write(&file, content).unwrap();
        let name = find(std::slice::from_ref(&file), &pieces).map(|(_, name)| name);
        assert_eq!(name, found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_everything_is_decided_no_file_of_the_database_holds_an_opening_or_a_certificate_on_sqlite()
 {
    after_everything_is_decided(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_everything_is_decided_no_file_of_the_database_holds_an_opening_or_a_certificate_on_postgresql()
 {
    after_everything_is_decided(Base::postgres()).await;
}

/// Every value of every row, as bytes.
async fn every_value(world: &World) -> Vec<Vec<u8>> {
    const TABLES: [&str; 6] = [
        "claims",
        "spent_tokens",
        "submissions",
        "waiting",
        "pool",
        "node_state",
    ];
    let url = world.settings.database.as_str();
    let mut values = Vec::new();
    for table in TABLES {
        match &world.base {
            Base::Sqlite => {
                let pool = sqlx::SqlitePool::connect(url).await.unwrap();
                let sql = AssertSqlSafe(format!("SELECT * FROM {table}"));
                for row in sqlx::query(sql).fetch_all(&pool).await.unwrap() {
                    for at in 0..row.len() {
                        let value: Option<Vec<u8>> = row.try_get_unchecked(at).unwrap();
                        values.extend(value);
                    }
                }
                pool.close().await;
            }
            Base::Postgres(_) => {
                let pool = sqlx::PgPool::connect(url).await.unwrap();
                let sql = AssertSqlSafe(format!("SELECT CAST(t AS TEXT) FROM {table} AS t"));
                let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap();
                values.extend(rows.into_iter().map(String::into_bytes));
                pool.close().await;
            }
        }
    }
    values
}

/// Whoever has the certificate and the whole database computes what an unkeyed claim or id would
/// be, and finds nothing.
async fn a_certificate_does_not_find_its_photos(base: Base) {
    let (mut world, authority, camera) = stage(base).await;
    let mut photos = Vec::new();
    for _ in 0..3 {
        photos.push(world.registered(&camera).await);
    }
    let values = every_value(&world).await;
    world.stop().await;
    assert!(!values.is_empty());
    let certificate = Digest::of(camera.certificate().der());
    for photo in &photos {
        let parts: [&[u8]; 2] = [photo.as_bytes(), certificate.as_bytes()];
        for guess in [
            Digest::tagged("birthmark/claim/v1", &parts),
            Digest::tagged("birthmark/claim", &parts),
            Digest::of(&parts.concat()),
        ] {
            let half = &guess.as_bytes()[..8];
            let text = hex::encode(half);
            let number = i64::from_be_bytes(half.try_into().unwrap()).to_string();
            for value in &values {
                assert!(
                    !contains(value, half)
                        && !contains(value, text.as_bytes())
                        && !contains(value, number.as_bytes()),
                    "a claim can be computed from a certificate"
                );
            }
        }
    }
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_the_whole_database_do_not_find_its_photos_on_sqlite() {
    a_certificate_does_not_find_its_photos(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_the_whole_database_do_not_find_its_photos_on_postgresql() {
    a_certificate_does_not_find_its_photos(Base::postgres()).await;
}

/// Somebody who has seen a submission sends it with another opening first: its token does not open,
/// it is refused. The genuine one is another submission and is registered.
async fn a_copy_with_another_opening(base: Base) {
    let (mut world, authority, camera) = stage(base).await;
    let genuine = camera.ours([digest(), digest(), digest()]);
    let mut copy = genuine.clone();
    copy["opening"] = hex::encode([7; 32]).into();
    let refused = world.submit("/api/v1/submit-cert", &copy).await;
    assert_eq!(world.decided(&refused).await["status"], "rejected");
    let id = world.submit("/api/v1/submit-cert", &genuine).await;
    assert_ne!(id, refused);
    world.stored(&id).await;
    world.stop().await;
    drop(authority);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_with_another_opening_does_not_stand_in_the_way_on_sqlite() {
    a_copy_with_another_opening(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_with_another_opening_does_not_stand_in_the_way_on_postgresql() {
    a_copy_with_another_opening(Base::postgres()).await;
}

/// A refusal is not for ever: when the same submission comes again it is asked about anew.
async fn a_refused_submission_comes_again(base: Base) {
    let (mut world, authority, camera) = stage(base).await;
    let other = Camera::new(&authority, "CAM-0002").await;
    let token = other.token();
    let body = camera.camera_plan(digest(), &token, false);
    // Revoked when it first comes, lifted when it comes again.
    let revocation = authority.revoke("CAM-0002").await;
    let first = world.submit("/api/v1/submit", &body).await;
    assert_eq!(world.decided(&first).await["status"], "rejected");
    authority.lift(&revocation).await;
    let again = world.submit("/api/v1/submit", &body).await;
    assert_eq!(again, first);
    world.stored(&again).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_submission_is_asked_about_anew_on_sqlite() {
    a_refused_submission_comes_again(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_submission_is_asked_about_anew_on_postgresql() {
    a_refused_submission_comes_again(Base::postgres()).await;
}

/// A digest anywhere in a bundle is taken once per camera, however the bundle begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_digest_anywhere_in_a_bundle_is_taken_once_per_camera() {
    let (mut world, authority, camera) = stage(Base::Sqlite).await;
    let target = digest();
    let first = camera.ours([digest(), target, digest()]);
    let first = world.submit("/api/v1/submit-cert", &first).await;
    world.stored(&first).await;
    let second = camera.ours([digest(), digest(), target]);
    assert_eq!(world.submit("/api/v1/submit-cert", &second).await, first);
    let records = world.verify(&target).await.1;
    assert_eq!(records["records"].as_array().unwrap().len(), 1);
    world.stop().await;
    drop(authority);
}

/// What waits when the node stops is read by its next start, and the keys of the start before are
/// destroyed afterwards.
async fn waiting_rows_survive_a_restart(base: Base) {
    let (mut world, mut authority, camera) = stage(base).await;
    authority.stop().await;
    let body = camera.ours([digest(), digest(), digest()]);
    let id = world.submit("/api/v1/submit-cert", &body).await;
    world.stop().await;
    assert_eq!(find(&files_of(&world), &secrets_of(&body)), None);
    let keys = world.settings.row_keys().unwrap();
    assert_eq!(salts(&keys), 1);
    world.start().await;
    assert_eq!(
        salts(&keys),
        2,
        "the row waits under the key of the first start"
    );
    authority.start().await;
    world.stored(&id).await;
    world.stop().await;
    world.start().await;
    for _ in 0..200 {
        if salts(&keys) == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(salts(&keys), 1, "nothing waits under the keys before");
    world.stop().await;
}

fn salts(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_rows_survive_a_restart_on_sqlite() {
    waiting_rows_survive_a_restart(Base::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_rows_survive_a_restart_on_postgresql() {
    waiting_rows_survive_a_restart(Base::postgres()).await;
}

/// A backup brought to a machine without the row keys: what waited is unknown there, and its sender
/// sends it again.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_under_keys_that_are_gone_is_sent_again() {
    let (mut world, mut authority, camera) = stage(Base::Sqlite).await;
    authority.stop().await;
    let body = camera.certificate_plan(digest(), now());
    let id = world.submit("/api/v1/submit-cert", &body).await;
    world.stop().await;
    std::fs::remove_dir_all(world.settings.row_keys().unwrap()).unwrap();
    world.start().await;
    assert_eq!(world.get(&format!("/api/v1/submission/{id}")).await.0, 404);
    authority.start().await;
    let again = world.submit("/api/v1/submit-cert", &body).await;
    assert_eq!(again, id);
    world.stored(&again).await;
    world.stop().await;
}

/// Another lookup key would take again what was registered once.
#[tokio::test(flavor = "multi_thread")]
async fn another_lookup_key_is_refused_at_the_start() {
    let (mut world, authority, _) = stage(Base::Sqlite).await;
    world.stop().await;
    std::fs::write(world.credentials().join("lookup-key"), [9; 32]).unwrap();
    let refused = world.try_start().await.unwrap_err();
    let said = format!("{refused:#}");
    assert!(
        said.contains("it is not the one this database was begun with"),
        "{said}"
    );
    drop(authority);
}
