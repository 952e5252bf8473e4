//! `birthmark queue`: the proofs that are on their way, and why they are not there yet.

use std::process::ExitCode;

use anyhow::Context as _;
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::QueueItem;
use birthmark_daemon::varlink::{Bounded, within};
use clap::Subcommand;
use zlink::Connection;

use super::{DEADLINE, Sockets, print_json};

/// How many entries are fetched at once.
const PAGE: i64 = 200;

/// `birthmark queue …`
#[derive(Subcommand, Debug)]
pub enum QueueCommand {
    /// List the proofs, oldest first, with the reason of each that was refused
    List {
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Try again now
    Retry {
        /// Only this proof; without it all that wait
        id: Option<String>,
    },
}

/// Runs the command.
pub async fn run(command: &QueueCommand, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let mut camera = sockets.capture().await?;
    match command {
        QueueCommand::Retry { id } => {
            let retried = within(DEADLINE, camera.retry_queue(id.as_deref())).await??;
            match retried.count {
                1 => println!("1 proof is tried again"),
                count => println!("{count} proofs are tried again"),
            }
        }
        QueueCommand::List { json } => list(&mut camera, *json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the queue part by part: of a hundred thousand proofs the first are there at once.
async fn list(camera: &mut Connection<Bounded>, json: bool) -> anyhow::Result<()> {
    let (mut items, mut after, mut count) = (Vec::new(), None, 0);
    loop {
        let page = within(DEADLINE, camera.list_queue(after.as_deref(), PAGE))
            .await?
            .context("the queue cannot be read")?;
        count += page.items.len();
        if json {
            items.extend(page.items);
        } else {
            page.items.iter().for_each(print_item);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        print_json(&items)?;
    } else if count == 0 {
        println!("no proof is waiting");
    }
    Ok(())
}

fn print_item(item: &QueueItem) {
    println!("{}  {:<9}  {}", item.id, item.stage, item.photo);
    if let Some(reason) = &item.reason {
        println!("    {reason}");
    }
}
