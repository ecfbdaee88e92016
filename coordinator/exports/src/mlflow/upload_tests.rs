//! Uploads to a server with prepared answers.

use super::super::client_tests::{client, server};
use super::*;

#[test]
fn runs_deleted_by_people_stay_deleted() {
    let (url, asked) = server(&[
        r#"200 {"runs": [
            {"info": {"run_id": "1"}, "data": {"tags": [{"key": "swfn.trial", "value": "a"}, {"key": "swfn.attempt", "value": "1"}]}},
            {"info": {"run_id": "2", "lifecycle_stage": "active"}, "data": {"tags": [{"key": "swfn.trial", "value": "a"}, {"key": "swfn.attempt", "value": "2"}]}},
            {"info": {"run_id": "3", "lifecycle_stage": "deleted"}, "data": {"tags": [{"key": "swfn.trial", "value": "b"}, {"key": "swfn.attempt", "value": "1"}]}},
            {"info": {"run_id": "4", "lifecycle_stage": "deleted"}, "data": {"tags": [{"key": "swfn.trial", "value": "c"}, {"key": "swfn.replaced", "value": "true"}]}},
            {"info": {"run_id": "5", "lifecycle_stage": "deleted"}, "data": {"tags": [{"key": "swfn.trial", "value": "a"}, {"key": "swfn.attempt", "value": "3"}]}},
            {"info": {"run_id": "6", "lifecycle_stage": "deleted"}, "data": {"tags": [{"key": "swfn.trial", "value": "d"}]}},
            {"info": {"run_id": "7", "lifecycle_stage": "active"}, "data": {"tags": [{"key": "swfn.trial", "value": "d"}]}}]}"#,
        "200 {}",
        "200 {}",
    ]);
    let known = known_runs(&client(&url, &[]).unwrap(), "e").unwrap();
    let of = |trial: &str| known.get(trial).map(|run| (run.id.as_str(), run.deleted));
    assert_eq!(
        (of("a"), of("b"), of("c"), of("d")),
        (Some(("2", false)), Some(("3", true)), None, Some(("7", false)))
    );
    let asked = asked.join().unwrap();
    assert!(asked[0].contains(r#""run_view_type":"ALL""#), "{}", asked[0]);
    assert!(
        asked[1].contains("runs/set-tag") && asked[1].contains("swfn.replaced"),
        "{}",
        asked[1]
    );
    assert!(
        asked[2].contains("runs/delete") && asked[2].contains(r#""run_id":"1""#),
        "{}",
        asked[2]
    );
    let counts = Counts { deleted: 2, ..Counts::default() };
    assert!(counts.describe().contains("2 skipped because they were deleted there"));
}
