//! The command line of both programs, and the environment variables that stand for options.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
};

use clap::{Arg, Command, Parser, builder::Resettable, error::ErrorKind};

use crate::quote::printable;

/// Parses the command line. Ends the process if it is wrong or asks for help.
///
/// A variable that is set but empty counts as unset. Variables for options beside the subcommands
/// do not concern the subcommands.
pub fn parse<P: Parser>() -> P {
    let arguments = without_doubled_help(env::args_os().collect());
    let command = without_ignored_variables(
        P::command(),
        arguments.get(1).map(OsString::as_os_str),
        |name| env::var_os(name),
    );
    if let Some(problem) = arguments.get(1).and_then(|first| misspelt(&command, first)) {
        command.clone().error(ErrorKind::InvalidSubcommand, problem).exit();
    }
    let mut matches = command.get_matches_from(arguments);
    P::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
}

/// The error for a first argument that is not a file, and almost the name of a command.
fn misspelt(command: &Command, first: &OsStr) -> Option<String> {
    let written =
        first.to_str().filter(|text| !text.starts_with('-') && !Path::new(text).exists())?;
    let distance = |name: &str| strsim::osa_distance(written, name);
    let nearest =
        command.get_subcommands().map(Command::get_name).min_by_key(|name| distance(name))?;
    let is_near = (1..=2).contains(&distance(nearest)) && written.len() > 2;
    is_near.then(|| {
        format!(
            "`{}` is neither a file nor a command\n\n  tip: did you mean `{nearest}`?",
            printable(written, 60)
        )
    })
}

/// Turns `help --help` into a request for help.
fn without_doubled_help(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|first| first == "help")
        && arguments[2..].iter().any(|other| other == "--help")
    {
        arguments.retain(|argument| argument != "help");
    }
    arguments
}

/// A parser for an option that other programs have. Its error names the option that is meant; `{}`
/// in the text stands for the value.
pub fn no_option(
    meant: &'static str,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |value| Err(meant.replace("{}", value))
}

/// Removes the variables from the command that do not count, given its first argument.
fn without_ignored_variables(
    command: Command,
    first: Option<&OsStr>,
    variable: impl Fn(&OsStr) -> Option<OsString>,
) -> Command {
    let is_empty =
        |arg: &Arg| arg.get_env().and_then(&variable).is_some_and(|value| value.is_empty());
    let without = |arg: Arg, is_ignored: bool| match is_ignored || is_empty(&arg) {
        true => arg.env(Resettable::<clap::builder::OsStr>::Reset),
        false => arg,
    };
    let names: Vec<String> =
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let chosen = first.is_some_and(|first| names.iter().any(|name| first == OsStr::new(name)));
    let command = command.mut_args(|arg| without(arg, chosen));
    names.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |subcommand| subcommand.mut_args(|arg| without(arg, false)))
    })
}

/// An environment variable that is set and not empty.
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::CommandFactory as _;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(args_conflicts_with_subcommands = true)]
    struct Program {
        #[command(subcommand)]
        command: Option<Sub>,
        #[arg(long, env = "FILE_HERE")]
        file: Option<PathBuf>,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Look {
            #[arg(long, env = "FILE_THERE", default_value = "usual")]
            file: PathBuf,
        },
    }

    /// Which of the two options keep their variables, if all variables have this value.
    fn variables(first: Option<&str>, value: &str) -> [bool; 2] {
        let command = without_ignored_variables(Program::command(), first.map(OsStr::new), |_| {
            Some(value.into())
        });
        let look = command.find_subcommand("look").unwrap();
        [&command, look].map(|command| {
            command.get_arguments().find(|arg| arg.get_id() == "file").unwrap().get_env().is_some()
        })
    }

    #[test]
    fn a_misspelt_command_is_not_a_file() {
        let of = |first: &str| misspelt(&Program::command(), OsStr::new(first));
        let said = of("lok").unwrap();
        assert!(
            said.starts_with("`lok` is neither a file nor a command")
                && said.ends_with("did you mean `look`?"),
            "{said}"
        );
        for other in ["look", "grid.toml", "--look", "", "lo"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn help_may_be_asked_for_twice() {
        let of = |words: &[&str]| without_doubled_help(words.iter().map(OsString::from).collect());
        assert_eq!(of(&["p", "help", "--help"]), ["p", "--help"]);
        assert_eq!(of(&["p", "help", "look", "--help"]), ["p", "look", "--help"]);
        assert_eq!(of(&["p", "help", "look"]), ["p", "help", "look"]);
        assert_eq!(of(&["p"]), ["p"]);
        assert_eq!(no_option("did you mean `--a {}`?")("2").unwrap_err(), "did you mean `--a 2`?");
    }

    #[test]
    fn empty_and_foreign_variables_do_not_count() {
        assert_eq!(variables(None, "x"), [true, true]);
        assert_eq!(variables(None, ""), [false, false]);
        assert_eq!(variables(Some("look"), "x"), [false, true]);
        assert_eq!(variables(Some("--file"), "x"), [true, true]);
    }
}
