//! The bearer token: a secret that all machines of a cluster share.

use std::{fmt, path::Path};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::crypto::ring;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::pem::warn_if_readable;
use crate::{command_line::variable, files, problem, problem::Problem};

/// The environment variable that holds the token where no file is named.
pub const TOKEN_VARIABLE: &str = "SWFN_TOKEN";

/// A shorter text could be guessed, or is not a secret.
const MIN_LENGTH: usize = 32;

/// A longer text would not fit into a header beside others.
const MAX_LENGTH: usize = 1024;

/// A file with a token has at most blanks around it.
const MAX_FILE_BYTES: u64 = 16 << 10;

const HINT: &str = "make one with `swfn-coordinator certs`, or with `openssl rand -hex 32`";

/// A token of 32 to 1024 visible ASCII characters. Neither `Debug` nor an error shows it.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

impl Token {
    /// The token in the file, or without a file in the environment; `None` if there is neither.
    ///
    /// # Errors
    /// The file cannot be read, or its content or the variable is not a token.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, Problem> {
        if let Some(path) = file {
            let shown = path.display().to_string();
            let text = files::read_small(path, MAX_FILE_BYTES).map_err(|error| {
                problem!(
                    "cannot read the token file `{shown}`: {error}";
                    "name the file with --token-file"
                )
            })?;
            warn_if_readable(path, "token file");
            return Self::parse(&text, &format!("`{shown}`")).map(Some);
        }
        match variable(TOKEN_VARIABLE) {
            Some(text) => Self::parse(&text.to_string_lossy(), TOKEN_VARIABLE).map(Some),
            None => Ok(None),
        }
    }

    /// Parses a text, without the blanks around it. Errors name its origin `place`.
    ///
    /// # Errors
    /// The text is too short, too long, or cannot be sent as a header.
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
            let length = token.len();
            let what = format!(
                "the token in {place} has `{length}` characters, and not {MIN_LENGTH} to {MAX_LENGTH}"
            );
            return Err(Problem::new(what, HINT));
        }
        Ok(Self::kept(token.to_owned()))
    }

    /// Keeps the secret, and switches core files of this process off, which would contain it.
    fn kept(text: String) -> Self {
        let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap_or_default();
        setrlimit(Resource::RLIMIT_CORE, 0, hard).ok();
        Self(text)
    }

    /// A fresh token of 256 random bits, in hexadecimal digits.
    ///
    /// # Panics
    /// The operating system has no random numbers.
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

    /// Whether a text is this token. The time reveals nothing about either, since digests of equal
    /// length are compared to the end.
    pub fn is(&self, presented: &[u8]) -> bool {
        Sha256::digest(presented).ct_eq(&Sha256::digest(&self.0)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn core_files_are_off() {
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
    fn errors_have_an_origin_and_a_hint() {
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
