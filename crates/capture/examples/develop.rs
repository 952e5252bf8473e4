//! Takes one simulated photo and writes it to a folder:
//! `cargo run --example develop -- FOLDER SHOT`.
#![allow(clippy::print_stdout, missing_docs)]

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use birthmark_camera_simulated::Simulated;
use birthmark_capture::exif::Caption;
use birthmark_capture::timeline::Timeline;
use birthmark_capture::{develop, dng};
use birthmark_sensor::RawSource as _;
use time::UtcOffset;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(
        arguments
            .next()
            .context("the folder to write to is missing")?,
    );
    let shot = arguments.next().unwrap_or_else(|| "0".to_owned()).parse()?;
    let mut camera = Simulated::new(1, shot);
    let timeline = Timeline::starting_at(Instant::now());
    let photo = timeline.measure("expose", || camera.capture())?;
    let digest = timeline.measure("hash raw", || photo.frame.digest());
    let picture = timeline.measure("demosaic", || {
        develop::demosaic(&photo.frame, &photo.exposure, 2)
    });
    let thumbnail = timeline.measure("thumbnail", || develop::thumbnail(&picture, 320));
    let mut caption = Caption {
        exposure: &photo.exposure,
        zone: UtcOffset::UTC,
        position: None,
        size: (picture.width as u32, picture.height as u32),
        thumbnail: None,
    };
    let dng = timeline.measure("dng", || dng::write_dng(&photo.frame, &caption, &thumbnail));
    caption.thumbnail = Some(develop::encode_jpeg(&thumbnail, 80, None)?);
    let block = caption.block();
    let jpeg = timeline.measure("encode", || {
        develop::encode_jpeg(&picture, 95, Some(&block))
    })?;
    std::fs::write(folder.join(format!("{shot}.dng")), dng)?;
    std::fs::write(folder.join(format!("{shot}.jpg")), jpeg)?;
    println!("raw {digest}");
    for step in timeline.steps() {
        println!(
            "{:>10} µs  {:>10} µs  {}",
            step.start_us, step.duration_us, step.name
        );
    }
    Ok(())
}
