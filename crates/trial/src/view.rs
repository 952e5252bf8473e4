//! What a person sees while a trial runs: a table that stays in its place on a terminal, and a line
//! now and then anywhere else.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::watch::Seen;

/// How often the table is drawn.
const TABLE: Duration = Duration::from_millis(250);
/// How often a line is written.
const LINE: Duration = Duration::from_secs(2);

/// Where it is shown.
pub(crate) struct View {
    began: Instant,
    is_terminal: bool,
    /// How many lines the table has now.
    drawn: usize,
    next: Instant,
}

/// What is shown at one moment.
pub(crate) struct Shown<'a> {
    pub(crate) seen: &'a [Seen],
    /// `up`, `held`, `down`, `cut off`.
    pub(crate) states: &'a [&'static str],
    pub(crate) accepted: usize,
    pub(crate) can_decide: bool,
}

impl View {
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            began,
            is_terminal: std::io::stdout().is_terminal(),
            drawn: 0,
            next: began,
        }
    }

    /// Says something that happened.
    pub(crate) fn say(&mut self, text: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.write(&format!("{seconds:7.1} s  {text}\n"));
    }

    /// Says something that stands by itself.
    pub(crate) fn print(&mut self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// Whether it is time to show how everybody is doing.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Shows how everybody is doing.
    pub(crate) fn show(&mut self, shown: &Shown<'_>) {
        self.next = Instant::now() + if self.is_terminal { TABLE } else { LINE };
        if self.is_terminal {
            let table = self.table(shown);
            self.write(&table);
            self.drawn = table.lines().count();
        } else {
            self.say(&line(shown));
        }
    }

    fn write(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        // The table goes, and whatever is said stands above the next one.
        let up = match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        };
        // Nobody is left to be told that standard output is gone.
        let _ = out.write_all(format!("{up}{text}").as_bytes());
        let _ = out.flush();
    }

    fn table(&self, shown: &Shown<'_>) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let top = top(shown.seen);
        let decides = if shown.can_decide {
            "can decide"
        } else {
            "cannot decide"
        };
        let mut table = format!(
            "{seconds:7.1} s  {} photos accepted, block {top}, {decides}\n\
             validator    state    height  behind   round  linked    pool   queue  records\n",
            shown.accepted
        );
        for (number, (seen, state)) in (1..).zip(shown.seen.iter().zip(shown.states)) {
            let round = seen
                .round
                .map_or_else(|| "-".to_owned(), |round| round.to_string());
            let (height, behind) = (seen.height(), top - seen.height());
            let (linked, pool, queue, records) = (seen.linked, seen.pool, seen.queue, seen.records);
            table.push_str(&format!(
                "{number:<12} {state:<8} {height:>6}  {behind:>6}  {round:>6}  {linked:>6}  {pool:>6}  {queue:>6}  {records:>7}\n"
            ));
        }
        table
    }
}

fn top(seen: &[Seen]) -> u64 {
    seen.iter().map(Seen::height).max().unwrap_or(0)
}

/// `block 12, 340 photos accepted | 1 up 12 | 2 down 11 ...`
fn line(shown: &Shown<'_>) -> String {
    let mut line = format!("block {}, {} accepted", top(shown.seen), shown.accepted);
    for (number, (seen, state)) in (1..).zip(shown.seen.iter().zip(shown.states)) {
        let (height, pool, queue) = (seen.height(), seen.pool, seen.queue);
        line.push_str(&format!(" | {number} {state} {height}"));
        if let Some(round) = seen.round.filter(|round| *round > 0) {
            line.push_str(&format!(" round {round}"));
        }
        if pool + queue > 0 {
            line.push_str(&format!(" waiting {}", pool + queue));
        }
    }
    line
}
