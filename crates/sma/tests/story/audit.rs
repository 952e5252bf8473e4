//! What is written down about validations and acts, how its changes are seen, and which cameras
//! stand out.

use birthmark_http::with_pool;
use serde_json::{Value, json};

use birthmark_sma::authority::Authority;
use birthmark_sma::{audit, clock};

use crate::camera::{Camera, commitment};
use crate::stand::{Base, Stand, client};

#[tokio::test]
async fn the_audit_chain_shows_every_change() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    for number in 0..5 {
        stand.post("/validate", &json!({"camera_token": camera.token(&commitment(number)), "commitment": commitment(number).to_string()})).await;
    }
    stand.stop().await;
    let report: Value =
        serde_json::from_str(&stand.command(&["audit", "verify"]).await.unwrap()).unwrap();
    assert_eq!(report["broken"], Value::Null);
    assert_eq!(report["entries"], 6, "{report}");
    let link = report["link"].as_str().unwrap().to_owned();

    // Somebody with the database but without the credential turns a refusal into a pass, or removes
    // a row.
    let pool = sqlx::SqlitePool::connect(&stand.settings.database)
        .await
        .unwrap();
    let saved: (i64, Vec<u8>) =
        sqlx::query_as("SELECT seq, content FROM audit ORDER BY seq LIMIT 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    let mut changed = saved.1.clone();
    changed[10] ^= 1;
    sqlx::query("UPDATE audit SET content = $1 WHERE seq = $2")
        .bind(&changed)
        .bind(saved.0)
        .execute(&pool)
        .await
        .unwrap();
    let error = stand.command(&["audit", "verify"]).await.unwrap_err();
    assert!(error.contains("tampered"), "{error}");
    sqlx::query("UPDATE audit SET content = $1 WHERE seq = $2")
        .bind(&saved.1)
        .bind(saved.0)
        .execute(&pool)
        .await
        .unwrap();
    stand
        .command(&["audit", "verify", "--expect-link", &link])
        .await
        .unwrap();

    // The newest row gone is seen by whoever noted the head.
    sqlx::query("DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)")
        .execute(&pool)
        .await
        .unwrap();
    stand.command(&["audit", "verify"]).await.unwrap();
    assert!(
        stand
            .command(&["audit", "verify", "--expect-link", &link])
            .await
            .unwrap_err()
            .contains("noted")
    );
    pool.close().await;
}

/// The authority of a stopped stand, for looking behind it.
async fn opened(stand: &Stand) -> birthmark_sma::authority::Authority {
    let credentials = crate::stand::credentials(stand.folder.path());
    birthmark_sma::authority::Authority::open(stand.settings.clone(), &credentials)
        .await
        .unwrap()
}

async fn checked(authority: &Authority) -> (u64, Option<(i64, String)>) {
    let report = audit::verify(&authority.store, &authority.vault)
        .await
        .unwrap();
    (report.rows, report.broken)
}

async fn broken_at_the_beginning(authority: &Authority) -> bool {
    let (_, broken) = checked(authority).await;
    broken.is_some_and(|(_, reason)| reason.contains("beginning"))
}

/// Old rows go in the ordinary course; whoever can write to the database cannot do the same.
async fn the_beginning_stays_where_it_was_put(mut stand: Stand) {
    Camera::provision(&stand, "CAM-1").await;
    stand.stop().await;
    let authority = opened(&stand).await;
    let later = clock::now().plus(10);
    let pruned = audit::prune(&authority.store, &authority.vault, later).await;
    assert_eq!(pruned.unwrap(), 1);
    let (_, good) = authority.store.audit_anchor().await.unwrap();
    authority.log_act("test", "one", "").await;
    authority.log_act("test", "two", "").await;
    assert_eq!(checked(&authority).await, (2, None));

    // The row after the anchor goes, and the anchor moves to its place: bare, or with the proof of
    // another place.
    let rows = authority.store.audit_after(1, 10).await.unwrap();
    let link = rows[0].link.clone();
    with_pool!(authority.store.database(), pool => {
        sqlx::query("DELETE FROM audit WHERE seq = 2").execute(pool).await.unwrap();
    });
    for forged in [link.clone(), [&link[..], &good[32..]].concat(), Vec::new()] {
        with_pool!(authority.store.database(), pool => {
            sqlx::query("UPDATE audit_anchor SET seq = 2, link = $1").bind(forged).execute(pool).await.unwrap();
        });
        assert!(broken_at_the_beginning(&authority).await);
    }
    authority.store.close().await;
}

