//! `indelible --help`: the commands in groups, by what somebody comes for.

use anstyle::Style;
use clap::Command;

/// What the groups are called, and the commands of each, in the order they are needed.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Serve", &["serve", "demo"]),
    ("Write", &["log", "append"]),
    ("Read", &["search", "get", "context", "tail", "view", "export"]),
    ("Prove", &["prove", "verify", "checkpoint", "key"]),
    (
        "Access",
        &["login", "logout", "whoami", "token", "grant", "policy", "pending", "approve", "reject"],
    ),
    (
        "Operate",
        &["status", "backup", "restore", "trail", "control", "bench", "completions", "help"],
    ),
];
/// Width of the names.
const NAME: usize = 12;

/// The same command, with its help in groups.
pub(crate) fn grouped(command: Command) -> Command {
    let groups = groups(&command);
    let heading = Style::new().bold().underline();
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{heading}Options:{heading:#}\n{{options}}"
    ))
}

fn groups(command: &Command) -> String {
    let (heading, strong) = (Style::new().bold().underline(), Style::new().bold());
    let mut text = String::new();
    for (group, names) in GROUPS {
        text.push_str(&format!("{heading}{group}:{heading:#}\n"));
        for name in names {
            let found = command.find_subcommand(name);
            let about = match found.and_then(Command::get_about) {
                Some(about) => about.to_string(),
                // The only one that is not ours.
                None => "Show this, or the help of a command".to_owned(),
            };
            text.push_str(&format!("  {strong}{name:NAME$}{strong:#} {about}\n"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

    use super::*;
    use clap::CommandFactory as _;
    use std::path::Path;

    #[test]
    fn each_command_is_in_one_group() {
        let command = crate::Arguments::command();
        let mut named: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let mut known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        known.push("help");
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(named, known);
    }

    #[test]
    fn the_help_reads_as_it_is_written_down() {
        let help = grouped(crate::Arguments::command()).render_help().to_string();
        // What follows shows the variables of whoever runs the test.
        let (help, options) = help.split_once("Options:").unwrap();
        assert!(options.contains("--url <URL>") && options.contains("--json"), "{options}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, help).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), help, "run with UPDATE_GOLDEN=1");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}
