//! The lane of one authority: takes what waits for it, asks, settles, and never gives up.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use birthmark_daemon::Shutdown;
use birthmark_ledger::Label;
use birthmark_protocol::SignedVerdict;
use birthmark_protocol::authority_request::Question;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answers::{Answered, Joined, Open, Outcome, Yes, join, refusal};
use super::portion::{BATCH, Portion, is_genuine, questions};
use super::progress::{LaneError, Progress};
use super::report::LaneReport;
use super::{AskError, AuthorityClient, Settler};
use crate::admission::{NOBODY, Request};
use crate::authorities::Authority;
use crate::clock;
use crate::store::{Store, StoreError, Waiting};

/// After this many failures on questions of their own, with no answer between them, the authority
/// itself is not well.
const MOST_STUMBLES: u32 = 16;
/// How long a question the authority failed on is set aside, in seconds: after the first time, the
/// second, and so on.
const PAUSES: [i64; 6] = [5, 30, 120, 600, 3600, LONGEST_PAUSE];
const LONGEST_PAUSE: i64 = 6 * 3600;
/// After this many failures a question is no longer asked again as soon as the authority is back.
const TRIES: u32 = PAUSES.len() as u32;
/// For so many seconds an unsigned refusal of an authority that signs is not believed.
const UNSIGNED_FOR: i64 = 86_400;
/// How long after the last wake-up the queue is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// While photos trickle in, the authority is asked no more often than this. Each answer becomes a
/// transaction, which every validator verifies and makes durable by itself: asked about each photo
/// alone, a network had more to do at half its load than at all of it.
const GATHERING: Duration = Duration::from_millis(100);
/// A portion of so many is worth a transaction of its own at any time.
const WORTH_ASKING: usize = BATCH / 2;
/// The pause after the store failed.
const AFTER_STORE_FAILURE: Duration = Duration::from_millis(500);

/// Works through what waits for one authority, or for nobody.
pub struct Lane {
    target: Option<(Arc<Authority>, AuthorityClient)>,
    settler: Arc<Settler>,
    wake: Arc<Notify>,
    report: Arc<Mutex<LaneReport>>,
    batch: usize,
    /// The question that was open alone when the authority last did not answer: others are tried
    /// before it.
    suspect: Option<(i64, u32)>,
    /// What was asked about while the portion before it was settled.
    ahead: Option<Portion>,
}

impl Lane {
    /// The lane of an authority.
    pub fn of(
        authority: Arc<Authority>,
        settler: Arc<Settler>,
        wake: Arc<Notify>,
    ) -> anyhow::Result<Self> {
        let client = AuthorityClient::new(&authority)?;
        Ok(Self::new(Some((authority, client)), settler, wake))
    }

    /// The lane of submissions nobody is asked about.
    pub fn of_nobody(settler: Arc<Settler>, wake: Arc<Notify>) -> Self {
        Self::new(None, settler, wake)
    }

