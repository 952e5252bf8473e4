//! The validators of a running registry change, by the commands that operators type: a follower
//! joins, a founder leaves, a lost key is replaced. Nothing that was accepted is lost, and receipts
//! of later blocks hold with the first genesis alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use birthmark_node::setup;
use serde_json::Value;

use crate::network::Network;
use crate::operator::{node, text};

impl Network {
    /// Types a command at a member; what it says if it succeeds.
    fn typed(&self, number: usize, arguments: &[&str]) -> String {
        let output = node(self.world(number), arguments);
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types a command that is refused; what it says.
    fn refused(&self, number: usize, arguments: &[&str]) -> String {
        let output = node(self.world(number), arguments);
        assert!(!output.status.success(), "{}", text(&output));
        text(&output)
    }

    /// Signs as these members do: each reads what it is, and says so.
    fn signed(&self, file: &Path, signers: &[usize]) {
        let file = file.to_str().unwrap();
        for signer in signers {
            let shown = self.typed(*signer, &["members", "show", file]);
            let code = shown.lines().find_map(|line| line.strip_prefix("code "));
            let sign = ["members", "sign", file, "--shown", code.unwrap()];
            self.typed(*signer, &sign);
        }
    }

    async fn status(&self, number: usize) -> Value {
        self.world(number).get("/api/v1/status").await.1
    }

    /// Waits until these nodes know of so many validators.
    async fn validators(&self, nodes: &[usize], count: u64) {
        let began = Instant::now();
        for number in nodes {
            while self.status(*number).await["validator_nodes"] != count {
                assert!(
                    began.elapsed() < Duration::from_secs(60),
                    "{:#}",
                    self.status(*number).await
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn journal(&self, number: usize) -> String {
        let log = self.world(number).folder.path().join("node.log");
        std::fs::read_to_string(log).unwrap()
    }

    fn file(&self, number: usize, name: &str) -> PathBuf {
        self.world(number).folder.path().join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_joins_by_command_and_a_founder_leaves() {
    let mut network = Network::started_by(5, 4).await;
    let all = [0, 1, 2, 3, 4];
    let (first, _) = network.submit(0).await;
    network.registered(&first, &all).await;
    assert_eq!(network.status(4).await["consensus_mode"], "follower");
    let said = network.turned_away(4).await;
    assert!(said.contains("follows the registry"), "{said}");
    assert!(said.contains("send them to library-"), "{said}");

    let entry = network.file(4, "entry.toml");
    let printed = network.typed(4, &["members", "entry", "--name", "library-4.example"]);
    std::fs::write(&entry, printed).unwrap();
    let (file, entry) = (network.file(0, "join.toml"), entry.to_str().unwrap());
    let change = file.to_str().unwrap();
    let said = network.typed(0, &["members", "propose", change, "--add", entry]);
    assert!(
        said.contains("library-4.example joins with the vote key 0"),
        "{said}"
    );
    assert!(
        said.contains("5 validators decide, 4 of them each"),
        "{said}"
    );
    let said = network.refused(0, &["members", "sign", change]);
    assert!(said.contains("library-4.example joins"), "{said}");
    assert!(said.contains("To sign exactly this: "), "{said}");
    let said = network.refused(4, &["members", "sign", change, "--shown", "00000000"]);
    assert!(said.contains("00000000 is another change"), "{said}");
    network.signed(&file, &[0, 1]);
    let said = network.refused(0, &["members", "submit", change]);
    assert!(
        said.contains("2 of 4 validators signed; 3 are needed"),
        "{said}"
    );
    // Two copies that were signed apart are put together.
    let copy = network.file(2, "copy.toml");
    std::fs::copy(&file, &copy).unwrap();
    network.signed(&copy, &[2]);
    network.typed(0, &["members", "submit", change, copy.to_str().unwrap()]);
    let warnings = network.status(0).await["warnings"].to_string();
    assert!(warnings.contains("library-4.example joins"), "{warnings}");
    network.validators(&all, 5).await;
    assert_eq!(network.status(4).await["consensus_mode"], "bft");
    assert!(
        network
            .journal(4)
            .contains("this node is a validator after block")
    );

    // With a founder away its vote is needed, and what it takes is registered.
    network.kill(0);
    let (photo, id) = network.submit(4).await;
    network.registered(&photo, &[1, 2, 3, 4]).await;
    // Its receipt shows the handover, and holds with the genesis of four.
    let fate = network.world(4).stored(&id).await;
    assert_eq!(fate["status"], "stored");
    network.start(0);
    network.healthy(0).await;
    network.registered(&photo, &[0]).await;

    let file = network.file(1, "leave.toml");
    let change = file.to_str().unwrap();
    network.typed(
        1,
        &[
            "members",
            "propose",
            change,
            "--remove",
            "library-0.example",
        ],
    );
    network.signed(&file, &[1, 2, 3, 4]);
    network.typed(1, &["members", "submit", change]);
    let began = Instant::now();
    while !network.journal(0).contains("library-0.example leaves") {
        assert!(began.elapsed() < Duration::from_secs(30), "it hears of it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = network.turned_away(0).await;
    assert!(said.contains("about to leave"), "{said}");
    network.validators(&all, 4).await;
    assert_eq!(network.status(0).await["consensus_mode"], "follower");
    assert!(
        network
            .journal(0)
            .contains("this node is no validator any more")
    );
    let (photo, id) = network.submit(2).await;
    network.registered(&photo, &all).await;
    network.world(2).stored(&id).await;
    // It starts again as a follower, under its old name.
    network.kill(0);
    network.start(0);
    network.healthy(0).await;
    assert_eq!(network.status(0).await["node_id"], "library-0.example");
    let listed = network.typed(0, &["members", "list"]);
    assert!(listed.contains("4 validators decide block"), "{listed}");
    assert!(!listed.contains("library-0.example"), "{listed}");
    for number in all {
        network.kill(number);
    }
    let history = network.blocks(1).await;
    for number in [0, 2, 3, 4] {
        let other = network.blocks(number).await;
        let shared = history.len().min(other.len());
        assert_eq!(history[..shared], other[..shared], "no fork");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_changes_its_key_and_what_it_had_accepted_is_registered() {
    let mut network = Network::started(4).await;
    let (first, _) = network.submit(3).await;
    network.registered(&first, &[0, 1, 2, 3]).await;
    for number in [0, 1, 2] {
        network.kill(number);
    }
    // Nobody else hears of this one.
    let (accepted, id) = network.submit(3).await;
    let began = Instant::now();
    let is_validated = async |network: &Network| {
        let path = format!("/api/v1/submission/{id}");
        network.world(3).get(&path).await.1["status"] == "validated"
    };
    while !is_validated(&network).await {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    network.kill(3);
    // A new vote key; the key of links and checkpoints stays, so nobody's settings change.
    let drawn = network.file(3, "drawn");
    setup::create_keys(&drawn, "library-3.example".parse().unwrap()).unwrap();
    let keys = network.world(3).credentials();
    std::fs::copy(drawn.join("vote-key"), keys.join("vote-key")).unwrap();
    let printed = network.typed(3, &["members", "entry", "--name", "library-3.example"]);
    let entry = network.file(3, "entry.toml");
    std::fs::write(&entry, printed).unwrap();
    for number in [0, 1, 2] {
        network.start(number);
    }
    for number in [0, 1, 2] {
        network.healthy(number).await;
    }
    let file = network.file(0, "key.toml");
    let (change, entry) = (file.to_str().unwrap(), entry.to_str().unwrap());
    let propose = [
        "members",
        "propose",
        change,
        "--replace",
        "library-3.example",
        entry,
    ];
    let said = network.typed(0, &propose);
    assert!(
        said.contains("library-3.example gets the vote key"),
        "{said}"
    );
    network.signed(&file, &[0, 1, 2]);
    network.typed(0, &["members", "submit", change]);
    let began = Instant::now();
    while !network
        .journal(0)
        .contains(", 4 validators decide: library-3.example gets")
    {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{}",
            network.journal(0)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    network.start(3);
    network.healthy(3).await;
    network.registered(&accepted, &[0, 1, 2, 3]).await;
    network.world(3).stored(&id).await;
    // Its new key votes.
    network.kill(0);
    let (last, _) = network.submit(1).await;
    network.registered(&last, &[1, 2, 3]).await;
}
