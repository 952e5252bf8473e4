//! Lists for operators: pages that end, searches, and one camera at a time.

use birthmark_http::with_pool;
use birthmark_sma::store::Store;
use birthmark_testkit::postgres::Postgres;
use serde_json::{Value, json};

use crate::camera::{Camera, public_key};
use crate::stand::{Base, Stand, client};

async fn register(stand: &Stand, serial: &str, family: &str) {
    let request = json!({"device_serial": serial, "device_family": family, "device_public_key": public_key()});
    let (status, answer) = stand.post("/api/v1/devices/provision", &request).await;
    assert_eq!(status, 201, "{answer}");
}

async fn ask(stand: &Stand, query: &[(&str, &str)]) -> (u16, Value) {
    let mut url = reqwest::Url::parse(&format!("{}/api/v1/devices", stand.url)).unwrap();
    url.query_pairs_mut().extend_pairs(query);
    let answer = client().get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn serials(page: &Value) -> Vec<&str> {
    let devices = page["devices"].as_array().unwrap();
    let serials = devices.iter().map(|one| one["device_serial"].as_str());
    serials.collect::<Option<_>>().unwrap()
}

/// The serials of all pages, and how many pages there were.
async fn all_pages(stand: &Stand, limit: &str, search: &str) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut after) = (Vec::new(), 0, 0);
    loop {
        let after_text = after.to_string();
        let query = [("limit", limit), ("search", search), ("after", &after_text)];
        let (status, page) = ask(stand, &query).await;
        assert_eq!(status, 200, "{page}");
        assert_eq!(page["total"], 6, "{page}");
        found.extend(serials(&page).iter().map(|serial| (*serial).to_owned()));
        pages += 1;
        match page["next"].as_i64() {
            Some(next) => after = next,
            None => return (found, pages),
        }
        assert!(pages < 10, "the pages do not end");
    }
}

async fn pages_and_searches(mut stand: Stand) {
    let cameras = [
        ("CAM-1", "Alpha"),
        ("CAM-2", "Alpha"),
        ("cam-3", "alphabet"),
        ("X%1", "Beta_2"),
        ("XY1", "Beta 2"),
        ("Ä-9", "Gamma"),
    ];
    for (serial, family) in cameras {
        register(&stand, serial, family).await;
    }
    let every = cameras.map(|(serial, _)| serial.to_owned()).to_vec();
    // The last page says so, whether it is full or not.
    for (limit, pages) in [("1", 6), ("2", 3), ("4", 2), ("5", 2), ("6", 1), ("500", 1)] {
        let listed = all_pages(&stand, limit, "").await;
        assert_eq!(listed, (every.clone(), pages), "{limit}");
    }
    for (search, expected) in [
        ("CAM-", &["CAM-1", "CAM-2"][..]),
        ("cam", &["cam-3"]),
        ("Alpha", &["CAM-1", "CAM-2"]),
        ("alpha", &["cam-3"]),
        // No wildcards: a name may hold these characters.
        ("X%", &["X%1"]),
        ("Beta_", &["X%1"]),
        ("Ä", &["Ä-9"]),
        ("AM-1", &[]),
        ("' OR '1'='1", &[]),
    ] {
        let (found, _) = all_pages(&stand, "2", search).await;
        assert_eq!(found, expected, "{search}");
    }
    for limit in ["0", "501", "-1"] {
        let (status, answer) = ask(&stand, &[("limit", limit)]).await;
        assert_eq!(status, 422, "{answer}");
        assert_eq!(answer["detail"][0]["loc"], json!(["query", "limit"]));
    }
    stand.stop().await;
}

#[tokio::test]
async fn cameras_are_listed_page_by_page_and_found_by_how_they_begin_on_sqlite() {
    pages_and_searches(Stand::sqlite().await).await;
}

/// Whatever the database's own order of texts is: one that was made with a language of people has
/// another than bytes have.
#[tokio::test]
async fn cameras_are_listed_page_by_page_and_found_by_how_they_begin_on_postgresql() {
    let server = Postgres::start().unwrap();
    let first = Store::open(&server.database("first").unwrap(), 1).await;
    let first = first.unwrap();
    with_pool!(first.database(), pool => {
        sqlx::query("CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'")
            .execute(pool).await.unwrap();
    });
    first.close().await;
    let url = server.database_url("sorted");
    let stand = Stand::with(Base::Postgres(server), |settings| settings.database = url);
    pages_and_searches(stand.await).await;
}

#[tokio::test]
async fn one_camera_is_shown_with_its_certificate_and_what_covers_it() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM 1/a").await;
    let path = "/api/v1/devices/CAM%201%2Fa";
    let (status, shown) = stand.get(path).await;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(shown["device_serial"], "CAM 1/a");
    assert_eq!(
        shown["device_certificate"],
        camera.answer["device_certificate"]
    );
    let number = hex::encode(camera.certificate().serial());
    assert_eq!(shown["certificate_serial"], number.as_str());
    assert_eq!(
        shown["table_assignments"],
        camera.answer["table_assignments"]
    );
    assert_eq!(
        (
            &shown["assurance"],
            &shown["revoked"],
            &shown["binds_tokens"]
        ),
        (&json!("token"), &json!(false), &json!(true))
    );
    // A list is for looking at: it holds no certificates, and neither of them a secret.
    let (_, list) = ask(&stand, &[]).await;
    assert!(list["devices"][0].get("device_certificate").is_none());
    for told in [&shown, &list] {
        let told = told.to_string();
        let nuc = camera.answer["nuc_hash"].as_str().unwrap();
        let (_, master) = camera.table(0);
        assert!(!told.contains(nuc) && !told.contains(&hex::encode(master.expose())));
    }

    let scope = json!({"kind": "certificates", "first": number, "last": number});
    let revoke = json!({"scope": scope, "reason": "a test"});
    assert_eq!(stand.post("/api/v1/revocations", &revoke).await.0, 201);
    assert_eq!(stand.get(path).await.1["revoked"], true);
    let (status, none) = stand.get("/api/v1/devices/CAM-9").await;
    assert_eq!(status, 404, "{none}");
    let (status, none) = stand
        .post("/api/v1/devices/CAM-9/reviewed", &json!({}))
        .await;
    assert_eq!(status, 404, "{none}");
    stand.stop().await;
}
