//! What `doctor` says of authorities: whether they answer, and how their certificates and lists
//! stand.

use std::time::Duration;

use super::{MONTH, Report};
use crate::authorities::{Applied, Authority, Issuer, SoftwareAuthority};
use crate::authority::{AskError, AuthorityClient, revocations};
use crate::clock;
use crate::list_numbers::ListNumbers;
use crate::settings::Settings;
use crate::store::Store;

impl Report {
    fn issuers(&mut self, name: &str, issuers: &[Issuer]) -> anyhow::Result<()> {
        for issuer in issuers {
            let (_, until) = issuer.certificate.validity;
            let left = until.since(clock::now());
            let subject = &issuer.certificate.subject;
            match left {
                left if left < 0 => self.ill(
                    &format!("CA certificate {subject} of {name} has expired"),
                    "Pin its successor.",
                )?,
                left if left < MONTH => self.ill(
                    &format!(
                        "CA certificate {subject} of {name} expires in {} days",
                        left / 86_400
                    ),
                    "Ask for its successor and pin both.",
                )?,
                left => self.well(&format!(
                    "CA certificate {subject} of {name} is valid for {} more days",
                    left / 86_400
                ))?,
            }
        }
        Ok(())
    }

    /// The highest numbers of lists that the node has seen; none where there is no database, or
    /// where doctor said already that it cannot be opened.
    pub(super) async fn list_numbers(
        &mut self,
        settings: &Settings,
    ) -> anyhow::Result<ListNumbers> {
        if self.database_hangs {
            return Ok(ListNumbers::default());
        }
        let Ok(Some(store)) = Store::look(&settings.database).await else {
            return Ok(ListNumbers::default());
        };
        let numbers = ListNumbers::load(&store).await;
        store.close().await;
        match numbers {
            Ok(numbers) => Ok(numbers),
            Err(error) => {
                self.ill(
                    &format!("the numbers of the lists that were fetched cannot be read: {error}"),
                    "`birthmark-node fsck` reads all of the database; an older list could be taken for the newest.",
                )?;
                Ok(ListNumbers::default())
            }
        }
    }

    fn list(&mut self, name: &str, list: &Applied) -> anyhow::Result<()> {
        if list.next.is_some_and(|next| clock::now() > next) {
            return self.ill(
                &format!("the list of revoked certificates of {name} is past its date"),
                "Ask its operator for a newer one; the last list stays in force.",
            );
        }
        self.well(&format!(
            "{} certificates of {name} are revoked",
            list.count
        ))
    }

    pub(super) fn software(
        &mut self,
        authority: &SoftwareAuthority,
        numbers: &ListNumbers,
    ) -> anyhow::Result<()> {
        let name = &authority.name;
        self.issuers(name, &authority.issuers)?;
        match authority.read_list(numbers) {
            Ok(Some(list)) => self.list(name, &list),
            Ok(None) => self.ill(
                &format!("no list of revoked certificates is configured for {name}"),
                "Set `revoked`: a stolen software key stays welcome until then.",
            ),
            Err(error) => self.ill(
                &format!("{name}: {error:#}"),
                "Ask its operator for the list; the last one stays in force.",
            ),
        }
    }

    pub(super) async fn authority(
        &mut self,
        authority: &Authority,
        numbers: &ListNumbers,
    ) -> anyhow::Result<()> {
        let name = &authority.settings.id;
        let client = AuthorityClient::new(authority)?;
        match tokio::time::timeout(Duration::from_secs(10), client.health()).await {
            Ok(Ok(())) => self.well(&format!("authority {name} answers"))?,
            Ok(Err(error)) => self.ill(
                &format!("authority {name}: {error}"),
                "Submissions wait meanwhile. Ask its operator if it lasts.",
            )?,
            Err(_) => self.ill(
                &format!("authority {name} does not answer within 10 s"),
                "Submissions wait meanwhile.",
            )?,
        }
        self.issuers(name, &authority.issuers)?;
        match (authority.token(), &authority.settings.batches) {
            (Some(_), _) => self.token(name, &client).await?,
            (None, true) => self.well(&format!(
                "authority {name} gave this validator no token: it is asked one question at a time (see `birthmark-node token`)"
            ))?,
            (None, false) => {}
        }
        if !authority.signs() && !client.is_confidential() {
            self.ill(
                &format!("authority {name} signs no verdicts and is asked over http"),
                "Whoever sits between can vouch for anything: pin its keys (`verdict_keys`), or use https.",
            )?;
        } else if !authority.signs() {
            self.well(&format!(
                "authority {name} signs no verdicts: its word counts at this node only"
            ))?;
        }
        match &authority.settings.revocations {
            None => self.ill(
                &format!("no list of revoked certificates is configured for {name}"),
                "Set `revocations`: stolen cameras stay welcome until then.",
            )?,
            Some(address) => match revocations::fetch(authority, &client, address, numbers).await {
                Ok(list) => self.list(name, &list)?,
                Err(reason) => self.ill(
                    &format!("the list of revoked certificates of {name}: {reason}"),
                    "Ask its operator; the last list stays in force.",
                )?,
            },
        }
        self.feed(authority, &client, numbers).await
    }

    /// Whether an authority knows this validator by its token.
    async fn token(&mut self, name: &str, client: &AuthorityClient) -> anyhow::Result<()> {
        match client.ask_batch(&[]).await {
            Ok(_) | Err(AskError::Question(_)) => self.well(&format!(
                "authority {name} knows this validator by its token"
            )),
            Err(AskError::Token(reason)) => self.ill(
                &format!("authority {name} does not know this validator's token: {reason}"),
                "Ask its administrator for another, and keep it with `birthmark-node token`.",
            ),
            // That it does not answer was said.
            Err(_) => Ok(()),
        }
    }

    async fn feed(
        &mut self,
        authority: &Authority,
        client: &AuthorityClient,
        numbers: &ListNumbers,
    ) -> anyhow::Result<()> {
        let name = &authority.settings.id;
        let Some(address) = &authority.settings.revocation_feed else {
            return self.ill(
                &format!("no list of what was withdrawn is configured for {name}"),
                "Set `revocation_feed`: answers about photos of withdrawn cameras say nothing of it until then.",
            );
        };
        match revocations::fetch_feed(authority, client, address, numbers).await {
            Ok(feed) if feed.times.next.is_some_and(|next| clock::now() > next) => self.ill(
                &format!("the list of what {name} withdrew is past its date"),
                "Ask its operator for a newer one; the last list stays in force.",
            ),
            Ok(feed) => self.well(&format!(
                "the list of what {name} withdrew has {} entries",
                feed.withdrawn.len()
            )),
            Err(reason) => self.ill(
                &format!("the list of what {name} withdrew: {reason}"),
                "Ask its operator; the last list stays in force.",
            ),
        }
    }
}
