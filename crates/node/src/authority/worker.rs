//! The lane of one authority: takes what waits for it, asks, settles, and never gives up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use birthmark_daemon::Shutdown;
use birthmark_protocol::{Assurance, SignedVerdict};
use tokio::sync::Notify;

use super::settle::{Answered, Outcome, join};
use super::{AskError, AuthorityClient, Settler, Standing};
use crate::admission::{Asked, NOBODY, Request};
use crate::authorities::Authority;
use crate::journal;
use crate::store::{StoreError, Waiting};

/// How many questions go into one request.
const BATCH: usize = 500;
/// How long after the last wake-up the queue is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The pause after the store failed.
const AFTER_STORE_FAILURE: Duration = Duration::from_millis(500);

/// What operators see of a lane.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LaneReport {
    /// How it has been answering.
    pub standing: Standing,
    /// Its last failure.
    pub last_error: Option<String>,
    /// The same without addresses, for anybody.
    pub trouble: Option<&'static str>,
    /// Questions it has answered since the start.
    pub answered: u64,
}

/// Works through what waits for one authority, or for nobody.
pub struct Lane {
    target: Option<(Arc<Authority>, AuthorityClient)>,
    settler: Arc<Settler>,
    wake: Arc<Notify>,
    report: Arc<Mutex<LaneReport>>,
    batch: usize,
}

enum LaneError {
    Store(StoreError),
    Ask(AskError),
}

impl From<StoreError> for LaneError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<AskError> for LaneError {
    fn from(error: AskError) -> Self {
        Self::Ask(error)
    }
}

type AskedOne = (Waiting, Request, birthmark_protocol::Commitment);

impl Lane {
    /// The lane of an authority.
    pub fn of(
        authority: Arc<Authority>,
        settler: Arc<Settler>,
        wake: Arc<Notify>,
    ) -> anyhow::Result<Self> {
        let client = AuthorityClient::new(&authority)?;
        Ok(Self {
            target: Some((authority, client)),
            settler,
            wake,
            report: Arc::default(),
            batch: BATCH,
        })
    }

    /// The lane of submissions nobody is asked about.
    pub fn of_nobody(settler: Arc<Settler>, wake: Arc<Notify>) -> Self {
        Self {
            target: None,
            settler,
            wake,
            report: Arc::default(),
            batch: BATCH,
        }
    }

    /// What operators see of it.
    pub fn report(&self) -> Arc<Mutex<LaneReport>> {
        Arc::clone(&self.report)
    }

    fn name(&self) -> &str {
        self.target
            .as_ref()
            .map_or(NOBODY, |(authority, _)| &authority.settings.id)
    }

