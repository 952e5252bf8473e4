//! The description for programs and the pages for people.

use reqwest::Method;
use serde_json::Value;

use crate::stand::{Stand, client};

/// Every path and method the description names is served: nothing answers that there is no such
/// page or method.
#[tokio::test]
async fn everything_described_is_served() {
    let mut stand = Stand::sqlite().await;
    let (_, described) = stand.get("/openapi.json").await;
    let mut seen = 0;
    for (path, operations) in described["paths"].as_object().unwrap() {
        let url = format!("{}{path}", stand.url)
            .replace("{serial}", "NONE")
            .replace("{id}", "77");
        let url = url
            .replace("{key_id}", "0000000000000000")
            .replace("{request}", "MAA=");
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = client().request(method.clone(), &url).send().await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert!(
                status != 405 && !text.contains("there is nothing at this address"),
                "{method} {path}: {status}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 25, "{seen}");
    stand.stop().await;
}

/// What a page asks the browser to load.
fn loaded(page: &str) -> Vec<&str> {
    let named = ["src=\"", "href=\""];
    let starts = named.into_iter().flat_map(|name| page.split(name).skip(1));
    starts.filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn pages_need_nothing_but_this_server() {
    let mut stand = Stand::sqlite().await;
    for path in ["/", "/admin", "/docs"] {
        let answer = client()
            .get(format!("{}{path}", stand.url))
            .send()
            .await
            .unwrap();
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        let page = answer.text().await.unwrap();
        let wanted = loaded(&page);
        assert!(!wanted.is_empty());
        // Anchors stay on the page, and an icon of no bytes keeps browsers from asking for one.
        let own = |part: &&str| !part.starts_with('#') && *part != "data:,";
        for part in wanted.into_iter().filter(own) {
            assert!(part.starts_with('/') && !part.starts_with("//"), "{part}");
            let answer = client()
                .get(format!("{}{part}", stand.url))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 200, "{part}");
        }
    }
    let (status, missing) = stand.get("/no/such/page").await;
    assert_eq!(
        (status, missing["detail"].as_str()),
        (404, Some("there is nothing at this address"))
    );
    // A browser is shown a page of the same house.
    let page = client().get(format!("{}/no/such/page", stand.url));
    let page = page.header("accept", "text/html").send().await.unwrap();
    assert_eq!(page.status(), 404);
    let page = page.text().await.unwrap();
    assert!(
        page.contains("There is nothing at this address") && page.contains("/style.css"),
        "{page}"
    );
    assert!(stand.get("/openapi.json").await.1["info"]["title"] != Value::Null);
    stand.stop().await;
}
