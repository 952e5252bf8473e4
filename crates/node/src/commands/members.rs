//! `members`: who decides, and how that changes. A change is proposed by one member into a file,
//! signed by more than two thirds of the members, each at its own machine, and handed to a node
//! that runs.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use birthmark_daemon::{Context, Credentials, Program};
use birthmark_ledger::{
    Height, KeyName, SetChange, Tip, Validator, ValidatorId, ValidatorSet, VoteKey, VoteSigner as _,
};
use clap::{Arg, ArgGroup, ArgMatches, Command, value_parser};

use super::running::{RunningNode, at_argument};
use super::{command, path, path_argument, say};
use crate::changes::{ChangeFile, Step, judge, name_of};
use crate::registry::Registry;
use crate::settings::Settings;
use crate::store::Store;
use crate::{identity, network};

/// For how many blocks a change may be decided, where nothing is said.
const BLOCKS: u64 = 10_000;
/// How many characters of a change's name show that somebody has read what it is.
const CODE: usize = 8;

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let members = command(
        "members",
        "Shows who decides, and changes it: propose, sign, submit",
    )
    .subcommand_required(true)
    .subcommand(command("list", "Says who decides the next block"))
    .subcommand(
        command(
            "entry",
            "Prints the entry of the keys in the credentials, for a change",
        )
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .required(true)
                .help("The validator's name, like library.example.edu"),
        ),
    )
    .subcommand(propose_arguments())
    .subcommand(
        command("show", "Says what a change comes to, and who has signed it")
            .arg(path_argument("file", "The change")),
    )
    .subcommand(
        command(
            "sign",
            "Signs a change with this validator's vote key, which must be among the credentials",
        )
        .arg(path_argument(
            "file",
            "The change; the signature is added to it",
        ))
        .arg(
            Arg::new("shown")
                .long("shown")
                .value_name("CODE")
                .help("What `show` printed last: that you have read what you sign"),
        ),
    )
    .subcommand(
        command(
            "submit",
            "Hands a change that more than two thirds have signed to a running node",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("The change; several copies of it that were signed apart are put together"),
        )
        .arg(at_argument()),
    );
    program.command(members, |settings, matches, context| async move {
        match matches.subcommand() {
            Some(("list", _)) => list(&present(&settings).await?),
            Some(("entry", asked)) => entry(asked, &context.credentials),
            Some(("propose", asked)) => propose(&present(&settings).await?, asked),
            Some(("show", asked)) => show(&present(&settings).await?, asked),
            Some(("sign", asked)) => sign(&present(&settings).await?, asked, &context),
            Some(("submit", asked)) => submit(&settings, asked).await,
            _ => bail!("say what: list, entry, propose, show, sign or submit"),
        }
    })
}

fn propose_arguments() -> Command {
    let height = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("HEIGHT")
            .value_parser(value_parser!(u64))
            .help(help)
    };
    command("propose", "Writes a change of one member into a file, for the others to sign")
        .arg(path_argument("file", "The file to write"))
        .arg(Arg::new("add").long("add").value_name("ENTRY").value_parser(value_parser!(PathBuf)).help("Takes in the validator of this file, as `keys` or `members entry` printed it"))
        .arg(Arg::new("remove").long("remove").value_name("NAME").help("Lets this validator go"))
        .arg(Arg::new("replace").long("replace").num_args(2).value_names(["NAME", "ENTRY"]).help("Puts the validator of this file in the place of the one with this name: other keys, or another institution"))
        .group(ArgGroup::new("what").args(["add", "remove", "replace"]).required(true))
        .arg(height("from", "The lowest block that may carry it; the next one if left out"))
        .arg(height("until", "The highest block that may carry it; 10,000 blocks later if left out"))
}

/// The state after the last block, as the database of this machine has it; the node may run.
async fn present(settings: &Settings) -> anyhow::Result<Tip> {
    let genesis = identity::read_genesis(&settings.genesis)?;
    let Some(store) = Store::look(&settings.database).await? else {
        return Ok(Tip::genesis(&genesis));
    };
    let registry = Registry::open(store.clone(), genesis).await?;
    let tip = Tip::clone(&registry.tip());
    store.close().await;
    Ok(tip)
}

