//! Cameras that are suddenly busy are flagged for a person. Nothing is refused for it: tokens of
//! older cameras can be minted by others, and a ban would be a way to silence a photographer.

use birthmark_protocol::Timestamp;

use crate::authority::Authority;

/// Over how many days the ordinary number is an average.
const DAYS: i64 = 14;

impl Authority {
    /// Writes down how busy cameras were since the last time.
    pub fn note_activity(&self, now: Timestamp) {
        let day = now.unix().div_euclid(86400);
        let busy = self.with_cameras(crate::judge::cameras::Cameras::take_activity);
        self.audit.activity(
            busy.into_iter()
                .map(|(device, amount)| (device, day, amount)),
        );
    }

    /// Flags cameras whose day so far is unusual; how many.
    pub async fn flag_unusual(&self, now: Timestamp) -> Result<usize, sqlx::Error> {
        let today = now.unix().div_euclid(86400);
        let (factor, floor) = (
            f64::from(self.settings.limits.unusual_factor),
            i64::from(self.settings.limits.unusual_floor),
        );
        let mut flagged = 0;
        for (device, amount, before, days) in self.store.activity_since(today - DAYS, today).await?
        {
            let ordinary = ordinary(before, days);
            if amount >= floor && as_float(amount) >= ordinary * factor {
                self.store.flag(device, today, amount, ordinary).await?;
                flagged += 1;
            }
        }
        Ok(flagged)
    }
}

/// The average of the busy days before; a camera without any has no ordinary number yet, and is
/// judged by the floor.
fn ordinary(before: i64, days: i64) -> f64 {
    if days == 0 {
        0.0
    } else {
        as_float(before) / as_float(days)
    }
}

fn as_float(number: i64) -> f64 {
    // Numbers of validations stay far below what a double holds exactly.
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ordinary_number_is_an_average_of_busy_days() {
        assert!((ordinary(30, 3) - 10.0).abs() < f64::EPSILON);
        assert!(ordinary(0, 0).abs() < f64::EPSILON);
    }
}