    /// Works until asked to stop. What is open then is asked again at the next start.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut standing = Standing::default();
        let mut after = 0;
        loop {
            let wake = Arc::clone(&self.wake);
            let woken = wake.notified();
            let outcome = tokio::select! {
                outcome = self.step(&mut after) => outcome,
                () = shutdown.requested() => return,
            };
            let pause = match outcome {
                Ok(0) => {
                    tokio::select! {
                        () = woken => {}
                        () = tokio::time::sleep(LOOK_AGAIN) => {}
                        () = shutdown.requested() => return,
                    }
                    continue;
                }
                Ok(settled) => {
                    self.answered(&mut standing, settled);
                    continue;
                }
                Err(error) => self.failed(&mut standing, error),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// One request's worth of work: how many were settled. `after` skips those the authority stumbles over.
    async fn step(&mut self, after: &mut i64) -> Result<usize, LaneError> {
        let waiting = self
            .settler
            .store()
            .waiting(self.name(), *after, self.batch)
            .await?;
        if waiting.is_empty() {
            // Back to the beginning, to those that were skipped.
            let skipped = std::mem::take(after) > 0;
            return if skipped {
                Err(AskError::Away("the authority fails on some questions".into()).into())
            } else {
                Ok(0)
            };
        }
        let last = waiting.last().map_or(0, |waiting| waiting.seq);
        let single = waiting.len() == 1;
        match self.ask_and_settle(waiting).await {
            Ok(settled) => {
                self.batch = (self.batch * 2).min(BATCH);
                Ok(settled)
            }
            Err(LaneError::Ask(error)) => {
                // One question it cannot answer must not hold up the others: smaller batches find it, then it is passed over.
                if single {
                    *after = last;
                }
                self.batch = (self.batch / 2).max(1);
                Err(error.into())
            }
            Err(error) => Err(error),
        }
    }

    async fn ask_and_settle(&self, waiting: Vec<Waiting>) -> Result<usize, LaneError> {
        let mut asked = Vec::with_capacity(waiting.len());
        for waiting in waiting {
            let request = Request::from_bytes(&waiting.request)?;
            let commitment = request.commitment()?;
            asked.push((waiting, request, commitment));
        }
        let Some((authority, client)) = &self.target else {
            return self.settle_unasked(asked).await;
        };
        let (answered, verdict) = match authority.settings.batches {
            true => ask_batch(authority, client, asked).await?,
            false => return self.ask_each(authority, client, asked).await,
        };
        let count = answered.len();
        if count == 0 {
            return Err(AskError::Nonsense("none of the questions was answered".into()).into());
        }
        self.settler
            .settle(&authority.name, answered, verdict)
            .await?;
        Ok(count)
    }

    /// Older authorities: each answer is settled by itself, signed or not.
    async fn ask_each(
        &self,
        authority: &Authority,
        client: &AuthorityClient,
        asked: Vec<AskedOne>,
    ) -> Result<usize, LaneError> {
        let answers = client.ask_each(&questions(&asked)).await;
        let (mut settled, mut unsigned, mut first_error) = (0, Vec::new(), None);
        for (one, answer) in asked.into_iter().zip(answers) {
            let (answer, verdict) = match answer {
                Ok(answer) => answer,
                Err(AskError::Question(reason)) => {
                    unsigned.push(refused(one, reason));
                    continue;
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                    continue;
                }
            };
            let verdict = verdict.filter(|verdict| is_genuine(authority, verdict));
            let answered = join(vec![one], vec![answer], verdict.as_ref(), authority.signs());
            if verdict.is_some() {
                settled += answered.len();
                self.settler
                    .settle(&authority.name, answered, verdict)
                    .await?;
            } else {
                unsigned.extend(answered);
            }
        }
        settled += unsigned.len();
        self.settler.settle(&authority.name, unsigned, None).await?;
        match first_error {
            Some(error) if settled == 0 => Err(error.into()),
            _ => Ok(settled),
        }
    }

    async fn settle_unasked(&self, asked: Vec<AskedOne>) -> Result<usize, LaneError> {
        let passed = |(waiting, request, _): AskedOne| {
            let answer = Outcome::Passed {
                family: String::new(),
                assurance: Assurance::Token,
                is_signed: false,
            };
            Answered {
                waiting,
                request,
                answer,
            }
        };
        let answered: Vec<_> = asked.into_iter().map(passed).collect();
        let count = answered.len();
        let nobody = birthmark_ledger::Label::new(NOBODY)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        self.settler.settle(&nobody, answered, None).await?;
        Ok(count)
    }

    fn answered(&self, standing: &mut Standing, settled: usize) {
        if standing.is_away() {
            log::info!(MESSAGE_ID = journal::AUTHORITY_BACK, AUTHORITY = self.name(); "the authority answers again");
        }
        standing.answered();
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.standing = *standing;
        (report.last_error, report.trouble) = (None, None);
        report.answered += settled as u64;
    }

    fn failed(&self, standing: &mut Standing, error: LaneError) -> Duration {
        let error = match error {
            // Not the authority's fault, and told where blocks are made.
            LaneError::Store(error) => {
                log::debug!(AUTHORITY = self.name(); "{error}; trying again in {AFTER_STORE_FAILURE:?}");
                return AFTER_STORE_FAILURE;
            }
            LaneError::Ask(error) => error,
        };
        let was_away = standing.is_away();
        standing.failed();
        let pause = standing.pause(getrandom::u64().unwrap_or_default());
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let text = error.to_string();
        let is_new = report.last_error.as_ref() != Some(&text);
        if matches!(error, AskError::Forged(_)) && is_new {
            log::error!(MESSAGE_ID = journal::FORGED_VERDICT, AUTHORITY = self.name(); "{error}; submissions wait, asking again in {pause:?}");
        } else if standing.is_away() && !was_away {
            log::warn!(MESSAGE_ID = journal::AUTHORITY_AWAY, AUTHORITY = self.name(); "{error}; submissions wait, asking again from time to time");
        } else {
            log::debug!(AUTHORITY = self.name(); "{error}; asking again in {pause:?}");
        }
        report.standing = *standing;
        report.last_error = Some(text);
        report.trouble = Some(error.in_a_word());
        pause
    }
}

async fn ask_batch(
    authority: &Authority,
    client: &AuthorityClient,
    mut asked: Vec<AskedOne>,
) -> Result<(Vec<Answered>, Option<SignedVerdict>), AskError> {
    let verdicts = match client.ask_batch(&questions(&asked)).await {
        Ok(verdicts) => verdicts,
        // Asked alone, it is this question that the authority will never answer.
        Err(AskError::Question(reason)) if asked.len() == 1 => {
            return Ok((
                asked
                    .drain(..)
                    .map(|one| refused(one, reason.clone()))
                    .collect(),
                None,
            ));
        }
        Err(error) => return Err(error),
    };
    if let Some(verdict) = &verdicts.signed
        && authority.signs()
        && !is_genuine(authority, verdict)
    {
        let name = verdict.verdict.manufacturer();
        return Err(AskError::Forged(format!(
            "its verdict, as {name:?}, is not signed by a configured key of {:?}",
            authority.settings.id
        )));
    }
    let signed = verdicts.signed.filter(|_| authority.signs());
    Ok((
        join(asked, verdicts.answers, signed.as_ref(), authority.signs()),
        signed,
    ))
}

fn questions(asked: &[AskedOne]) -> Vec<&serde_json::Value> {
    asked
        .iter()
        .filter_map(|(_, request, _)| match &request.asked {
            Asked::Authority(question) => Some(question),
            _ => None,
        })
        .collect()
}

fn refused((waiting, request, _): AskedOne, reason: String) -> Answered {
    Answered {
        waiting,
        request,
        answer: Outcome::Failed(reason),
    }
}

fn is_genuine(authority: &Authority, verdict: &SignedVerdict) -> bool {
    verdict.verdict.manufacturer() == authority.settings.id
        && authority
            .verdict_keys()
            .iter()
            .any(|key| verdict.verify(key).is_ok())
}
