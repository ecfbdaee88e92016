//! Files of the run directory, asked without a socket.

use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::tests::{HOSTILE, House, json, request};

#[tokio::test]
async fn files_have_fixed_names_and_never_run() {
    let house = House::new();
    let (router, dir, id) = (house.router(None), house.dir.path(), house.specs[0].id().to_string());
    let artifacts = dir.join("artifacts").join(&id);
    let logs = dir.join("logs").join(&id);
    std::fs::create_dir_all(&artifacts).unwrap();
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join("1.log"), HOSTILE).unwrap();
    let large = vec![7; 200_000];
    std::fs::write(artifacts.join("weights.safetensors"), &large).unwrap();
    std::fs::write(artifacts.join("confusion.csv"), HOSTILE).unwrap();
    std::fs::write(artifacts.join("other.html"), HOSTILE).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", artifacts.join("vae.png")).unwrap();
    std::fs::write(dir.join("report.html"), format!("<html>{HOSTILE}")).unwrap();
    let details = json(&router, &format!("/api/v1/trials/{id}")).await;
    assert_eq!(details["logs"], serde_json::json!([1]));
    assert_eq!(details["files"], serde_json::json!(["confusion.csv", "weights.safetensors"]));
    assert!(json(&router, "/api/v1/sweep").await["report"].is_number());
    let ask = async |path: &str| {
        let response = router.clone().oneshot(request(path)).await.unwrap();
        let header = |name: &str| {
            response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let told = [
            header("content-type"),
            header("content-disposition"),
            header("content-security-policy"),
        ];
        assert_eq!(
            (header("x-content-type-options"), header("cache-control")),
            ("nosniff".into(), "no-store".into())
        );
        (response.status().as_u16(), told, response.into_body().collect().await.unwrap().to_bytes())
    };
    let trial = format!("/api/v1/trials/{id}");
    let (status, [kind, saved, policy], body) =
        ask(&format!("{trial}/files/weights.safetensors")).await;
    assert_eq!((status, kind.as_str(), body.to_vec()), (200, "application/octet-stream", large));
    assert!(
        saved.starts_with("attachment; ") && policy.starts_with("default-src 'none'"),
        "{saved} {policy}"
    );
    for path in ["files/confusion.csv", "logs/1"] {
        let (status, [kind, ..], body) = ask(&format!("{trial}/{path}")).await;
        assert_eq!(
            (status, kind.as_str(), &body[..]),
            (200, "text/plain; charset=utf-8", HOSTILE.as_bytes()),
            "{path}"
        );
    }
    let (status, [kind, _, policy], _) = ask("/report.html").await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    assert!(
        policy.starts_with("sandbox; default-src 'none'; style-src")
            && !policy.contains("script-src"),
        "{policy}"
    );
    for missing in [
        "files/other.html",
        "files/vae.png",
        "files/..%2f..%2f..%2fgrid.toml",
        "files/../../lock",
        "logs/2",
        "logs/..%2f1",
        "logs/-1",
    ] {
        let (status, [kind, ..], _) = ask(&format!("{trial}/{missing}")).await;
        assert!(
            [400, 404].contains(&status) && kind == "application/json",
            "{missing}: {status} {kind}"
        );
    }
    std::fs::remove_file(dir.join("report.html")).unwrap();
    assert_eq!(ask("/report.html").await.0, 404);
}
