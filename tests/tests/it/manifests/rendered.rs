//! Renders all overlays, and further combinations of components, in a copy of the tree with
//! certificates of its own.

use std::{
    fs, io,
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
};

use swfn_tests::{manifests::Rendering, programs, tools::skip};
use tempfile::TempDir;

/// Combinations beside the overlays, so that each component meets the Deployment and the Job.
pub(crate) const BESIDE: [(&str, &[&str]); 9] = [
    ("plain", &[]),
    ("tls", &["tls"]),
    ("spot", &["spot"]),
    ("job", &["job"]),
    ("mig", &["gpu-mig", "monitoring", "spot"]),
    ("mig-job", &["job", "gpu-mig", "shared-cache", "priority"]),
    ("dra", &["gpu-dra", "shared-cache", "monitoring", "keda", "tls", "spot"]),
    ("dra-job", &["job", "gpu-dra", "tls"]),
    ("queue", &["gpu-nvidia", "kueue"]),
];

/// The rendering of an overlay.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) name: String,
    pub(crate) components: Vec<String>,
    pub(crate) rendering: Rendering,
}

/// Returns all renderings, made once. Returns `None`, with a message, if there is no tool for
/// rendering.
pub(crate) fn all() -> Option<&'static [Rendered]> {
    static ALL: OnceLock<Option<Vec<Rendered>>> = OnceLock::new();
    let render = || match kustomize() {
        Some(command) => Some(render_all(&command)),
        None => {
            skip(
                "the manifests for Kubernetes",
                "neither `kustomize` nor a `kubectl` that has it (1.21 or newer) is in PATH",
            );
            None
        }
    };
    ALL.get_or_init(render).as_deref()
}

/// Finds the rendering of that name.
pub(crate) fn get<'a>(renderings: &'a [Rendered], name: &str) -> &'a Rendering {
    &renderings
        .iter()
        .find(|rendered| rendered.name == name)
        .expect("a rendering of that name")
        .rendering
}

/// Returns the command that renders a folder, as words.
fn kustomize() -> Option<Vec<&'static str>> {
    let works = |words: &[&str]| {
        let output = Command::new(words[0]).args(&words[1..]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if works(&["kustomize", "version"]) {
        Some(vec!["kustomize", "build"])
    } else {
        works(&["kubectl", "kustomize", "--help"]).then(|| vec!["kubectl", "kustomize"])
    }
}

fn render_all(kustomize: &[&str]) -> Vec<Rendered> {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("k8s");
    copy(&super::manifests(), &root).unwrap();
    let certificates = Command::new(programs::folder().join("swfn-coordinator"))
        .args(["certs", "--hosts", "swfn-coordinator,localhost", "--out"])
        .arg(root.join("secrets/pki"))
        .output()
        .unwrap();
    assert!(certificates.status.success(), "{}", String::from_utf8_lossy(&certificates.stderr));
    for (name, components) in BESIDE {
        let overlay = root.join("overlays").join(name);
        fs::create_dir(&overlay).unwrap();
        let lines = |name: &str, items: &[String]| match items {
            [] => String::new(),
            items => format!(
                "{name}:\n{}",
                items.iter().map(|item| format!("  - ../../{item}\n")).collect::<String>()
            ),
        };
        let resources = lines("resources", &["base", "secrets"].map(str::to_owned));
        let components: Vec<_> =
            components.iter().map(|name| format!("components/{name}")).collect();
        let file = format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n{resources}{}",
            lines("components", &components)
        );
        fs::write(overlay.join("kustomization.yaml"), file).unwrap();
    }
    let mut overlays: Vec<_> =
        fs::read_dir(root.join("overlays")).unwrap().map(|entry| entry.unwrap().path()).collect();
    overlays.sort();
    overlays.iter().map(|overlay| render(kustomize, overlay)).collect()
}

fn render(kustomize: &[&str], overlay: &Path) -> Rendered {
    let name = overlay.file_name().unwrap().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } =
        Command::new(kustomize[0]).args(&kustomize[1..]).arg(overlay).output().unwrap();
    let text = String::from_utf8_lossy(&stderr);
    // Warnings name fields that the next version may not have.
    assert!(status.success() && text.is_empty(), "{name}: {text}");
    let rendering = Rendering::parse(&String::from_utf8(stdout).unwrap())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let file = fs::read_to_string(overlay.join("kustomization.yaml")).unwrap();
    let components =
        file.lines().filter_map(|line| line.trim().strip_prefix("- ../../components/"));
    Rendered { name, components: components.map(str::to_owned).collect(), rendering }
}

/// Copies a tree of files, without the files that a person keeps in it outside of the repository.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), target)?;
        } else if entry.file_name() != "pki" {
            copy(&entry.path(), &target)?;
        }
    }
    Ok(())
}