#[tokio::test]
async fn old_audit_rows_go_and_others_cannot_cut_them_off_on_sqlite() {
    the_beginning_stays_where_it_was_put(Stand::sqlite().await).await;
}

#[tokio::test]
async fn old_audit_rows_go_and_others_cannot_cut_them_off_on_postgresql() {
    the_beginning_stays_where_it_was_put(Stand::postgres().await).await;
}

#[tokio::test]
async fn a_suddenly_busy_camera_is_flagged_and_goes_on_validating() {
    let stand = Stand::with(Base::Sqlite, |settings| settings.limits.unusual_floor = 5);
    let mut stand = stand.await;
    let (busy, steady, quiet) = (
        Camera::provision(&stand, "CAM-1").await,
        Camera::provision(&stand, "CAM-2").await,
        Camera::provision(&stand, "CAM-3").await,
    );
    stand.post("/validate", &quiet.question(1)).await;
    for byte in 0..6 {
        for camera in [&busy, &steady] {
            let (_, answer) = stand.post("/validate", &camera.question(byte)).await;
            assert_eq!(answer["valid"], true, "{answer}");
        }
    }
    stand.stop().await;
    let authority = opened(&stand).await;
    let now = clock::now();
    // The steady one did as much yesterday.
    let yesterday = [(2, now.unix().div_euclid(86400) - 1, 6)];
    authority
        .store
        .append_audit(&[], &[], &yesterday)
        .await
        .unwrap();
    assert_eq!(authority.flag_unusual(now).await.unwrap(), 1);
    drop(authority);

    stand.start().await;
    let (_, overview) = stand.get("/api/v1/overview").await;
    let flags = overview["flags"].as_array().unwrap();
    assert_eq!(flags.len(), 1, "{overview}");
    assert_eq!(flags[0]["device_serial"], "CAM-1");
    assert_eq!(flags[0]["validations"], 6);
    let (_, answer) = stand.post("/validate", &busy.question(9)).await;
    assert_eq!(answer["valid"], true, "{answer}");
    let reviewed = client()
        .post(format!("{}/api/v1/devices/CAM-1/reviewed", stand.url))
        .send()
        .await
        .unwrap();
    assert_eq!(reviewed.status(), 204);
    let (_, overview) = stand.get("/api/v1/overview").await;
    assert_eq!(overview["flags"][0]["reviewed_by"], "loopback");
    stand.stop().await;
}

#[tokio::test]
async fn counters_are_there_for_prometheus() {
    let mut stand = Stand::sqlite().await;
    let camera = Camera::provision(&stand, "CAM-1").await;
    stand.post("/validate", &camera.question(1)).await;
    let mut foreign = camera.question(2);
    foreign["commitment"] = commitment(3).to_string().into();
    stand.post("/validate", &foreign).await;
    let answer = client()
        .get(format!("{}/metrics", stand.url))
        .send()
        .await
        .unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text().await.unwrap();
    for line in [
        "birthmark_sma_validations_total{outcome=\"pass\"} 1",
        "birthmark_sma_validations_total{outcome=\"not-opened\"} 1",
        "birthmark_sma_validations_total{outcome=\"revoked\"} 0",
        "# TYPE birthmark_sma_devices gauge",
        "birthmark_sma_devices 1",
        "birthmark_sma_revocations 0",
        "birthmark_sma_database_up 1",
    ] {
        assert!(
            text.lines().any(|written| written == line),
            "{line}: {text}"
        );
    }
    assert!(!text.contains("CAM-1"), "{text}");
    stand.stop().await;
}
