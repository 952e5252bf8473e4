//! The node that runs on this machine, as a command asks it: over HTTP, like anybody else.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use birthmark_client::{CallError, Options, Validator};
use birthmark_protocol::api::{ChangeTaken, Status};
use clap::{Arg, ArgMatches};

use crate::changes::ChangeFile;
use crate::settings::{HttpSettings, Settings};

/// The node is on the same machine, and answers from memory and a small query.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the node is asked, if not where its settings say that it listens.
pub(super) fn at_argument() -> Arg {
    Arg::new("at")
        .long("at")
        .value_name("ADDRESS")
        .help("Where the node answers, as http://127.0.0.1:8545 or unix:/run/node; otherwise where the settings say that it listens")
}

/// The node at the address the person named, or at the one of the settings.
pub(super) struct RunningNode(Validator);

impl RunningNode {
    pub(super) fn find(settings: &Settings, matches: &ArgMatches) -> anyhow::Result<Self> {
        let address = match matches.get_one::<String>("at") {
            Some(address) => address.clone(),
            None => address_of(&settings.http)?,
        };
        let options = Options {
            user_agent: concat!("birthmark-node/", env!("CARGO_PKG_VERSION")),
            timeout: PATIENCE,
            ..Options::default()
        };
        let validator = match address.strip_prefix("unix:") {
            Some(socket) => Validator::on_socket(Path::new(socket), &options),
            None => Validator::new(&address, &options),
        };
        Ok(Self(validator.context("--at")?))
    }

    pub(super) fn address(&self) -> &str {
        self.0.address()
    }

    pub(super) async fn change_members(&self, file: &ChangeFile) -> Result<ChangeTaken, CallError> {
        self.0.change_members(file).await
    }

    pub(super) async fn status(&self) -> Result<Status, CallError> {
        self.0.status().await
    }
}

fn address_of(http: &HttpSettings) -> anyhow::Result<String> {
    anyhow::ensure!(
        http.tls.is_none(),
        "the node answers by TLS under a name that its settings do not hold: say where by --at https://NAME"
    );
    let mut listen = http.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.is_ipv4() {
            true => std::net::Ipv4Addr::LOCALHOST.into(),
            false => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{listen}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_asked_where_it_listens() {
        let mut http = HttpSettings::default();
        let mut asked_at = |listen: &str| {
            http.listen = listen.parse().unwrap();
            address_of(&http).unwrap()
        };
        assert_eq!(asked_at("127.0.0.1:8545"), "http://127.0.0.1:8545");
        assert_eq!(asked_at("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(asked_at("[::]:8545"), "http://[::1]:8545");
        assert_eq!(asked_at("192.0.2.7:8545"), "http://192.0.2.7:8545");
    }
}