fn list(tip: &Tip) -> anyhow::Result<()> {
    let set = tip.validators();
    say(&format!(
        "{} decide block {}, {} of them each:",
        count(set.len()),
        tip.height().next(),
        set.quorum()
    ))?;
    for validator in set.validators() {
        let key = hex::encode(validator.vote_key.to_compressed());
        say(&format!("{} with the vote key {key}", validator.name))?;
    }
    Ok(())
}

fn count(validators: usize) -> String {
    match validators {
        1 => "1 validator".to_owned(),
        several => format!("{several} validators"),
    }
}

fn entry(matches: &ArgMatches, credentials: &Credentials) -> anyhow::Result<()> {
    let name: KeyName = text(matches, "name")?.parse().context("--name")?;
    let (vote, checkpoint) = (
        identity::vote_key(credentials)?,
        identity::checkpoint_key(credentials)?,
    );
    let entry = Validator {
        name,
        vote_key: vote.public_key(),
        checkpoint_key: checkpoint.public_key(),
        log_key: checkpoint.log_public_key(),
    };
    say(toml::to_string(&entry)?.trim_end())
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> anyhow::Result<&'a str> {
    let found = matches.get_one::<String>(name);
    let found = found.with_context(|| format!("{name} is missing"))?;
    Ok(found)
}

fn propose(tip: &Tip, matches: &ArgMatches) -> anyhow::Result<()> {
    let next_height = tip.height().next();
    let first = matches.get_one::<u64>("from").copied();
    let first = first.map_or(next_height, Height::new);
    let last = matches.get_one::<u64>("until").copied();
    let last = Height::new(last.unwrap_or_else(|| first.get().saturating_add(BLOCKS)));
    ensure!(
        first >= next_height && last >= first,
        "--from and --until: the next block is {next_height}; a change may stand from there on, and must end after it begins"
    );
    let present = tip.validators();
    let next = wanted(present, matches)?;
    let step = Step::between(present, &next)?;
    if let Some(advice) = network::size_advice(next.len()) {
        log::warn!("{advice}");
    }
    let change = SetChange::propose(present, next, first, last);
    let file = ChangeFile {
        chain: *tip.chain(),
        change,
    };
    let path = path(matches, "file")?;
    file.create(&path)?;
    explain(tip, &file)?;
    if let Some(new) = step.joiner() {
        say(&format!(
            "Before it is submitted, every member needs an entry in [[network.peers]] for {}.",
            new.name
        ))?;
    }
    Ok(())
}

/// The validators after the change that is asked for.
fn wanted(present: &ValidatorSet, matches: &ArgMatches) -> anyhow::Result<ValidatorSet> {
    let mut next = present.validators().to_vec();
    let mut remove = |name: &str| {
        let position = next.iter().position(|one| one.name.as_str() == name);
        let position = position
            .with_context(|| format!("{name} is none of the {} validators", present.len()))?;
        anyhow::Ok(next.remove(position))
    };
    let read = |path: &PathBuf| -> anyhow::Result<Validator> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is no validator's entry", path.display()))
    };
    let replaced: Vec<_> = matches
        .get_many::<String>("replace")
        .into_iter()
        .flatten()
        .collect();
    let new = match (
        matches.get_one::<String>("remove"),
        matches.get_one::<PathBuf>("add"),
        replaced.as_slice(),
    ) {
        (Some(name), _, _) => {
            remove(name)?;
            None
        }
        (_, Some(file), _) => Some(read(file)?),
        (_, _, [name, file]) => {
            remove(name)?;
            Some(read(&PathBuf::from(file.as_str()))?)
        }
        _ => bail!("say --add, --remove or --replace"),
    };
    next.extend(new);
    Ok(ValidatorSet::new(next)?)
}

