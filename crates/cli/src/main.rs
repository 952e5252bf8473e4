//! The `birthmark` command: in the photographer's hand, at the fact-checker's desk, and for a first
//! look.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::process::ExitCode;

use birthmark_cli::options::{Command, DigestOptions, Options, ReceiptCommand};
use birthmark_cli::terminal::Style;
use birthmark_cli::{
    camera, digests, disclose, edit, mirror, old_settings, pipe, receipt, report, verify,
};
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    let options = Options::parse();
    pipe::quietly(|| answer(options))
}

#[tokio::main]
async fn answer(options: Options) -> ExitCode {
    match run(options).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!(
                "birthmark: {}",
                birthmark_daemon::reasons::in_one_line(error.as_ref())
            );
            ExitCode::from(2)
        }
    }
}

async fn run(options: Options) -> anyhow::Result<ExitCode> {
    match options.command {
        Command::Camera(command) => camera::run(command, &options.sockets).await,
        Command::Verify(options) => verify::run(&options).await,
        Command::Mirror(options) => mirror::mirror(&options).await,
        Command::Audit(options) => mirror::audit(&options),
        Command::Follow(options) => mirror::follow(&options).await,
        Command::Report(options) => report::run(&options).await,
        Command::Edit(options) => edit::run(&options).await,
        Command::SoftwareAuthority(command) => edit::software::run(&command),
        Command::Receipt(ReceiptCommand::Show(options)) => receipt::show(&options),
        Command::Receipt(ReceiptCommand::Fetch(options)) => receipt::fetch(&options).await,
        Command::Receipt(ReceiptCommand::Trust(options)) => receipt::trust(&options).await,
        Command::Disclose(command) => disclose::run(&command),
        Command::Digest(options) => print_digests(&options),
        Command::OldSettings(options) => old_settings::run(&options),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Options::command(), "birthmark", &mut text);
            print_text(&text)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Options::command()).render(&mut text)?;
            print_text(&text)
        }
    }
}

fn print_text(text: &[u8]) -> anyhow::Result<ExitCode> {
    print!("{}", String::from_utf8_lossy(text));
    Ok(ExitCode::SUCCESS)
}

fn print_digests(options: &DigestOptions) -> anyhow::Result<ExitCode> {
    let mut found = serde_json::Map::new();
    for path in &options.files {
        let digests = digests::of(path)?;
        if options.json {
            found.insert(path.display().to_string(), serde_json::to_value(&digests)?);
            continue;
        }
        println!(
            "{}",
            Style::of_standard_output().strong(&path.display().to_string())
        );
        digests
            .digests
            .iter()
            .for_each(|found| println!("  {:<10} {}", found.role.name(), found.digest));
        digests
            .notes
            .iter()
            .for_each(|note| println!("  note: {note}"));
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    }
    Ok(ExitCode::SUCCESS)
}
