//! The tables for LaTeX, compiled. Without pdflatex the test passes with a note.

use std::{fs, process::Command};

use crate::{
    command::write_without_charts,
    numbers::source::{Sources, open},
    sample,
};

const PAPER: &str = "\\documentclass{article}\n\\usepackage{booktabs,longtable,graphicx}\n\\begin{document}\n\\input{summary.tex}\n\\end{document}\n";

#[test]
fn the_tables_compile_and_fit_the_page() {
    let Ok(version) = Command::new("pdflatex").arg("--version").output() else {
        eprintln!(
            "skipped: no pdflatex in PATH; install it (Debian: apt-get install texlive-latex-recommended) to have the tables compiled"
        );
        return;
    };
    assert!(version.status.success());
    for sizes in ["[100, 300, 1000, 3000]", "[20, 50, 100, 200, 300, 500, 1000]"] {
        let dir = sample::folder("latex");
        let axes = format!(
            "subset_size = {sizes}\nseed = {{ count = 3 }}\narchitecture = [\"net\", \"net+dropout\", \"lenet+bn\"]\nlambda = [0, 0.01, 0.1]\n\
             weight_decay = [0, 5e-4]"
        );
        let claim = "\n[[claim]]\ntext = '50 % of \\input{x} & a_b'\nis = \"better\"\nlambda = 0.1\nagainst = { lambda = 0 }\n";
        sample::run(dir.path(), &(sample::grid(&axes) + claim), |_, _| Some(Ok(())));
        write_without_charts(
            &Sources::new(open(&[dir.path().to_owned()]).unwrap()).unwrap(),
            dir.path(),
        )
        .unwrap();
        fs::write(dir.path().join("paper.tex"), PAPER).unwrap();
        let output = Command::new("pdflatex")
            .args(["-interaction=nonstopmode", "-halt-on-error", "paper.tex"])
            .current_dir(dir.path())
            .env("max_print_line", "1000")
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{log}");
        let tables = fs::read_to_string(dir.path().join("summary.tex")).unwrap();
        assert!(tables.contains("fn $\\lambda = 0.01$ & "), "{tables}");
        // Only listings of many pages are wider, where regularisers have long names.
        let wide: Vec<&str> = log
            .lines()
            .filter(|line| line.starts_with("Overfull") && !line.contains("alignment"))
            .collect();
        assert!(wide.is_empty(), "{wide:?} in {log}");
    }
}