/// Says what a change comes to, and by which code whoever signs it shows that he has read that.
fn explain(tip: &Tip, file: &ChangeFile) -> anyhow::Result<()> {
    let change = &file.change;
    check_chain(tip, file)?;
    ensure!(
        change.present == tip.validators().hash(),
        "the change was made for other validators than those that decide block {}: propose it anew",
        tip.height().next()
    );
    let step = Step::between(tip.validators(), &change.next)?;
    let (first, last, next) = (change.not_before, change.not_after, &change.next);
    say(&format!("{step}."))?;
    say(&format!(
        "From the block after the one that carries this ({first} to {last}), {} decide, {} of them each.",
        count(next.len()),
        next.quorum()
    ))?;
    let signers: Vec<_> = change
        .signatures
        .iter()
        .filter_map(|signed| tip.validators().at(usize::from(signed.validator)))
        .map(|validator| validator.name.as_str())
        .collect();
    let (have, need) = (signers.len(), tip.validators().quorum());
    let by = if have == 0 { "" } else { " by " };
    say(&format!(
        "Signed{by}{}: {have} of {}, {need} are needed.",
        signers.join(", "),
        tip.validators().len()
    ))?;
    say(&format!("code {}", code_of(change)))
}

fn check_chain(tip: &Tip, file: &ChangeFile) -> anyhow::Result<()> {
    ensure!(
        file.chain == *tip.chain(),
        "the change is for the registry {}, this is {}",
        file.chain,
        tip.chain()
    );
    Ok(())
}

fn code_of(change: &SetChange) -> String {
    name_of(change).to_hex().chars().take(CODE).collect()
}

fn show(tip: &Tip, matches: &ArgMatches) -> anyhow::Result<()> {
    explain(tip, &ChangeFile::read(&path(matches, "file")?)?)
}

/// Nothing is signed that was not shown in words: the code follows from every byte of the change.
fn sign(tip: &Tip, matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let path = path(matches, "file")?;
    let mut file = ChangeFile::read(&path)?;
    let (code, shown) = (code_of(&file.change), matches.get_one::<String>("shown"));
    if shown.is_none_or(|shown| *shown != code) {
        explain(tip, &file)?;
        let said = shown.map_or_else(String::new, |shown| format!("{shown} is another change. "));
        bail!(
            "{said}To sign exactly this: birthmark-node members sign {} --shown {code}",
            path.display()
        );
    }
    check_chain(tip, &file)?;
    Step::between(tip.validators(), &file.change.next)?;
    let key: VoteKey = identity::vote_key(&context.credentials)?;
    file.change.sign(tip.chain(), tip.validators(), &key)?;
    file.replace(&path)?;
    let own = tip
        .validators()
        .get(&ValidatorId::of(&key.public_key()))
        .context("the key belongs to no validator")?;
    say(&format!("Signed as {}.", own.name))?;
    explain(tip, &file)
}

async fn submit(settings: &Settings, matches: &ArgMatches) -> anyhow::Result<()> {
    let tip = present(settings).await?;
    let mut whole: Option<ChangeFile> = None;
    for path in matches.get_many::<PathBuf>("file").into_iter().flatten() {
        let file = ChangeFile::read(path)?;
        let Some(whole) = &mut whole else {
            whole = Some(file);
            continue;
        };
        ensure!(
            name_of(&whole.change) == name_of(&file.change) && whole.chain == file.chain,
            "{} is another change than the first",
            path.display()
        );
        for signed in file.change.signatures {
            let all = &mut whole.change.signatures;
            if !all.iter().any(|known| known.validator == signed.validator) {
                all.push(signed);
            }
        }
        whole
            .change
            .signatures
            .sort_by_key(|signed| signed.validator);
    }
    let file = whole.context("file is missing")?;
    explain(&tip, &file)?;
    judge(&file.change, &tip)?;
    let node = RunningNode::find(settings, matches)?;
    let taken = node
        .change_members(&file)
        .await
        .with_context(|| format!("the node at {} does not take it", node.address()))?;
    say(&taken.message)
}
