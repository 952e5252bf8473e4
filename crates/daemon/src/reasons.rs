//! An error and what caused it, in one line for the journal or a terminal.

use std::error::Error;

/// The error and its causes, each said once: many libraries repeat their cause in their own words.
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let cause = error.to_string();
        if line.contains(&cause) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    // Where a message has lines of its own, the journal would show only the first.
    line.replace('\n', " ")
}

/// The innermost cause alone, for errors whose outer sentences only say that something failed.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let cause = anyhow::anyhow!("(code: 26) file is not a database");
        let repeated = "the database did not answer: (code: 26) file is not a database";
        let error = cause.context(repeated).context("cannot open it");
        assert_eq!(
            in_one_line(error.as_ref()),
            format!("cannot open it: {repeated}")
        );
        let other = anyhow::anyhow!("line one\nline two").context("outer");
        assert_eq!(in_one_line(other.as_ref()), "outer: line one line two");
        assert_eq!(innermost(other.as_ref()), "line one\nline two");
    }
}
