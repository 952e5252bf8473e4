//! Lines out of bytes. Whatever arrives, at whatever speed, no more than one line is ever held.

/// NMEA allows 82 characters; some receivers take a few more.
const LONGEST: usize = 120;

/// Collects one line after the other.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: String,
    /// Whether the rest of an impossible line is being skipped.
    skipping: bool,
}

impl Lines {
    /// Takes bytes and hands each complete line that can be a sentence to `take`.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&str)) {
        for byte in bytes {
            match byte {
                // A sentence begins here, whatever came before it was cut off.
                b'$' => {
                    self.skipping = false;
                    self.line.clear();
                    self.line.push('$');
                }
                b'\r' | b'\n' => {
                    if !self.skipping && !self.line.is_empty() {
                        take(&self.line);
                    }
                    self.skipping = true;
                }
                b' '..=b'~' if !self.skipping && self.line.len() < LONGEST => {
                    self.line.push(char::from(*byte))
                }
                _ => self.skipping = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        lines.skipping = true;
        for part in parts {
            lines.feed(part, |line| out.push(line.to_owned()));
        }
        out
    }

    #[test]
    fn sentences_are_found_between_noise_and_across_reads() {
        let found = lines(&[
            b"\x00\xff,4807$GPR",
            b"MC,1*00\r\n$cut off$GPGGA,2*00\n",
            b"noise\r\n$\x01bad\r\n$ok\r",
        ]);
        assert_eq!(found, ["$GPRMC,1*00", "$GPGGA,2*00", "$ok"]);
    }

    #[test]
    fn an_endless_line_is_dropped() {
        let long = [b"$", vec![b'x'; 5_000].as_slice(), b"\r\n$ok\r\n"].concat();
        assert_eq!(lines(&[&long]), ["$ok"]);
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_allowed(bytes in proptest::collection::vec(any::<u8>(), 0..4_000)) {
            for line in lines(&[&bytes]) {
                prop_assert!(line.len() <= LONGEST && line.starts_with('$'));
            }
        }
    }
}
