//! The camera's speed and stamina, measured at the program that ships: `cargo xtask bench camera`.
//!
//! Without options: how fast frames are hashed, and what happens between the shutter and the
//! durable proof; `-- --dng` keeps raw files as well. `-- --minutes 60` takes a photo a second for
//! so long and watches memory and handles; `-- --queue 100000` starts a camera with so many proofs
//! waiting. The signer holds its key in memory: what a chip takes comes on top, and is another
//! bench's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs
)]

mod program;
mod stamina;
mod timeline;
mod waiting;

#[path = "../../tests/story/receipts.rs"]
mod receipts;
#[path = "../../tests/story/world.rs"]
mod world;

/// The number after an option, if it is given.
fn option(name: &str) -> Option<u64> {
    let mut words = std::env::args().skip_while(|word| word != name);
    let value = words.nth(1)?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}: {value} is no number")),
    )
}

#[tokio::main]
async fn main() {
    match (option("--minutes"), option("--queue")) {
        (Some(minutes), _) => stamina::run(minutes).await,
        (None, Some(entries)) => waiting::run(entries).await,
        (None, None) => timeline::run(option("--photos").unwrap_or(15)).await,
    }
}
