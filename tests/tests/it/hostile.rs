//! Files that lie, are damaged, or expand enormously, given to the real programs. Each is refused
//! soon, within 512 MiB, with an error that names the place and a hint.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use swfn_tests::{permit, process::Process, programs};
use tempfile::TempDir;

const BASE: &str = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 2 }\nsubset_size = [100, 300]\n\
                    architecture = \"net\"\nlambda = [0, 0.1]\n";

/// The most that a program may allocate, in KiB. Mapped memory does not count: that is mostly
/// libtorch.
const MEMORY: u32 = 512 << 10;

/// Many times the usual duration.
const SOON: Duration = Duration::from_secs(60);

/// Runs a program, which must soon refuse with that message.
fn assert_refused(program: &str, arguments: &[&str], message: &str) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -d {MEMORY} && exec \"$@\""), "sh"]);
    command.arg(programs::folder().join(program)).args(arguments);
    command.current_dir(folder.path()).env("SWFN_CACHE", folder.path());
    let start = Instant::now();
    let mut process = Process::start(&mut command, folder.path(), "program");
    let (code, took, output) = (process.wait(), start.elapsed(), process.stderr());
    println!("{took:.2?}: {output}");
    assert_eq!(code, Some(1), "{program} {arguments:?}: {output}");
    assert!(output.contains(message), "{program} {arguments:?}: not `{message}`, but {output}");
    assert!(output.contains("hint: ") && output.len() < 4_000, "{program} {arguments:?}: {output}");
    assert!(took < SOON, "{program} {arguments:?} took {took:?}");
}

#[test]
fn the_limit_on_memory_holds() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    let allocate = format!("ulimit -d {MEMORY} && exec dd if=/dev/zero of=/dev/null bs=1G count=1");
    command.args(["-c", &allocate]);
    assert_ne!(Process::start(&mut command, folder.path(), "dd").wait(), Some(0));
}

#[test]
fn grid_files() {
    let folder = TempDir::new().unwrap();
    let swap = |from: &str, to: &str| BASE.replace(from, to).into_bytes();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            swap("count = 2", "count = 1_000_000_000_000"),
            "grid.toml: the grid has `4000000000000` points",
        ),
        (swap("0.1]", "nan]"), "grid.toml:9:14: lambda `NaN` is not a finite number"),
        (swap("0.1]", "-inf]"), "grid.toml:9:14: lambda `-inf` is not a finite number"),
        (swap("0.1]", "1e999]"), "grid.toml:9:14: lambda `inf` is not a finite number"),
        (swap("0.1]", "-0.0]"), "grid.toml:9:14: lambda `0` stands twice"),
        (swap("lambda", "lamda"), "grid.toml:9:1: key `lamda` is unknown in [grid]"),
        (swap("lambda", "\"\\u001b[2J\""), "grid.toml:9:1: key `\\u{1b}[2J` is unknown in [grid]"),
        (b"version = 1\nname = \"\xff\"\n".to_vec(), "is not UTF-8 text: byte 20"),
        (b"\x1f\x8b\x08\x00".to_vec(), "is not UTF-8 text: byte 1"),
        (["x = ", &"[".repeat(4 << 20)].concat().into_bytes(), "is larger than 4 MiB"),
        (
            ["x = ", &"[".repeat((4 << 20) - 4)].concat().into_bytes(),
            "grid.toml:1:85: this is not TOML",
        ),
        (
            ["x", &".x".repeat((2 << 20) - 4), "=1"].concat().into_bytes(),
            "this is not TOML: recursion limit",
        ),
        (
            [BASE, &"[[include]]\nseed=[1]\n".repeat(180_000)].concat().into_bytes(),
            "tables [[include]] are more than 1000",
        ),
    ];
    let file = folder.path().join("grid.toml");
    let name = file.display().to_string();
    for (content, message) in cases {
        fs::write(&file, content).unwrap();
        assert_refused("swfn-coordinator", &["--dry-run", "--grid", &name], message);
    }
    // One file is a gigabyte of zeros, the other has no end.
    File::create(&file).unwrap().set_len(1 << 30).unwrap();
    assert_refused("swfn-coordinator", &["--dry-run", "--grid", &name], "is larger than 4 MiB");
    assert_refused(
        "swfn-coordinator",
        &["--dry-run", "--grid", "/dev/zero"],
        "`/dev/zero` is larger than 4 MiB",
    );
    assert_refused(
        "swfn-coordinator",
        &["--dry-run", "--grid", &folder.path().display().to_string()],
        "cannot read",
    );
}

