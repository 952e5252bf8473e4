//! The shutter button and the light.
//!
//! What the light says:
//!
//! | the light | means |
//! |---|---|
//! | one flash every five seconds | ready |
//! | on | exposing and developing |
//! | one short blink | taken; photo and proof are safe |
//! | two short blinks | taken; the signer is away, the proof is signed later |
//! | three short blinks | taken; an unusual number of proofs is waiting |
//! | four long blinks | not taken: the disk is full |
//! | fast blinking for three seconds | not taken: see the journal |

use std::time::Duration;

use gpiocdev::Request;
use gpiocdev::line::{Bias, EdgeDetection, Value};
use tokio::sync::watch;

use crate::service::Capture;
use crate::settings::Panel;

/// Contacts bounce for a few milliseconds; nobody presses twice within this.
const BOUNCE: Duration = Duration::from_millis(25);

/// What the light shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Waiting for the shutter.
    Ready,
    /// Exposing and developing.
    Busy,
    /// The photo and its proof are safe.
    Taken,
    /// The photo is safe, its proof is signed later.
    Unsigned,
    /// The photo is safe; the queue is unusually long.
    QueueFull,
    /// No photo: no room.
    DiskFull,
    /// No photo.
    Problem,
}

impl Shown {
    /// Milliseconds on and off, in turn, beginning with on. An empty pattern stays on.
    pub const fn pattern(self) -> &'static [u64] {
        match self {
            Self::Ready => &[40, 4_960],
            Self::Busy => &[],
            Self::Taken => &[120, 400],
            Self::Unsigned => &[120, 200, 120, 400],
            Self::QueueFull => &[120, 200, 120, 200, 120, 400],
            Self::DiskFull => &[700, 300, 700, 300, 700, 300, 700, 300],
            Self::Problem => &[60; 50],
        }
    }

    /// Whether the light goes back to ready when the pattern is over.
    const fn passes(self) -> bool {
        !matches!(self, Self::Ready | Self::Busy)
    }
}

/// Where everybody says what the light should show. Without a light nobody looks.
#[derive(Debug, Clone)]
pub struct Lamp(watch::Sender<Shown>);

impl Default for Lamp {
    fn default() -> Self {
        Self(watch::Sender::new(Shown::Ready))
    }
}

impl Lamp {
    /// Shows something from now on.
    pub fn show(&self, shown: Shown) {
        self.0.send_replace(shown);
    }

    /// What is shown.
    pub fn shown(&self) -> watch::Receiver<Shown> {
        self.0.subscribe()
    }
}

/// A light that can be on or off.
pub trait Light: Send {
    /// Turns it on or off.
    fn set(&mut self, on: bool) -> Result<(), String>;
}

/// A button that can be waited for.
pub trait Button: Send {
    /// Blocks until it is pressed.
    fn pressed(&mut self) -> Result<(), String>;
}

/// One line of a GPIO chip, driven.
struct Pin {
    request: Request,
    line: u32,
}

