//! Seeded faults: a value of a rendering is replaced, and a certain rule must notice.

use serde::Deserialize;
use serde_json::Value;

use super::{Rendering, node::text};

/// One fault, which is one table of the file of faults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The overlay whose rendering gets the fault.
    pub overlay: String,
    /// Kind and name of the document, separated by a blank.
    pub document: String,
    /// JSON pointer to the value.
    pub at: String,
    /// The present value. Names that are generated have none here.
    pub from: Option<Value>,
    /// The faulty value.
    pub to: Value,
    /// The rule that must notice.
    pub rule: String,
}

impl Fault {
    /// Returns the rendering with the fault.
    ///
    /// # Errors
    /// If there is no such place, or it has another value: then the fault proves nothing.
    pub fn seed(&self, rendering: &Rendering) -> Result<Rendering, String> {
        let mut faulty = rendering.clone();
        let wanted = |document: &&mut Value| {
            self.document.split_once(' ')
                == Some((text(document, "/kind"), text(document, "/metadata/name")))
        };
        let document = faulty.documents_mut().iter_mut().find(wanted);
        let document = document.ok_or_else(|| format!("there is no `{}`", self.document))?;
        let value =
            document.pointer_mut(&self.at).ok_or_else(|| format!("there is no `{}`", self.at))?;
        if self.from.as_ref().is_some_and(|from| from != value) || *value == self.to {
            return Err(format!("`{}` of {} is {value}", self.at, self.document));
        }
        *value = self.to.clone();
        Ok(faulty)
    }
}
