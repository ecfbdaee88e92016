//! Commands that cannot work are refused at once, with the reason and a hint.

use std::{fs, process::Command, time::Instant};

use swfn_proto::v1::{self, coordinator_client::CoordinatorClient, worker_message::Kind};
use swfn_shared::{ids::TRAINER_REVISION, wire::PROTOCOL};
use swfn_tests::{process::Process, programs, sweep::Sweep};
use tonic::{Code, Status, transport::Endpoint};

const AXES: &str = "seed = [0]\nsubset_size = 40\narchitecture = \"net\"\nlambda = 0";

/// Runs a program to its end and returns its exit code and standard error.
fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut command = Command::new(programs::folder().join(program));
    let mut process = Process::start(
        command.args(arguments).current_dir(folder.path()).env("SWFN_CACHE", folder.path()),
        folder.path(),
        "program",
    );
    (process.wait(), process.stderr())
}

#[test]
fn wrong_commands_are_explained() {
    let sweep = Sweep::new(AXES, 10);
    let grid = sweep.grid().display().to_string();
    let wrong = sweep.run_dir().with_file_name("wrong.toml");
    fs::write(&wrong, fs::read_to_string(&grid).unwrap().replace("lambda = 0", "lambda = -1"))
        .unwrap();
    let wrong = wrong.display().to_string();
    let huge = sweep.run_dir().with_file_name("huge.toml");
    fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();
    let huge = huge.display().to_string();
    let cases: &[(&str, &[&str], i32, &str)] = &[
        ("swfn-coordinator", &[], 2, "name a grid file, as in `swfn-coordinator grid.toml`"),
        (
            "swfn-coordinator",
            &["--grid", "missing.toml"],
            1,
            "cannot read the grid file `missing.toml`",
        ),
        ("swfn-coordinator", &["--grid", &wrong], 1, "wrong.toml:15:10: lambda `-1` is negative"),
        ("swfn-coordinator", &["--grid", &huge], 1, "larger than 4 MiB"),
        (
            "swfn-coordinator",
            &["--grid", &grid, "--local-workers", "0"],
            2,
            "`0` workers would do nothing",
        ),
        (
            "swfn-coordinator",
            &["--grid", &grid, "--listen", "0.0.0.0:0"],
            1,
            "neither encrypted nor authenticated",
        ),
        (
            "swfn-coordinator",
            &["--grid", &grid, "--listen", "127.0.0.1:99999"],
            2,
            "127.0.0.1:99999",
        ),
        ("swfn-coordinator", &["--grid", &grid, "--max-trials", "0"], 1, "the limit is 0"),
        (
            "swfn-coordinator",
            &["report", "a", "b"],
            1,
            "a report of several runs needs a folder of its own",
        ),
        (
            "swfn-coordinator",
            &["report", ".", "missing", "--out", "."],
            1,
            "`.` is one of the runs",
        ),
        ("swfn-coordinator", &["report", "missing"], 1, "`missing`"),
        ("swfn-coordinator", &["backup", "missing", "copy"], 1, "`missing/sweep.sqlite`"),
        (
            "swfn-coordinator",
            &["--grid", &grid, "--listen", "127.0.0.1:0", "--health", "203.0.113.1:1"],
            1,
            "choose another address with --health",
        ),
        ("swfn-worker", &["--devices", "gpu"], 1, "device `gpu` is unknown"),
        ("swfn-worker", &["--end-at", "tomorrow"], 2, "--end-at <SECONDS>"),
        ("swfn-worker", &["--exit-when-idle", "0"], 2, "--exit-when-idle <SECONDS>"),
        (
            "swfn-worker",
            &["--vae-cache", "vaes", "--no-vae-cache"],
            2,
            "cannot be used with '--no-vae-cache'",
        ),
        ("swfn-worker", &["--devices", "cuda:127"], 1, "`cuda:127` is not there"),
        ("swfn-worker", &["--coordinator", "nonsense"], 1, "coordinator `nonsense`"),
        ("swfn-worker", &["inspect", "."], 1, "`train-images-idx3-ubyte` of idx not found"),
        (
            "swfn-worker",
            &["samples", "--dataset", "idx", "--out", "x.png"],
            1,
            "no folder with its files is named",
        ),
        (
            "swfn-worker",
            &["samples", "--dataset", "imagenet", "--out", "x.png"],
            2,
            "dataset `imagenet` is unknown",
        ),
        (
            "swfn-worker",
            &["samples", "--dataset", "mnist", "--data-dir", ".", "--out", "x.png"],
            1,
            "train-images-idx3-ubyte",
        ),
    ];
    for (program, arguments, code, message) in cases {
        let start = Instant::now();
        let (ended, stderr) = run(program, arguments);
        assert_eq!(ended, Some(*code), "{program} {arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{program} {arguments:?}: {stderr}");
        assert!(
            *code == 2 || stderr.contains("hint:"),
            "{program} {arguments:?} has no hint: {stderr}"
        );
        assert!(
            start.elapsed().as_secs() < 20,
            "{program} {arguments:?} took {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn run_directories_and_ports_have_one_owner() {
    let sweep = Sweep::new(AXES, 10);
    let holder = sweep.coordinator("holder", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&holder).trim_start_matches("http://").to_owned();
    let mut second = sweep.coordinator("second", &["--listen", "127.0.0.1:0"]);
    assert_eq!(second.wait(), Some(1));
    let expected = format!("in use by process {}", holder.id());
    assert!(second.stderr().contains(&expected), "{}", second.stderr());
    let other = Sweep::new(AXES, 10);
    let mut third = other.coordinator("third", &["--listen", &address]);
    assert_eq!(third.wait(), Some(1));
    assert!(
        third.stderr().contains(&format!("cannot listen on `{address}`")),
        "{}",
        third.stderr()
    );
}

#[test]
fn local_workers_without_data_end_the_sweep() {
    let grid = format!("version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\n{AXES}\n");
    let sweep = Sweep::with_grid(&grid);
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().display().to_string();
    let mut coordinator =
        sweep.coordinator("coordinator", &["--local-workers", "1", "--data-dir", &folder]);
    assert_eq!(coordinator.wait(), Some(1));
    let output = coordinator.stderr();
    assert!(output.contains("train-images-idx3-ubyte") && output.contains(&folder), "{output}");
    let journal = sweep.journal();
    let kinds: Vec<_> = journal.iter().map(|line| line.kind.as_str()).collect();
    assert_eq!(kinds, ["leased", "released"], "a worker's lack of data is no fault of the trial");
}

/// Opens a session with these messages and returns the status with which the coordinator ends it.
async fn session_end(address: &str, messages: Vec<Kind>) -> Status {
    let messages =
        messages.into_iter().map(|kind| v1::WorkerMessage { sequence: 0, kind: Some(kind) });
    let mut client =
        CoordinatorClient::connect(address.to_owned()).await.expect("the coordinator listens");
    // The stream stays open, so the coordinator has to end it.
    let stream =
        tokio_stream::StreamExt::chain(tokio_stream::iter(messages), tokio_stream::pending());
    match client.session(stream).await {
        Err(status) => status,
        Ok(response) => {
            let mut answers = response.into_inner();
            loop {
                match answers.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Status::ok("ended"),
                    Err(status) => return status,
                }
            }
        }
    }
}

fn hello() -> v1::Hello {
    v1::Hello {
        protocol: PROTOCOL,
        trainer_revision: TRAINER_REVISION,
        worker: "eve".into(),
        device: Some(v1::Device::default()),
        ..v1::Hello::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_messages_only_end_their_stream() {
    let sweep = Sweep::new(AXES, 10);
    let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let lease = Some(v1::LeaseId { trial: "x".into(), attempt: 1 });
    let cases = vec![
        (
            vec![Kind::Goodbye(v1::Goodbye {})],
            Code::FailedPrecondition,
            "a stream begins with `hello`",
        ),
        (
            vec![Kind::Hello(v1::Hello { protocol: 99, ..hello() })],
            Code::FailedPrecondition,
            "protocol `99`",
        ),
        (
            vec![Kind::Hello(v1::Hello { trainer_revision: 99, ..hello() })],
            Code::FailedPrecondition,
            "trainer revision `99`",
        ),
        (
            vec![Kind::Hello(v1::Hello { held: vec![v1::LeaseId::default(); 8_193], ..hello() })],
            Code::InvalidArgument,
            "`8193` are more than 8192",
        ),
        (
            vec![Kind::Hello(v1::Hello { worker: "a b".into(), ..hello() })],
            Code::InvalidArgument,
            "worker id `a b`",
        ),
        (
            vec![Kind::Hello(hello()), Kind::Hello(hello())],
            Code::InvalidArgument,
            "`hello` comes once",
        ),
        (
            vec![Kind::Hello(hello()), Kind::Released(v1::Released { lease })],
            Code::InvalidArgument,
            "id `x`",
        ),
    ];
    for (messages, code, reason) in cases {
        let status = session_end(&address, messages).await;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(reason), "{status}");
    }
    let mut worker = sweep.worker("worker", &address, &[]);
    coordinator.succeed();
    worker.succeed();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer() {
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let sweep = Sweep::new(AXES, 10);
    let coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
    let address = sweep.address(&coordinator);
    let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let check = HealthCheckRequest { service: "swfn.v1.Coordinator".into() };
    assert_eq!(health.check(check).await.unwrap().into_inner().status(), ServingStatus::Serving);
    let mut reflection = ServerReflectionClient::new(channel);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers =
        reflection.server_reflection_info(tokio_stream::once(list)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&"swfn.v1.Coordinator") && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );
}
