//! Epochs of one-time keys.

use axum::http::Method;
use birthmark_daemon::Context;
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::Value;

use super::client::Client;
use super::{field, moment, option, print, text};
use crate::settings::Settings;
use crate::tell::api::one_time::{NewEpoch, WithdrawEpoch};

fn family() -> Arg {
    option("family", "NAME", "The model").required(true)
}

fn epoch(help: &'static str) -> Arg {
    option("epoch", "NUMBER", help).value_parser(value_parser!(u32))
}

pub(super) fn epoch_command() -> Command {
    Command::new("epoch")
        .about("Epochs of one-time keys: list them, make one now, withdraw keys")
        .subcommand_required(true)
        .subcommand(
            Command::new("list").about("All epochs, with how many keys were signed in each"),
        )
        .subcommand(
            Command::new("new")
                .about("Make an epoch's key now; the running authority makes them by itself")
                .arg(family())
                .arg(epoch("Its number [default: the present one]")),
        )
        .subcommand(
            Command::new("withdraw")
                .about("Withdraw one-time keys that are out; for good")
                .arg(family())
                .arg(epoch("Only this epoch [default: all of the model]"))
                .arg(option(
                    "from",
                    "MOMENT",
                    "The block time from which they do not count [default: now]",
                )),
        )
}

pub(super) async fn epochs(
    settings: Settings,
    matches: ArgMatches,
    context: Context,
) -> anyhow::Result<()> {
    let credentials = &context.credentials;
    match matches.subcommand() {
        Some(("new", matches)) => {
            let request = NewEpoch {
                family: text(matches, "family")?.into(),
                epoch: matches.get_one("epoch").copied(),
            };
            let (method, path) = (Method::POST, "/control/epochs");
            let made = Client::once(&settings, credentials, method, path, Some(&request)).await?;
            print(&format!("Epoch {} has a key", field(&made, "epoch")))
        }
        Some(("withdraw", matches)) => {
            let from = matches.get_one::<String>("from");
            let request = WithdrawEpoch {
                family: text(matches, "family")?.into(),
                epoch: matches.get_one("epoch").copied(),
                from: from.map(|text| moment(text)).transpose()?,
            };
            let (method, path) = (Method::POST, "/control/epochs/withdraw");
            Client::once(&settings, credentials, method, path, Some(&request)).await?;
            print("Withdrawn: validators register it within minutes, and no more keys are signed")
        }
        _ => {
            let (method, path) = (Method::GET, "/control/epochs");
            let list = Client::once(&settings, credentials, method, path, None::<&Value>).await?;
            print(&serde_json::to_string_pretty(&list)?)
        }
    }
}