impl Light for Pin {
    fn set(&mut self, on: bool) -> Result<(), String> {
        let value = if on { Value::Active } else { Value::Inactive };
        self.request
            .set_value(self.line, value)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

impl Button for Pin {
    fn pressed(&mut self) -> Result<(), String> {
        self.request
            .read_edge_event()
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

/// A button, and a light if there is one.
pub type Pins = (Box<dyn Button>, Option<Box<dyn Light>>);

/// Takes the pins of `panel`. What is configured must exist.
pub fn open(panel: &Panel) -> Result<Pins, String> {
    let problem = |line: u32, error: gpiocdev::Error| {
        format!("line {line} of {}: {error}", panel.chip.display())
    };
    let button = Request::builder()
        .on_chip(&panel.chip)
        .with_consumer("birthmark-shutter")
        .with_line(panel.button)
        .as_active_low()
        .with_bias(Bias::PullUp)
        .with_edge_detection(EdgeDetection::RisingEdge)
        .with_debounce_period(BOUNCE)
        .request()
        .map_err(|error| problem(panel.button, error))?;
    let button: Box<dyn Button> = Box::new(Pin {
        request: button,
        line: panel.button,
    });
    let Some(line) = panel.light else {
        return Ok((button, None));
    };
    let light = Request::builder()
        .on_chip(&panel.chip)
        .with_consumer("birthmark-light")
        .with_line(line)
        .as_output(Value::Inactive)
        .request()
        .map_err(|error| problem(line, error))?;
    Ok((
        button,
        Some(Box::new(Pin {
            request: light,
            line,
        })),
    ))
}

/// Takes a photo at every press until the button is gone. The button is watched on a thread of its own, which the process
/// does not wait for.
pub fn watch_button(mut button: Box<dyn Button>, capture: Capture) -> std::io::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("shutter".to_owned())
        .spawn(move || {
            loop {
                if let Err(error) = button.pressed() {
                    log::error!("the shutter button does not answer any more: {error}");
                    return;
                }
                let capture = capture.clone();
                // The next press is heard while this photo is developed.
                runtime.spawn(async move { capture.take().await.map(|_| ()) });
            }
        })?;
    Ok(())
}

/// Drives the light for as long as the daemon runs.
pub async fn drive_light(mut light: Box<dyn Light>, lamp: Lamp) {
    let mut shown = lamp.shown();
    loop {
        let now = *shown.borrow_and_update();
        if let Err(error) = play(light.as_mut(), now, &mut shown).await {
            log::error!("the light does not answer any more: {error}");
            return;
        }
        let unchanged = !shown.has_changed().unwrap_or(false);
        if unchanged && now.passes() {
            lamp.show(Shown::Ready);
        }
    }
}

/// Plays the pattern once, or until something else is to be shown.
async fn play(
    light: &mut dyn Light,
    now: Shown,
    shown: &mut watch::Receiver<Shown>,
) -> Result<(), String> {
    let mut on = true;
    if now.pattern().is_empty() {
        light.set(true)?;
        let _ = shown.changed().await;
        shown.mark_changed();
        return Ok(());
    }
    for milliseconds in now.pattern() {
        light.set(on)?;
        on = !on;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(*milliseconds)) => {}
            // A result is shown to its end; being ready or busy ends with any news.
            _ = shown.changed(), if !now.passes() => {
                shown.mark_changed();
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Noted(Arc<Mutex<Vec<bool>>>);

    impl Light for Noted {
        fn set(&mut self, on: bool) -> Result<(), String> {
            self.0.lock().unwrap().push(on);
            Ok(())
        }
    }

    #[tokio::test]
    async fn each_pattern_is_played_and_then_the_camera_is_ready_again() {
        let (lamp, seen) = (Lamp::default(), Arc::new(Mutex::new(Vec::new())));
        lamp.show(Shown::Unsigned);
        let mut shown = lamp.shown();
        let driver = tokio::spawn(drive_light(
            Box::new(Noted(Arc::clone(&seen))),
            lamp.clone(),
        ));
        shown
            .wait_for(|shown| *shown == Shown::Ready)
            .await
            .unwrap();
        assert!(
            seen.lock()
                .unwrap()
                .starts_with(&[true, false, true, false])
        );
        driver.abort();
    }

    #[test]
    fn patterns_take_as_long_as_the_manual_says() {
        let length = |shown: Shown| shown.pattern().iter().sum::<u64>();
        assert_eq!(length(Shown::Ready), 5_000);
        assert_eq!(length(Shown::Problem), 3_000);
    }

    #[test]
    fn patterns_end_dark_and_no_two_are_alike() {
        let all = [
            Shown::Ready,
            Shown::Busy,
            Shown::Taken,
            Shown::Unsigned,
            Shown::QueueFull,
            Shown::DiskFull,
            Shown::Problem,
        ];
        for (index, shown) in all.iter().enumerate() {
            assert!(shown.pattern().len().is_multiple_of(2));
            assert!(
                all.iter()
                    .skip(index + 1)
                    .all(|other| other.pattern() != shown.pattern())
            );
        }
    }
}
