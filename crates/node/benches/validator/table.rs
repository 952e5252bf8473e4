//! What was measured, beside what the parts allow.

/// What a figure is compared with.
pub struct Limit {
    pub of: &'static str,
    pub value: f64,
    /// The share of it that is wanted: at least this much, or at most if it is a ceiling.
    pub wanted: f64,
    pub is_ceiling: bool,
}

pub fn at_least(share: f64, of: &'static str, value: f64) -> Option<Limit> {
    Some(Limit {
        of,
        value,
        wanted: share,
        is_ceiling: false,
    })
}

pub fn at_most(value: f64) -> Option<Limit> {
    Some(Limit {
        of: "what is allowed",
        value,
        wanted: 1.0,
        is_ceiling: true,
    })
}

#[derive(Default)]
pub struct Table {
    missed: Vec<String>,
}

impl Table {
    pub fn head(&self, text: &str) {
        println!("\n{text}");
    }

    /// Prints a line, and remembers it if it misses what is wanted.
    pub fn line(&mut self, what: &str, value: f64, unit: &str, limit: Option<Limit>) {
        let shown = match value {
            value if value.abs() >= 1000.0 => format!("{value:.0}"),
            value if value.abs() >= 10.0 => format!("{value:.1}"),
            value => format!("{value:.2}"),
        };
        let Some(limit) = limit else {
            println!("  {what:<58} {shown:>10} {unit}");
            return;
        };
        let share = value / limit.value;
        let reached = if limit.is_ceiling {
            share <= limit.wanted
        } else {
            share >= limit.wanted
        };
        let verdict = if reached { "reached" } else { "MISSED" };
        println!(
            "  {what:<58} {shown:>10} {unit:<6} {:>4.0} % of {} ({:.*}); wanted {} {:.0} %: {verdict}",
            share * 100.0,
            limit.of,
            usize::from(limit.value < 100.0),
            limit.value,
            if limit.is_ceiling {
                "at most"
            } else {
                "at least"
            },
            limit.wanted * 100.0,
        );
        if !reached {
            self.missed.push(format!("{what}: {:.0} %", share * 100.0));
        }
    }

    pub fn end(&self) {
        match self.missed.as_slice() {
            [] => println!("\nEvery figure was reached."),
            missed => println!("\nMissed: {}.", missed.join("; ")),
        }
    }
}
