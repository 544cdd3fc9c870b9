//! `indelible`: one binary, the server and every command.

mod backup;
mod commands;
mod company;
mod connect;
mod credentials;
mod done;
mod global;
mod help;
mod moment;
mod output;
mod plain;
mod row;
mod runtime;
mod trust;
mod when;

use clap::{CommandFactory, FromArgMatches as _, Parser, Subcommand};
use global::Global;
use runtime::block_on;
use std::process::ExitCode;

/// An immutable audit log that anyone can check.
///
/// Systems append events and get receipts; a receipt verifies offline, with a public
/// key, that the event is in an append-only Merkle log. Start with `indelible demo`.
#[derive(Debug, Parser)]
#[command(name = "indelible", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<commands::serve::Serve>),
    /// See it work: a week of a small company's events, verified, then tampered with
    Demo(commands::demo::Demo),
    /// Store a token for this server, so that commands find it
    Login(commands::login::Login),
    /// Forget the token stored for this server
    Logout,
    /// Show who the server takes you for, and what you may do
    Whoami,
    /// Create, list, publish logs
    #[command(subcommand)]
    Log(commands::log::LogCommand),
    /// Issue, list and revoke tokens
    #[command(subcommand)]
    Token(commands::token::TokenCommand),
    /// Grant roles to groups, persons, certificates and tokens
    #[command(subcommand)]
    Grant(commands::grant::GrantCommand),
    /// List the acts that wait for a second person
    Pending,
    /// Approve an act that somebody else asked for
    Approve(commands::pending::Settle),
    /// Reject an act that waits
    Reject(commands::pending::Settle),
    /// Show and change which acts need two persons
    #[command(subcommand)]
    Policy(commands::policy::PolicyCommand),
    /// Show who looked into what, and who was refused
    Trail(commands::trail::Trail),
    /// Show who changed the configuration, and on whose request, with proofs
    #[command(subcommand)]
    Control(commands::control::ControlCommand),
    /// Append events from files or standard input, and check every receipt
    Append(commands::append::Append),
    /// Show a record by index or id
    Get(commands::get::Get),
    /// Show what happened around a record, or what its actor did before and after
    Context(commands::context::Context),
    /// Find events by field, time, network, word; count them and their values, by time
    Search(commands::search::Search),
    /// Export everything a query finds, with offline proofs if wanted
    Export(commands::export::Export),
    /// Save queries under names
    #[command(subcommand)]
    View(commands::view::ViewCommand),
    /// Show the newest events, and follow the log
    Tail(commands::tail::Tail),
    /// Write the offline proof of a record (a C2SP tlog-proof)
    Prove(commands::prove::Prove),
    /// Verify a proof, a data directory, or a server; exits 0 only if everything holds
    Verify(commands::verify::Verify),
    /// Print the latest signed checkpoint; keep it to verify against later
    Checkpoint(commands::checkpoint::ShowCheckpoint),
    /// Show and replace the key of a log
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    /// Show how the server stands: what fails, its logs, clock, disk, scrub; exits 1 if anything is wrong
    Status,
    /// Copy a data directory while its server runs, verified, and only what is new
    Backup(commands::backup::BackupCommand),
    /// Make a data directory from a backup, verified before it gets its place
    Restore(commands::backup::RestoreCommand),
    /// Measure this machine: appends, proofs, verification
    Bench(commands::bench::Bench),
    /// Print a completion script
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let matches = help::grouped(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            output::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { global, command } = arguments;
    if global.local {
        moment::show_local();
    }
    match command {
        Command::Serve(serve) => serve.run(global.plain_http),
        Command::Demo(demo) => demo.run(),
        Command::Bench(bench) => bench.run(&global),
        Command::Verify(verify) => verify.run(&global),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "indelible",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Log(log) => block_on(log.run(&global)),
        Command::Login(login) => block_on(login.run(&global)),
        Command::Logout => commands::login::logout(&global),
        Command::Backup(backup) => backup.run(&global),
        Command::Restore(restore) => restore.run(&global),
        Command::Status => block_on(commands::status::status(&global)),
        Command::Whoami => block_on(commands::whoami::whoami(&global)),
        Command::Token(token) => block_on(token.run(&global)),
        Command::Grant(grant) => block_on(grant.run(&global)),
        Command::Pending => block_on(commands::pending::pending(&global)),
        Command::Approve(settle) => block_on(settle.run(&global, true)),
        Command::Reject(settle) => block_on(settle.run(&global, false)),
        Command::Policy(policy) => block_on(policy.run(&global)),
        Command::Trail(trail) => block_on(trail.run(&global)),
        Command::Control(control) => block_on(control.run(&global)),
        Command::Append(append) => block_on(append.run(&global)),
        Command::Get(get) => block_on(get.run(&global)),
        Command::Context(context) => block_on(context.run(&global)),
        Command::Search(search) => block_on(search.run(&global)),
        Command::Export(export) => block_on(export.run(&global)),
        Command::View(view) => block_on(view.run(&global)),
        Command::Tail(tail) => block_on(tail.run(&global)),
        Command::Prove(prove) => block_on(prove.run(&global)),
        Command::Checkpoint(checkpoint) => block_on(checkpoint.run(&global)),
        Command::Key(key) => block_on(key.run(&global)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
