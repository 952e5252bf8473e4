//! The same daemon inside another program, as the demonstration and other crates' tests run it.

use birthmark_daemon::{Context, Credentials, Shutdown, varlink};

use crate::clock::{ClockCalls, ClockSettings, run};
use crate::running::PATIENCE;

#[tokio::test]
async fn it_tells_its_starter_where_it_listens_and_stops_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ClockSettings {
        socket: folder.path().join("clock"),
        ..ClockSettings::default()
    };
    let shutdown = Shutdown::default();
    let (context, addresses) = Context::embedded(Credentials::none(), shutdown.clone());
    let daemon = tokio::spawn(run(settings, context));
    let addresses = addresses.await.unwrap();
    assert_ne!(addresses.tcp("text").unwrap().port(), 0);
    let path = addresses.unix("varlink").unwrap();
    let mut clock = varlink::connect(path, &varlink::Peers::same_user(), PATIENCE)
        .await
        .unwrap();
    let time = varlink::within(PATIENCE, clock.now())
        .await
        .unwrap()
        .unwrap();
    assert!(time.unix_seconds > 1_700_000_000);
    shutdown.request();
    daemon.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_daemon_that_cannot_start_drops_its_starters_line() {
    let settings = ClockSettings {
        sealed: true,
        ..ClockSettings::default()
    };
    let (context, addresses) = Context::embedded(Credentials::none(), Shutdown::default());
    let refused = run(settings, context).await.unwrap_err();
    assert!(refused.to_string().contains("clock-seal"));
    assert!(addresses.await.is_err());
}
