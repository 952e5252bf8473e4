//! Figures of a network: how fast, how soon, at what cost.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::check::History;
use crate::load::{Pages, Senders, pace};
use crate::trial::Trial;
use crate::watch::{Seen, had_by_all};

/// How many photos are sent one by one to a network that has nothing else to do.
const ALONE: usize = 20;
/// How long photos come at half of what it bears, and while one is away.
const STEADY: Duration = Duration::from_secs(20);
/// How many photos a second come while one is away, at most.
const WHILE_AWAY: f64 = 200.0;
/// How many connections a burst comes through, over all validators.
const CONNECTIONS: usize = 64;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Photos that were sent under the same circumstances.
struct Phase {
    name: &'static str,
    /// Which of the accepted ones.
    from: usize,
    until: usize,
    /// Who is to have them.
    members: Vec<usize>,
}

/// Everything measured. Latencies follow when the histories are read.
pub(crate) struct Measured {
    lines: Vec<String>,
    phases: Vec<Phase>,
    pages: Pages,
}

impl Measured {
    /// One line for each figure.
    pub(crate) fn lines(&self, history: &History, seen: &[Seen]) -> Vec<String> {
        let phases = self
            .phases
            .iter()
            .map(|phase| self.latency(phase, history, seen));
        self.lines.iter().cloned().chain(phases).collect()
    }

