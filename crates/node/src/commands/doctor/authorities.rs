//! What `doctor` says of authorities: whether they answer, and how their certificates and lists stand.

use std::time::Duration;

use super::{MONTH, Report};
use crate::authorities::{Applied, Authority, Issuer, SoftwareAuthority};
use crate::authority::{AuthorityClient, revocations};
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

    /// The highest numbers of lists that the node has seen, if its database can be read.
    pub(super) async fn list_numbers(&self, settings: &Settings) -> ListNumbers {
        let Ok(Some(store)) = Store::look(&settings.database).await else {
            return ListNumbers::default();
        };
        let numbers = ListNumbers::load(&store).await;
        store.close().await;
        #[expect(
            clippy::disallowed_methods,
            reason = "a database not readable is reported already"
        )]
        numbers.unwrap_or_default()
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
            ),
            Some(address) => match revocations::fetch(authority, &client, address, numbers).await {
                Ok(list) => self.list(name, &list),
                Err(reason) => self.ill(
                    &format!("the list of revoked certificates of {name}: {reason}"),
                    "Ask its operator; the last list stays in force.",
                ),
            },
        }
    }
}
