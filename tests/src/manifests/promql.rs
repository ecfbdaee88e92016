//! A minimal reader of PromQL: it finds the metrics and the label values of an expression.

/// Splits a text into words of letters, digits and `_`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_')
        .filter(|word| !word.is_empty())
}

/// Finds the metrics of this project.
pub(super) fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    words(expression).filter(|word| word.starts_with("swfn_"))
}

/// Finds the values with which a label is compared; the alternatives of a pattern count one by one.
pub(super) fn label_values<'a>(expression: &'a str, label: &str) -> Vec<&'a str> {
    let mut values = Vec::new();
    let mut rest = expression;
    while let Some(begin) = rest.find(label) {
        let before = rest[..begin].chars().next_back();
        rest = &rest[begin + label.len()..];
        let starts = before.is_none_or(|sign| !sign.is_ascii_alphanumeric() && sign != '_');
        let comparison = rest.trim_start_matches(['=', '!', '~']);
        if let (true, Some(text)) =
            (starts && comparison.len() < rest.len(), comparison.strip_prefix('"'))
        {
            values.extend(text.split('"').next().unwrap_or("").split('|'));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::{label_values, metrics};

    #[test]
    fn metrics_and_labels_of_an_expression() {
        let expression = "sum by (state) (swfn_trials{namespace=\"swfn\",state=~\"pending|leased\"}) / swfn_workers > 0";
        assert_eq!(Vec::from_iter(metrics(expression)), ["swfn_trials", "swfn_workers"]);
        assert_eq!(label_values(expression, "state"), ["pending", "leased"]);
        assert_eq!(label_values(expression, "namespace"), ["swfn"]);
        assert!(label_values(expression, "space").is_empty());
    }
}
