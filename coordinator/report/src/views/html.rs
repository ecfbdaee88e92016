//! `report.html`: one file without scripts, which loads nothing else.

use askama::Template;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};

use super::{
    charts::{Theme, palette::style},
    compose::Document,
    table::Entry,
};

/// The most claims on the first screen.
const FIRST_CLAIMS: usize = 6;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'p> {
    document: &'p Document<'p>,
    /// The claims on the first screen, and the others.
    claims: [&'p [Vec<Entry>]; 2],
    style: String,
    policy: String,
}

/// The page.
pub(crate) fn html(document: &Document<'_>) -> Result<String, askama::Error> {
    let style = format!("\n{}{}", style(), include_str!("../../templates/report.css"));
    // The policy admits this one style sheet, and embedded pictures.
    let hash = BASE64_STANDARD.encode(Sha256::digest(&style));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; \
         form-action 'none'"
    );
    let rows = document.answer.claims.as_ref().map_or(&[][..], |claims| &claims.rows);
    let (first, more) = rows.split_at(rows.len().min(FIRST_CLAIMS));
    Page { document, claims: [first, more], style, policy }.render()
}
