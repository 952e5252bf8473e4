//! Randomness from the system, the only kind the daemons use.

/// The system has no randomness: nothing that follows would be safe.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

/// `N` random bytes. Whoever draws a secret wraps them in `Zeroizing` at once.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

/// A number below `end`, each as likely as the others; of `end` 0 there is none.
pub fn below(end: u32) -> Result<Option<u32>, NoRandomness> {
    if end == 0 {
        return Ok(None);
    }
    // The largest multiple of `end` that 32 bits hold: above it, some numbers would be likelier
    // than others.
    let fair = u32::MAX - u32::MAX % end;
    loop {
        let drawn = u32::from_le_bytes(bytes()?);
        if drawn < fair {
            return Ok(Some(drawn % end));
        }
    }
}

/// One of these, each as likely as the others; of none there is none.
pub fn choose<T>(mut from: impl ExactSizeIterator<Item = T>) -> Result<Option<T>, NoRandomness> {
    // Nobody holds four thousand million things to choose from: beyond that, the rest is never
    // drawn.
    let count = from.len().min(u32::MAX as usize) as u32;
    Ok(below(count)?.and_then(|chosen| from.nth(chosen as usize)))
}

/// A number from 0 to 1 for spreading load, where bad randomness costs nothing: without any it lies
/// in the middle.
pub fn share() -> f64 {
    let drawn = bytes::<4>().map_or(u32::MAX / 2, u32::from_le_bytes);
    f64::from(drawn) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_and_none_outside() {
        let mut seen = [0_u32; 3];
        for _ in 0..3_000 {
            seen[usize::try_from(below(3).unwrap().unwrap()).unwrap()] += 1;
        }
        // Each is expected 1,000 times; 700 is more than ten standard deviations away.
        assert!(seen.iter().all(|count| *count > 700), "{seen:?}");
        assert_eq!(below(0).unwrap(), None);
        assert_eq!(below(1).unwrap(), Some(0));
        assert!(below(u32::MAX).unwrap().unwrap() < u32::MAX);
    }

    #[test]
    fn each_thing_is_chosen_sometime() {
        let drawn = (0..1_000).map(|_| choose([7, 8, 9].iter()).unwrap().copied());
        let mut drawn: Vec<_> = drawn.map(Option::unwrap).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [7, 8, 9]);
        assert_eq!(choose([0; 0].iter()).unwrap(), None);
    }

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes::<32>().unwrap(), bytes::<32>().unwrap());
        assert!((0..100).all(|_| (0.0..=1.0).contains(&share())));
    }
}
