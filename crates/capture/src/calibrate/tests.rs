//! A simulated sensor, calibrated by people who do it right and wrong.

use birthmark_camera_simulated::Simulated;
use birthmark_sensor::SourceError;

use super::frames::brightness;
use super::*;

fn camera() -> Simulated {
    Simulated::with_size(5, 0, 96, 64)
}

#[test]
fn a_calibration_ends_with_a_map_that_is_never_overwritten() {
    let (bench, folder) = (Bench::default(), tempfile::tempdir().unwrap());
    let mut camera = camera();
    let mut seen = Vec::new();
    bench
        .flat(&mut camera, 8, &mut |done| {
            seen.push(done);
            true
        })
        .unwrap();
    bench.dark(&mut camera, 8, &mut |_| true).unwrap();
    assert_eq!(seen, (1..=8).collect::<Vec<u16>>());
    let report = bench
        .finish(folder.path(), Timestamp::from_unix(9))
        .unwrap();
    let bytes = std::fs::read(&report.map).unwrap();
    let map = NucMap::decode(&bytes).unwrap();
    assert_eq!(
        (
            map.header().width,
            map.header().dark_frames,
            map.header().time.unix()
        ),
        (96, 8, 9)
    );
    assert_eq!(hex::encode(nuc_hash(&bytes).expose()), report.nuc_hash);
    let plot = std::fs::read_to_string(&report.plot).unwrap();
    assert!(plot.starts_with("<svg ") && plot.ends_with("</svg>\n"));
    assert!(matches!(
        bench.finish(folder.path(), Timestamp::from_unix(9)),
        Err(CalibrationError::Exists { .. })
    ));
    let shot = camera.capture().unwrap();
    assert!(
        shot.exposure.exposure_us != map.header().exposure_us
            || brightness(&shot.frame, 256).share < 0.45,
        "the camera exposes by itself again"
    );
}

#[test]
fn steps_out_of_order_and_odd_numbers_are_refused() {
    let (bench, folder) = (Bench::default(), tempfile::tempdir().unwrap());
    let mut camera = camera();
    assert!(
        bench
            .dark(&mut camera, 8, &mut |_| true)
            .unwrap_err()
            .to_string()
            .contains("flat surface first")
    );
    assert!(
        bench
            .finish(folder.path(), Timestamp::from_unix(0))
            .unwrap_err()
            .to_string()
            .contains("first")
    );
    assert!(
        bench
            .flat(&mut camera, 2, &mut |_| true)
            .unwrap_err()
            .to_string()
            .contains("not 2")
    );
    assert!(matches!(
        bench.flat(&mut camera, 8, &mut |_| false),
        Err(CalibrationError::Abandoned)
    ));
}

/// A photographer who forgets to change what is before the lens.
struct Forgetful(Simulated, Subject);

impl RawSource for Forgetful {
    fn name(&self) -> &str {
        "forgetful"
    }

    fn capture(&mut self) -> Result<birthmark_sensor::Shot, SourceError> {
        self.0.capture()
    }

    fn fix_exposure(&mut self, fixed: Option<FixedExposure>) -> Result<(), SourceError> {
        self.0.fix_exposure(fixed)
    }

    fn before_the_lens(&mut self, _: Subject) {
        self.0.before_the_lens(self.1);
    }
}

/// Remembers how the camera was left.
struct Watched(Forgetful, Option<FixedExposure>, Subject);

impl RawSource for Watched {
    fn name(&self) -> &str {
        "watched"
    }

    fn capture(&mut self) -> Result<birthmark_sensor::Shot, SourceError> {
        self.0.capture()
    }

    fn fix_exposure(&mut self, fixed: Option<FixedExposure>) -> Result<(), SourceError> {
        self.1 = fixed;
        self.0.fix_exposure(fixed)
    }

    fn before_the_lens(&mut self, subject: Subject) {
        self.2 = subject;
        self.0.before_the_lens(subject);
    }
}

#[test]
fn after_a_step_that_failed_the_camera_exposes_by_itself_again() {
    let bench = Bench::default();
    bench.flat(&mut camera(), 8, &mut |_| true).unwrap();
    for wrong in [Subject::Cap, Subject::Diffuser] {
        let mut watched = Watched(Forgetful(camera(), wrong), None, Subject::Scene);
        match wrong {
            Subject::Cap => bench.flat(&mut watched, 8, &mut |_| true),
            _ => bench.dark(&mut watched, 8, &mut |_| true),
        }
        .unwrap_err();
        assert_eq!((watched.1, watched.2), (None, Subject::Scene), "{wrong:?}");
    }
}

#[test]
fn a_cap_that_is_on_or_off_at_the_wrong_time_is_noticed() {
    let bench = Bench::default();
    let capped = bench
        .flat(&mut Forgetful(camera(), Subject::Cap), 8, &mut |_| true)
        .unwrap_err();
    assert!(capped.to_string().contains("too dark"), "{capped}");
    bench.flat(&mut camera(), 8, &mut |_| true).unwrap();
    let open = bench
        .dark(&mut Forgetful(camera(), Subject::Diffuser), 8, &mut |_| {
            true
        })
        .unwrap_err();
    assert!(open.to_string().contains("put the cap on"), "{open}");
}

#[test]
fn a_sensor_that_warms_up_is_noticed() {
    assert!(check_temperature(Some(30.0), Some(33.5)).is_err());
    assert!(check_temperature(Some(30.0), Some(32.9)).is_ok());
    assert!(check_temperature(None, Some(32.9)).is_ok());
}
