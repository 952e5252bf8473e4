//! Numbers that follow from a seed, so that a trial can be run again.

/// SplitMix64: small, and good enough to choose whom to disturb.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` up to `to`, both included.
    pub(crate) const fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    /// True this often in a thousand.
    pub(crate) const fn happens(&mut self, in_a_thousand: u32) -> bool {
        self.next() % 1000 < in_a_thousand as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut random = Random::from_seed(seed);
            [random.next(), random.next(), random.next()]
        };
        // Published for the seed 1234567.
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(numbers(1_234_567), published);
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn numbers_stay_between_their_ends() {
        let mut random = Random::from_seed(7);
        let numbers: Vec<_> = (0..1000).map(|_| random.between(3, 5)).collect();
        for wanted in 3..=5 {
            assert!(numbers.contains(&wanted));
        }
        assert!(numbers.iter().all(|number| (3..=5).contains(number)));
        assert!((0..1000).all(|_| !random.happens(0)));
    }
}
