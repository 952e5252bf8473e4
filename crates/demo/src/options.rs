//! What the command line of `birthmark-demo` looks like.

use std::path::PathBuf;

use clap::Parser;

/// Run an authority, validators and a simulated camera on this machine, and follow photos from
/// shutter to verified.
#[derive(Parser, Debug, Clone)]
#[command(name = "birthmark-demo", version, max_term_width = 100, after_help = STATUSES)]
pub(crate) struct Options {
    /// How many photos to take
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) photos: u32,
    /// End after the photos
    #[arg(long)]
    pub(crate) once: bool,
    /// Print one JSON document instead of text (implies --once)
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep everything in this folder, or go on with what it holds; otherwise a temporary one is
    /// used and removed
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// Port of the authority; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) sma_port: u16,
    /// How many validators decide together: 1, 4, 7 or 10; as many as before in a folder that is
    /// kept, otherwise 1
    #[arg(long, value_name = "COUNT", value_parser = size)]
    pub(crate) validators: Option<usize>,
    /// Port of the validator that the camera submits to; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) node_port: u16,
    /// Show what the daemons log, on standard error
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// The most validators that a demonstration has: they all run in one process.
const MOST: usize = 10;

/// A number of validators that is worth having.
fn size(text: &str) -> Result<usize, String> {
    let size: usize = text.parse().map_err(|_| "must be a number".to_owned())?;
    if !(1..=MOST).contains(&size) {
        return Err(format!("must be 1, 4, 7 or {MOST}"));
    }
    birthmark_node::network::size_advice(size).map_or(Ok(size), Err)
}

const STATUSES: &str = "Exit status: 0 all photos were verified, 1 one was not, 2 it could not run, \
                        128 and the signal's number when a signal ended it.";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let all = std::iter::once(&"birthmark-demo").chain(arguments);
        Options::try_parse_from(all).map_err(|error| error.to_string())
    }

    #[test]
    fn without_options_three_photos_are_taken_and_everything_stays_open() {
        let options = parse(&[]).unwrap();
        assert_eq!(
            (options.photos, options.sma_port, options.node_port),
            (3, 0, 0)
        );
        assert!(!options.once && !options.json && !options.verbose);
        assert_eq!((options.dir, options.validators), (None, None));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_option() {
        for (arguments, named) in [
            (["--photos", "0"], "--photos"),
            (["--photos", "1001"], "--photos"),
            (["--sma-port", "65536"], "--sma-port"),
            (["--node-port", "x"], "--node-port"),
            (["--validators", "x"], "must be a number"),
            (["--validators", "11"], "1, 4, 7 or 10"),
        ] {
            let refused = parse(&arguments).unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
        for size in [1, 4, 7, 10] {
            let options = parse(&["--validators", &size.to_string()]).unwrap();
            assert_eq!(options.validators, Some(size));
        }
        assert_eq!(parse(&["--photos", "1000"]).unwrap().photos, 1000);
    }
}
