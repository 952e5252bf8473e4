//! Median, nine tenths and maximum of some numbers.

/// Numbers whose spread is of interest.
#[derive(Debug, Default)]
pub(super) struct Spread(Vec<usize>);

impl Spread {
    pub(super) fn push(&mut self, number: usize) {
        self.0.push(number);
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn over(&self, limit: usize) -> usize {
        self.0.iter().filter(|number| **number > limit).count()
    }

    /// `median 8, p90 25, max 112`
    pub(super) fn described(&self) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let share = |tenths: usize| {
            sorted.get((sorted.len() * tenths / 10).min(sorted.len().saturating_sub(1)))
        };
        match (share(5), share(9), sorted.last()) {
            (Some(median), Some(most), Some(max)) => {
                format!("median {median}, p90 {most}, max {max}")
            }
            _ => "none".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_a_hundred_numbers() {
        let mut spread = Spread::default();
        (1..=100).rev().for_each(|number| spread.push(number));
        assert_eq!(spread.described(), "median 51, p90 91, max 100");
        assert_eq!(spread.over(40), 60);
        assert_eq!(Spread::default().described(), "none");
    }
}