fn idx(sizes: &[u32], content: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend_from_slice(content);
    file
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    file.write_all(content).expect("memory can be written");
    file.finish().expect("memory can be written")
}

/// Writes that content and so many mebibytes of zeros, compressed in pieces, which readers join.
fn write_bomb(path: &Path, content: &[u8], mebibytes: usize) {
    let zeros = gzip(&vec![0; 1 << 20]).repeat(mebibytes);
    fs::write(path, [gzip(content), zeros].concat()).expect("the folder can be written");
}

#[test]
fn images() {
    let _permit = permit::to_compute();
    let folder = TempDir::new().unwrap();
    let path = folder.path().display().to_string();
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
    write("train-labels-idx1-ubyte", &idx(&[3], &[0, 1, 2]));
    write("t10k-images-idx3-ubyte", &idx(&[1, 16, 16], &[0; 256]));
    write("t10k-labels-idx1-ubyte", &idx(&[1], &[0]));
    let train = "train-images-idx3-ubyte";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            idx(&[3, 16, 16], &[0; 767]),
            "`, byte 16: the header promises `784` bytes in all, but the file has 783",
        ),
        (idx(&[u32::MAX, 4096, 4096], &[]), "`, byte 4: the sizes promise `4294967295` bytes"),
        (
            idx(&[1 << 30, 1, 1], &[]),
            "`, byte 16: the header promises `1073741840` bytes in all, but the file has 16",
        ),
        (idx(&[3, 16, 0], &[]), "`, byte 12: the size of dimension 2 is `0`"),
        (b"<!DOCTYPE html>".to_vec(), "`, byte 0: the magic number is `3c21444f`"),
        (Vec::new(), "`, byte 0: the file ends within the magic number"),
    ];
    for (content, message) in cases {
        write(train, &content);
        assert_refused("swfn-worker", &["inspect", &path], &[train, message].concat());
    }
    // The file has a gigabyte of zeros, without a block on the disk.
    File::create(folder.path().join(train)).unwrap().set_len(1 << 30).unwrap();
    assert_refused("swfn-worker", &["inspect", &path], "byte 0: the magic number is `00000000`");
    fs::remove_file(folder.path().join(train)).unwrap();

    let packed = folder.path().join(format!("{train}.gz"));
    write_bomb(&packed, &[], 1 << 10);
    assert_refused(
        "swfn-worker",
        &["inspect", &path],
        ".gz`, byte 0: the magic number is `00000000`",
    );
    write_bomb(&packed, &idx(&[3, 16, 16], &[]), 1 << 10);
    assert_refused(
        "swfn-worker",
        &["inspect", &path],
        ".gz`, byte 784: bytes follow after the last of 768 elements",
    );
    write_bomb(&packed, &idx(&[1 << 30, 1, 1], &[]), 1);
    assert_refused(
        "swfn-worker",
        &["inspect", &path],
        ".gz`, byte 16: the header promises `1073741840` bytes",
    );
    let whole = fs::read(&packed).unwrap();
    write_bomb(&packed, &idx(&[1 << 20, 1, 1], &[]), 1);
    fs::write(&packed, &fs::read(&packed).unwrap()[..1 << 10]).unwrap();
    assert_refused("swfn-worker", &["inspect", &path], "damaged gzip data");
    fs::write(&packed, &whole[..5]).unwrap();
    assert_refused("swfn-worker", &["inspect", &path], ".gz`, byte 0: damaged gzip data");

    // Where the size is known, a bomb cannot even announce more. This one has its gigabyte in place
    // of MNIST's 47 MB.
    fs::remove_file(&packed).unwrap();
    for name in ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        write(name, b"not looked at");
    }
    write_bomb(&packed, &idx(&[1 << 18, 64, 64], &[]), 1 << 10);
    let samples = ["samples", "--dataset", "mnist", "--data-dir", &path, "--out", "x.png"];
    assert_refused(
        "swfn-worker",
        &samples,
        ".gz`, byte 12: the sizes promise `1073741824` bytes, more than 47040000",
    );
}