    fn new(
        target: Option<(Arc<Authority>, AuthorityClient)>,
        settler: Arc<Settler>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            target,
            settler,
            wake,
            report: Arc::default(),
            batch: BATCH,
            suspect: None,
            ahead: None,
        }
    }

    /// What operators see of it.
    pub fn report(&self) -> Arc<Mutex<LaneReport>> {
        Arc::clone(&self.report)
    }

    fn reported<T>(&self, change: impl FnOnce(&mut LaneReport, &str) -> T) -> T {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut report, self.name())
    }

    fn name(&self) -> &str {
        self.target
            .as_ref()
            .map_or(NOBODY, |(authority, _)| &authority.settings.id)
    }

    fn store(&self) -> &Store {
        self.settler.store()
    }

    /// Works until asked to stop. What is open then is asked again at the next start.
    pub async fn run(mut self, shutdown: Shutdown) {
        loop {
            let wake = Arc::clone(&self.wake);
            let woken = wake.notified();
            let began = Instant::now();
            let outcome = tokio::select! {
                outcome = self.step() => outcome,
                () = shutdown.requested() => return,
            };
            let pause = match outcome {
                Ok(progress) if progress.is_nothing() => {
                    tokio::select! {
                        () = woken => {}
                        () = tokio::time::sleep(LOOK_AGAIN) => {}
                        () = shutdown.requested() => return,
                    }
                    continue;
                }
                Ok(progress) => {
                    self.reported(|report, name| report.answered(name, progress.settled));
                    let is_worth_it = progress.settled >= WORTH_ASKING || progress.ahead.is_some();
                    if is_worth_it || self.ahead.is_some() {
                        continue;
                    }
                    tokio::select! {
                        () = tokio::time::sleep_until(began + GATHERING) => continue,
                        () = shutdown.requested() => return,
                    }
                }
                // Not the authority's fault, and told where blocks are made.
                Err(LaneError::Store(error)) => {
                    log::debug!(AUTHORITY = self.name(); "{error}; trying again in {AFTER_STORE_FAILURE:?}");
                    AFTER_STORE_FAILURE
                }
                Err(LaneError::Ask(error)) => {
                    self.reported(|report, name| report.failed(name, &error))
                }
            };
            if let Err(error) = self.put_suspect_last(pause).await {
                log::debug!(AUTHORITY = self.name(); "{error}");
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// One portion of work: what was never asked before goes first, then what was set aside, one at
    /// a time.
    async fn step(&mut self) -> Result<Progress, LaneError> {
        if let Some(ahead) = self.ahead.take() {
            let mut progress = Progress::default();
            self.settle_and_ask_ahead(ahead, &mut progress).await?;
            self.ahead = progress.ahead.take();
            return Ok(progress);
        }
        let (name, now) = (self.name().to_owned(), clock::now());
        let waiting = self.store().waiting(&name, 0, self.batch).await?;
        let waiting = if waiting.is_empty() {
            let due = self.store().set_aside_and_due(&name, now).await?;
            due.into_iter().collect()
        } else {
            waiting
        };
        let open = self.read(waiting).await?;
        if open.is_empty() {
            return Ok(Progress::default());
        }
        let mut progress = self.ask_all(open).await;
        match &mut progress {
            Ok(progress) => {
                self.ahead = progress.ahead.take();
                self.suspect = None;
                self.batch = (self.batch * 2).min(BATCH);
                if self.reported(|report, _| report.standing.is_away()) {
                    self.store().take_up(&name, TRIES).await?;
                }
            }
            Err(LaneError::Ask(_)) => self.batch = (self.batch / 2).max(1),
            Err(LaneError::Store(_)) => {}
        }
        progress
    }

    /// Reads waiting rows. A row that cannot be read never will be: it is forgotten, and its sender
    /// sends it again.
    async fn read(&self, waiting: Vec<Waiting>) -> Result<Vec<Open>, LaneError> {
        let (mut open, mut commitments) = (Vec::with_capacity(waiting.len()), HashSet::new());
        for waiting in waiting {
            let rows = self.settler.rows();
            let bytes = rows.read(waiting.id.0.as_bytes(), &waiting.request);
            let read = bytes
                .map_err(anyhow::Error::from)
                .and_then(|bytes| Ok(Request::from_bytes(waiting.id, &bytes)?));
            let request = match read {
                Ok(request) => request,
                Err(reason) => {
                    log::error!(AUTHORITY = self.name(); "a waiting submission is forgotten, its camera has to send it again: {reason:#}");
                    self.store().forget_waiting(waiting.seq, waiting.id).await?;
                    self.settler.forgotten(self.name(), waiting.kind);
                    continue;
                }
            };
            let commitment = request.commitment();
            // Two questions about one commitment would share one answer: the second waits until the
            // first is answered.
            if commitments.insert(commitment) {
                open.push(Open {
                    waiting,
                    request,
                    commitment,
                });
            }
        }
        Ok(open)
    }

    /// Asks about all of these. Where the authority fails on a portion of them its halves are asked
    /// about at once, so that a question it cannot answer delays nobody; that question is set
    /// aside.
    async fn ask_all(&mut self, open: Vec<Open>) -> Result<Progress, LaneError> {
        let (mut progress, mut stumbles) = (Progress::default(), 0);
        let mut portions = vec![open];
        while let Some(mut portion) = portions.pop() {
            let error = match self.ask(&mut portion, &mut progress).await {
                Ok(()) => continue,
                Err(LaneError::Ask(error)) => error,
                Err(error) => return Err(error),
            };
            let single = portion.len() == 1;
            if !error.is_of_the_question() {
                if let (true, Some(one)) = (single, portion.first()) {
                    self.suspect = Some((one.waiting.seq, one.waiting.tries));
                }
                return Err(error.into());
            }
            if !single {
                let half = portion.split_off(portion.len() / 2);
                portions.extend([half, portion]);
                continue;
            }
            stumbles += 1;
            for one in portion {
                self.failed_on(one, &error, &mut progress).await?;
            }
            // So many failures and not one answer: it is not the questions.
            if stumbles >= MOST_STUMBLES && progress.settled == 0 {
                return Err(error.into());
            }
        }
        Ok(progress)
    }

    /// Asks about a portion and settles what was answered; an error leaves all of it open.
    async fn ask(&self, portion: &mut Vec<Open>, progress: &mut Progress) -> Result<(), LaneError> {
        let Some((authority, client)) = &self.target else {
            let answered = std::mem::take(portion).into_iter().map(unasked).collect();
            return self.settle(&nobody()?, answered, None, progress).await;
        };
        let questions = questions(authority, portion);
        if !authority.settings.batches {
            return self
                .ask_each(authority, client, portion, &questions, progress)
                .await;
        }
        let verdicts = match client.ask_batch(&questions).await {
            // Whoever was given no token is still answered one by one, and slowly. A token that was
            // withdrawn is trouble instead: operators shall hear of it.
            Err(AskError::Token(_)) if authority.token().is_none() => {
                return self
                    .ask_each(authority, client, portion, &questions, progress)
                    .await;
            }
            verdicts => verdicts?,
        };
        let portion = Portion::answered(authority, std::mem::take(portion), verdicts)?;
        self.settle_and_ask_ahead(portion, progress).await
    }

    /// Settles a portion and asks about the next one meanwhile, if so many wait that it would be a
    /// full one: the authority and the database then work at the same time.
    async fn settle_and_ask_ahead(
        &self,
        portion: Portion,
        progress: &mut Progress,
    ) -> Result<(), LaneError> {
        let Some((authority, client)) = &self.target else {
            return Ok(());
        };
        let Portion {
            joined,
            verdict,
            more_behind,
        } = portion;
        let ahead = async {
            match more_behind {
                Some(place) => self.ask_ahead(authority, client, place).await,
                None => Ok(None),
            }
        };
        let settled = self.settle_joined(authority, joined, verdict, progress);
        let (settled, ahead) = tokio::join!(settled, ahead);
        settled?;
        // A failure met ahead is met again when it is these questions' turn, and dealt with there.
        progress.ahead = ahead.ok().flatten();
        Ok(())
    }

    /// Asks about a full portion of what waits behind this place.
    async fn ask_ahead(
        &self,
        authority: &Authority,
        client: &AuthorityClient,
        place: i64,
    ) -> Result<Option<Portion>, LaneError> {
        let waiting = self.store().waiting(self.name(), place, BATCH).await?;
        if waiting.len() < BATCH {
            return Ok(None);
        }
        let open = self.read(waiting).await?;
        let verdicts = client.ask_batch(&questions(authority, &open)).await?;
        Ok(Some(Portion::answered(authority, open, verdicts)?))
    }

    /// Older authorities: each answer is settled by itself, signed or not.
    async fn ask_each(
        &self,
        authority: &Authority,
        client: &AuthorityClient,
        portion: &mut Vec<Open>,
        questions: &[Question],
        progress: &mut Progress,
    ) -> Result<(), LaneError> {
        let answers = client.ask_each(questions).await;
        let (mut unsigned, mut first_error) = (Vec::new(), None);
        for (one, answer) in std::mem::take(portion).into_iter().zip(answers) {
            let (answer, verdict) = match answer {
                Ok(answer) => answer,
                Err(error) if error.is_of_the_question() => {
                    self.failed_on(one, &error, progress).await?;
                    continue;
                }
                Err(error) => {
                    portion.push(one);
                    first_error.get_or_insert(error);
                    continue;
                }
            };
            let verdict = verdict.filter(|verdict| is_genuine(authority, verdict));
            let mut joined = join(vec![one], vec![answer], verdict.as_ref(), authority.signs());
            if verdict.is_none() {
                unsigned.append(&mut joined.answered);
            }
            self.settle_joined(authority, joined, verdict, progress)
                .await?;
        }
        self.settle(&authority.name, unsigned, None, progress)
            .await?;
        first_error.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn settle_joined(
        &self,
        authority: &Authority,
        joined: Joined,
        verdict: Option<SignedVerdict>,
        progress: &mut Progress,
    ) -> Result<(), LaneError> {
        let Joined {
            mut answered,
            unsigned,
            left,
        } = joined;
        for (open, reason) in unsigned {
            if self.is_long_unsigned(&open) {
                answered.push(open.answered(Outcome::Failed(reason)));
            } else {
                self.set_aside(&open, progress).await?;
            }
        }
        self.settle(&authority.name, answered, verdict, progress)
            .await?;
        for open in left {
            self.set_aside(&open, progress).await?;
        }
        Ok(())
    }

    async fn settle(
        &self,
        authority: &Label,
        answered: Vec<Answered>,
        verdict: Option<SignedVerdict>,
        progress: &mut Progress,
    ) -> Result<(), LaneError> {
        let count = answered.len();
        self.settler.settle(authority, answered, verdict).await?;
        progress.settled += count;
        Ok(())
    }

    /// The authority failed on this question alone. An authority that signs nothing may refuse a
    /// question for good; from one that signs, a refusal without a signature may be somebody
    /// else's.
    async fn failed_on(
        &self,
        open: Open,
        error: &AskError,
        progress: &mut Progress,
    ) -> Result<(), LaneError> {
        let signs = self
            .target
            .as_ref()
            .is_some_and(|(authority, _)| authority.signs());
        match (error, &self.target) {
            (AskError::Question(reason), Some((authority, _)))
                if !signs || self.is_long_unsigned(&open) =>
            {
                let refused = open.answered(Outcome::Failed(refusal(reason)));
                self.settle(&authority.name, vec![refused], None, progress)
                    .await
            }
            _ => self.set_aside(&open, progress).await,
        }
    }

    /// Whether unsigned refusals have been all there was for so long that they are believed.
    fn is_long_unsigned(&self, open: &Open) -> bool {
        let waiting = &open.waiting;
        waiting.tries >= TRIES && clock::now().since(waiting.received_at) > UNSIGNED_FOR
    }

    async fn set_aside(&self, open: &Open, progress: &mut Progress) -> Result<(), LaneError> {
        let tries = open.waiting.tries.saturating_add(1);
        let pause = usize::try_from(tries)
            .ok()
            .and_then(|tries| PAUSES.get(tries.saturating_sub(1)).or(PAUSES.last()));
        let retry_at = clock::now().plus(pause.copied().unwrap_or(LONGEST_PAUSE));
        self.store()
            .set_aside(open.waiting.seq, tries, retry_at)
            .await?;
        progress.set_aside += 1;
        Ok(())
    }

    /// Lets others go before the question that was open alone when the authority did not answer.
    async fn put_suspect_last(&mut self, pause: Duration) -> Result<(), StoreError> {
        let Some((seq, tries)) = self.suspect.take() else {
            return Ok(());
        };
        let seconds =
            i64::try_from(pause.as_secs()).map_err(|_| StoreError::Corrupt("a pause".into()))?;
        self.store()
            .set_aside(seq, tries, clock::now().plus(seconds))
            .await
    }
}

fn nobody() -> Result<Label, StoreError> {
    Label::new(NOBODY).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// What nobody is asked about passes as it was admitted.
fn unasked(open: Open) -> Answered {
    open.answered(Outcome::Passed(Yes::not_asked()))
}
