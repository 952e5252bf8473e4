//! A reader that has seen enough (`birthmark queue list | head`) is no failure, and gets no report
//! of one.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

/// The status shells know from programs that ended because nobody read on.
const NOBODY_READS: u8 = 141;

/// Runs `work`, and ends it quietly once its output cannot be written any more. What it holds is
/// given back on the way out: the demonstration leaves no process behind.
pub fn quietly(work: impl FnOnce() -> ExitCode) -> ExitCode {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !nobody_reads(panic.payload()) {
            report(panic);
        }
    }));
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(status) => status,
        Err(payload) if nobody_reads(payload.as_ref()) => ExitCode::from(NOBODY_READS),
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Whether this is what `println!` says when its reader has gone.
fn nobody_reads(payload: &(dyn Any + Send)) -> bool {
    let said = payload.downcast_ref::<String>();
    said.is_some_and(|said| {
        said.starts_with("failed printing to stdout") && said.contains("Broken pipe")
    })
}