    fn latency(&self, phase: &Phase, history: &History, seen: &[Seen]) -> String {
        let photos = self.pages.accepted.get(phase.from..phase.until);
        let mut times: Vec<_> = photos
            .unwrap_or(&[])
            .iter()
            .filter_map(|sent| {
                let height = *history.photos.get(&sent.digest)?.first()?;
                let had = had_by_all(seen, &phase.members, height)?;
                Some(had.saturating_duration_since(sent.at).as_secs_f64() * 1e3)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let of = |hundredths: usize| {
            let place = (times.len() * hundredths / 100).min(times.len().saturating_sub(1));
            times.get(place).copied().unwrap_or(f64::NAN)
        };
        format!(
            "  {:<44} {:>6.0} ms p50, {:>6.0} ms p99, {:>6.0} ms all, of {} photos",
            phase.name,
            of(50),
            of(99),
            of(100),
            times.len()
        )
    }
}

/// Measures, and leaves the network running.
pub(crate) async fn measure(trial: &mut Trial, count: usize) -> anyhow::Result<Measured> {
    let size = trial.network.members.len();
    let all: Vec<_> = (0..size).collect();
    let mut measured = Measured {
        lines: vec![format!("\n{size} validators, {count} photos at once")],
        phases: Vec::new(),
        pages: Pages::default(),
    };
    // The first photo of each camera brings its certificate.
    send_all(trial, trial.cameras.len()).await?;
    alone(trial, &mut measured, &all).await?;
    let rate = burst(trial, &mut measured, count).await?;
    trial.view.say("half of that");
    let from = trial.book.accepted();
    steadily(trial, rate / 2.0).await?;
    stored(trial, &all).await?;
    measured.phases.push(Phase {
        name: "submitted to stored on all, at half the rate",
        from,
        until: trial.book.accepted(),
        members: all.clone(),
    });
    if size > 1 {
        without_one(trial, &mut measured, (rate / 4.0).min(WHILE_AWAY)).await?;
    }
    measured.pages = trial.book.open().clone();
    Ok(measured)
}

async fn alone(trial: &mut Trial, measured: &mut Measured, all: &[usize]) -> anyhow::Result<()> {
    trial.view.say("photos one by one");
    let from = trial.book.accepted();
    for _ in 0..ALONE {
        send_all(trial, 1).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    measured.phases.push(Phase {
        name: "submitted to stored on all, one by one",
        from,
        until: trial.book.accepted(),
        members: all.to_vec(),
    });
    Ok(())
}

/// All at once; how many a second were stored by all.
async fn burst(trial: &mut Trial, measured: &mut Measured, count: usize) -> anyhow::Result<f64> {
    trial.view.say(&format!("{count} photos at once"));
    let (size, before) = (trial.network.members.len(), Spent::of(trial)?);
    let began = send_all(trial, count).await?;
    let seconds = began.elapsed().as_secs_f64();
    let spent = Spent::of(trial)?;
    let rate = count as f64 / seconds;
    let cpu = (spent.cpu - before.cpu) / count as f64 * 1e3;
    let own = (spent.own - before.own) / count as f64 * 1e3;
    let mut line = |what: &str, value: String| {
        measured.lines.push(format!("  {what:<44} {value}"));
    };
    line("stored on all", format!("{rate:>8.0} photos/s"));
    line("CPU of all validators", format!("{cpu:>8.3} ms a photo"));
    let each = cpu / size as f64;
    line("CPU of each", format!("{each:>8.3} ms a photo"));
    line(
        "CPU of who sends and relays",
        format!("{own:>8.3} ms a photo"),
    );
    if size > 1 {
        let bytes = (spent.carried - before.carried) as f64 / count as f64;
        line(
            "on all links together",
            format!("{bytes:>8.0} bytes a photo"),
        );
        let each = bytes / (size - 1) as f64;
        line(
            "on the links, for each that receives",
            format!("{each:>8.0} bytes a photo"),
        );
    }
    Ok(rate)
}

/// What it costs while one is away, and how soon that one has what it missed.
async fn without_one(trial: &mut Trial, measured: &mut Measured, rate: f64) -> anyhow::Result<()> {
    let last = trial.network.members.len() - 1;
    let others: Vec<_> = (0..last).collect();
    trial.view.say(&format!("{} is killed", last + 1));
    if let Some(member) = trial.network.members.get_mut(last) {
        member.kill()?;
    }
    let (from, top) = (trial.book.accepted(), trial.watch.top());
    steadily(trial, rate).await?;
    stored(trial, &others).await?;
    measured.phases.push(Phase {
        name: "submitted to stored on the others, one away",
        from,
        until: trial.book.accepted(),
        members: others,
    });
    let (missed, records) = (trial.watch.top() - top, trial.book.accepted() - from);
    let began = Instant::now();
    if let Some(member) = trial.network.members.get_mut(last) {
        member.start()?;
        member.answers().await?;
    }
    let answers = began.elapsed().as_secs_f64();
    stored(trial, &(0..=last).collect::<Vec<_>>()).await?;
    let seconds = began.elapsed().as_secs_f64();
    measured.lines.push(format!(
        "  {:<44} {seconds:>8.2} s for {missed} blocks with {records} photos; it answered after {answers:.2} s",
        "started again and level with the others"
    ));
    Ok(())
}

/// What was spent so far.
struct Spent {
    cpu: f64,
    own: f64,
    carried: u64,
}

impl Spent {
    fn of(trial: &Trial) -> anyhow::Result<Self> {
        let members = trial.network.members.iter();
        let own = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Ok(Self {
            cpu: members
                .map(|member| member.cpu_seconds())
                .sum::<anyhow::Result<_>>()?,
            own: own.tv_sec as f64 + own.tv_nsec as f64 / 1e9,
            carried: trial.network.carried(),
        })
    }
}

/// Sends new photos as fast as they are taken, and waits until all have them. When the first left.
async fn send_all(trial: &mut Trial, count: usize) -> anyhow::Result<Instant> {
    let cameras = trial.cameras.iter().cycle().take(count);
    // Signed before the clock starts.
    let photos: Vec<_> = cameras
        .map(|camera| camera.photo())
        .collect::<Result<_, _>>()?;
    let members = &trial.network.members;
    let addresses: Vec<_> = members.iter().map(|member| member.address()).collect();
    let each = (CONNECTIONS / addresses.len()).min(count).max(1);
    let mut senders = Senders::start(&trial.book, &addresses, each);
    let began = Instant::now();
    for photo in photos {
        senders.give(photo).await;
    }
    senders.finish().await;
    stored(trial, &(0..trial.network.members.len()).collect::<Vec<_>>()).await?;
    Ok(began)
}

/// Sends so many a second for a while.
async fn steadily(trial: &mut Trial, rate: f64) -> anyhow::Result<()> {
    let up = trial.network.members.iter().filter(|member| member.is_up());
    let addresses: Vec<_> = up.map(|member| member.address()).collect();
    let each = (CONNECTIONS / addresses.len()).max(1);
    let mut senders = Senders::start(&trial.book, &addresses, each);
    let paced = pace(&mut senders, &trial.cameras, rate);
    if let Ok(ended) = tokio::time::timeout(STEADY, paced).await {
        ended?;
    }
    senders.finish().await;
    Ok(())
}

/// Waits until these validators have everything that was accepted.
async fn stored(trial: &mut Trial, members: &[usize]) -> anyhow::Result<()> {
    let (wanted, began) = (trial.book.accepted() as u64, Instant::now());
    loop {
        let records = trial.watch.each(|seen| seen.records);
        if members
            .iter()
            .all(|at| records.get(*at).is_some_and(|has| *has >= wanted))
        {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("{wanted} photos were accepted, and the validators have {records:?}");
        }
        trial.look()?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
