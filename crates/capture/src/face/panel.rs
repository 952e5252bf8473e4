//! The shutter button and the light, on the pins of a GPIO chip.

use std::time::Duration;

use gpiocdev::Request;
use gpiocdev::line::{Bias, EdgeDetection, Value};
use tokio::sync::watch;

use crate::face::lamp::{Lamp, Shown};
use crate::settings::Panel;

/// Contacts bounce for a few milliseconds; nobody presses twice within this.
const BOUNCE: Duration = Duration::from_millis(25);

/// Why a pin cannot be used, in the kernel's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PinError(String);

/// A light that can be on or off.
pub trait Light: Send {
    /// Turns it on or off.
    fn set(&mut self, on: bool) -> Result<(), PinError>;
}

/// A button that can be waited for.
pub trait Button: Send {
    /// Blocks until it is pressed.
    fn pressed(&mut self) -> Result<(), PinError>;
}

/// One line of a GPIO chip, driven.
struct Pin {
    request: Request,
    line: u32,
}

impl Light for Pin {
    fn set(&mut self, on: bool) -> Result<(), PinError> {
        let value = if on { Value::Active } else { Value::Inactive };
        self.request
            .set_value(self.line, value)
            .map(|_| ())
            .map_err(|error| PinError(error.to_string()))
    }
}

impl Button for Pin {
    fn pressed(&mut self) -> Result<(), PinError> {
        self.request
            .read_edge_event()
            .map(|_| ())
            .map_err(|error| PinError(error.to_string()))
    }
}

/// A button, and a light if there is one.
pub type Pins = (Box<dyn Button>, Option<Box<dyn Light>>);

/// Takes the pins of `panel`. What is configured must exist.
pub fn open(panel: &Panel) -> Result<Pins, PinError> {
    let problem = |line: u32, error: gpiocdev::Error| {
        PinError(format!("line {line} of {}: {error}", panel.chip.display()))
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

/// Calls `shoot` at every press until the button is gone. The button is watched on a thread of its
/// own, which the process does not wait for, so `shoot` must not block: the next press has to be
/// heard while a photo is developed.
pub fn watch_button(
    mut button: Box<dyn Button>,
    shoot: impl Fn() + Send + 'static,
) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("shutter".to_owned())
        .spawn(move || {
            loop {
                if let Err(error) = button.pressed() {
                    log::error!("the shutter button does not answer any more: {error}");
                    return;
                }
                shoot();
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
        let unchanged = !matches!(shown.has_changed(), Ok(true));
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
) -> Result<(), PinError> {
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
        fn set(&mut self, on: bool) -> Result<(), PinError> {
            self.0.lock().unwrap().push(on);
            Ok(())
        }
    }

    /// A button that is pressed so many times and then torn off.
    struct Presses(usize);

    impl Button for Presses {
        fn pressed(&mut self) -> Result<(), PinError> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| gone("button"))?;
            Ok(())
        }
    }

    fn gone(what: &str) -> PinError {
        PinError(format!("the {what} was torn off"))
    }

    #[test]
    fn every_press_is_a_photo_and_a_torn_off_button_ends_the_thread() {
        let (press, pressed) = std::sync::mpsc::channel();
        watch_button(Box::new(Presses(3)), move || press.send(()).unwrap()).unwrap();
        // The thread owns the only sender: this ends when it ends.
        assert_eq!(pressed.iter().count(), 3);
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
}
