//! `birthmark gps`: where the camera is, or why that is not known.

use std::pin::pin;
use std::process::ExitCode;

use birthmark_gps::messages::FixReply;
use futures_util::StreamExt as _;

use super::Sockets;

/// Prints one fix, or all of them. Exit status 1 if there is none.
pub async fn run(follow: bool, json: bool, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let mut gps = sockets.gps().await?;
    if !follow {
        let reply = gps.get_fix().await?;
        print(&reply, json)?;
        return Ok(ExitCode::from(u8::from(reply.fix.is_none())));
    }
    let mut replies = pin!(gps.subscribe().await?);
    loop {
        tokio::select! {
            reply = replies.next() => match reply {
                Some(reply) => print(&reply?, json)?,
                None => return Ok(ExitCode::SUCCESS),
            },
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

fn print(reply: &FixReply, json: bool) -> anyhow::Result<()> {
    match json {
        true => println!("{}", serde_json::to_string(reply)?),
        false => println!("{}", describe(reply)),
    }
    Ok(())
}

/// One line for people.
pub fn describe(reply: &FixReply) -> String {
    let Some(fix) = &reply.fix else {
        return format!(
            "no fix: {}",
            reply.detail.as_deref().unwrap_or("no reason given")
        );
    };
    let altitude = fix
        .altitude
        .map_or_else(String::new, |metres| format!(", {metres} m"));
    format!(
        "{} {}{altitude}; {} satellites, dilution {:.1}, {} ms old",
        degrees(fix.latitude, 'N', 'S'),
        degrees(fix.longitude, 'E', 'W'),
        fix.satellites,
        fix.hdop,
        fix.age_ms
    )
}

fn degrees(value: i32, positive: char, negative: char) -> String {
    let letter = if value < 0 { negative } else { positive };
    let value = value.unsigned_abs();
    format!("{}.{:05}° {letter}", value / 100_000, value % 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_keep_their_zeros_and_their_side() {
        assert_eq!(degrees(4_400_042, 'N', 'S'), "44.00042° N");
        assert_eq!(degrees(-7, 'E', 'W'), "0.00007° W");
    }
}
