//! The bearer token: a secret that all of a cluster share.

use std::{fmt, path::Path};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::crypto::ring;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tracing::warn;

use super::pem::world_readable;
use crate::{command_line::variable, files, problem, problem::Problem};

/// The environment variable that holds the token where no file is named.
pub const TOKEN_VARIABLE: &str = "SWFN_TOKEN";

/// Fewer characters could be guessed, or were not meant as a secret.
const MIN_LENGTH: usize = 32;

/// More would not fit into a header beside others.
const MAX_LENGTH: usize = 1024;

/// A file with a token has blanks around it at most.
const MAX_FILE_BYTES: u64 = 16 << 10;

const HINT: &str = "make one with `swfn-coordinator certs`, or with `openssl rand -hex 32`";

/// A token of 32 to 1024 visible ASCII characters. It is shown nowhere: neither by `Debug` nor in errors.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

impl Token {
    /// The token in the file, or without one in the environment; `None` where there is neither.
    ///
    /// # Errors
    /// If the file cannot be read, or what it or the variable holds is no token.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, Problem> {
        if let Some(path) = file {
            let shown = path.display().to_string();
            let text = files::read_small(path, MAX_FILE_BYTES).map_err(|error| {
                problem!(
                    "cannot read the token file `{shown}`: {error}";
                    "name the file with --token-file"
                )
            })?;
            if let Some(mode) = world_readable(path) {
                warn!(
                    "all users of this machine can read the token file `{shown}` (mode {mode:o})\nhint: chmod 600"
                );
            }
            return Self::parse(&text, &format!("`{shown}`")).map(Some);
        }
        match variable(TOKEN_VARIABLE) {
            Some(text) => Self::parse(&text.to_string_lossy(), TOKEN_VARIABLE).map(Some),
            None => Ok(None),
        }
    }

    /// That text, without the blanks around it. `place` names where it comes from, in errors.
    ///
    /// # Errors
    /// If it is too short, too long, or cannot be sent as a header.
    pub fn parse(text: &str, place: &str) -> Result<Self, Problem> {
        let token = text.trim();
        if let Some(position) = token.chars().position(|character| !character.is_ascii_graphic()) {
            let what = "has a character that is neither a letter, a digit nor a visible sign";
            return Err(Problem::new(
                format!("the token in {place} {what}, at `{}`", position + 1),
                HINT,
            ));
        }
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&token.len()) {
            // The text itself is a secret, so it is not shown.
            let length = token.len();
            let what = format!(
                "the token in {place} has `{length}` characters, and not {MIN_LENGTH} to {MAX_LENGTH}"
            );
            return Err(Problem::new(what, HINT));
        }
        Ok(Self::kept(token.to_owned()))
    }

    /// From here on this process leaves no core file: the secret would stand in it.
    fn kept(text: String) -> Self {
        let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap_or_default();
        setrlimit(Resource::RLIMIT_CORE, 0, hard).ok();
        Self(text)
    }

    /// A fresh token of 256 random bits, in hexadecimal digits.
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        ring::default_provider()
            .secure_random
            .fill(&mut bytes)
            .expect("the operating system has random numbers");
        Self::kept(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The secret itself, for a header or a file.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether that text is this token. How long it takes tells nothing about either: digests of equal length are compared, to the end.
    pub fn is(&self, presented: &[u8]) -> bool {
        Sha256::digest(presented).ct_eq(&Sha256::digest(&self.0)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn it_stands_in_no_core_file() {
        Token::random();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap().0, 0);
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token::parse(&format!("{SECRET}\n"), "here").unwrap();
        assert!(token.is(SECRET.as_bytes()));
        for wrong in [
            "",
            &SECRET[..31],
            "0123456789abcdef0123456789abcdeg",
            &format!("{SECRET}0"),
            &format!("{SECRET}\n"),
        ] {
            assert!(!token.is(wrong.as_bytes()), "{wrong:?}");
        }
        let (one, other) = (Token::random(), Token::random());
        assert!(one.is(one.reveal().as_bytes()) && !one.is(other.reveal().as_bytes()));
        assert!(Token::parse(one.reveal(), "here").is_ok());
    }

    #[test]
    fn it_is_shown_nowhere() {
        let token = Token::parse(SECRET, "here").unwrap();
        assert_eq!(
            format!("{token:?} {:#?}", Some(&token)),
            "Token(hidden) Some(\n    Token(hidden),\n)"
        );
        for bad in
            ["secret-but-short", "secret with blanks, which is long enough", &"secret".repeat(200)]
        {
            let error = Token::parse(bad, "`file`").unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("`file`") && !shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        let text = |text: &str| Token::parse(text, "`t`").unwrap_err().to_string();
        assert_eq!(
            text("short"),
            format!("the token in `t` has `5` characters, and not 32 to 1024\nhint: {HINT}")
        );
        assert!(text("a\u{e9}").contains("at `2`"));
        let missing = Token::find(Some(Path::new("/does/not/exist"))).unwrap_err().to_string();
        assert!(missing.contains("cannot read the token file `/does/not/exist`"), "{missing}");
    }
}
