//! Admitted workers misbehave, by malice or by mistake, beside an honest one. The honest one must
//! stay as fast as before, and neither memory nor disk may fill up.

mod scene;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use h2::client;
use swfn_proto::v1::{self, coordinator_message::Kind as Answer, worker_message::Kind};
use swfn_tests::{
    fake_worker::{FakeWorker, hello},
    permit,
    process::wait_until,
    sweep::Sweep,
};
use tokio::{net::TcpSocket, task::JoinSet, time::sleep};

use scene::{
    ELSEWHERE, Scene, ask, assert_well, connect, failed, foreign, next_grant, observe, open, scene,
    scene_with_files, succeeded,
};

/// Returns the kilobytes of the run directory and of the coordinator's log.
fn disk_usage(scene: &Scene) -> u64 {
    fn size(path: &std::path::Path) -> u64 {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .map(|entry| {
                if entry.path().is_dir() {
                    size(&entry.path())
                } else {
                    entry.metadata().map_or(0, |data| data.len())
                }
            })
            .sum()
    }
    (size(&scene.sweep.run_dir()) + scene.coordinator.stderr().len() as u64) >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn invented_leases_slow_no_worker() {
    let _permit = permit::to_compute();
    let scene = scene();
    assert_well("alone", &observe(&scene, 2).await);
    let mut attack = JoinSet::new();
    let address = scene.address.clone();
    attack.spawn(async move {
        let mut fake = open(&address, hello("beats")).await;
        let progress = (0..8192).map(|number| v1::Progress {
            lease: Some(foreign(number)),
            step: 1,
            waits: false,
        });
        let beat = v1::WorkerMessage {
            sequence: 0,
            kind: Some(Kind::Heartbeat(v1::Heartbeat { progress: progress.collect() })),
        };
        loop {
            tokio::select! {
                sent = fake.outgoing.send(beat.clone()) => if sent.is_err() { return },
                heard = fake.incoming.message() => if !matches!(heard, Ok(Some(_))) { return },
            }
        }
    });
    assert_well("heartbeats of 8192 foreign leases", &observe(&scene, 6).await);
    attack.abort_all();
    let address = scene.address.clone();
    attack.spawn(async move {
        let channel = connect(&address).await;
        let held: Vec<_> = (0..8192).map(foreign).collect();
        for number in 0.. {
            let hello = v1::Hello { held: held.clone(), ..hello(&format!("eve:{number}")) };
            // Too much is refused.
            drop(FakeWorker::open(channel.clone(), "none", hello).await);
        }
    });
    assert_well("hellos of 8192 foreign leases", &observe(&scene, 6).await);
    let lines = scene.coordinator.stderr().lines().filter(|line| line.contains("revoked")).count();
    assert!((1..1_000).contains(&lines), "{lines} lines");
}

/// Calls a method, announces so many bytes, and leaves out the last one. Then waits until the other
/// side ends the connection.
async fn send_unfinished(to: SocketAddr, method: &'static str, calls: usize, bytes: u32) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(ELSEWHERE.into(), 0)).expect("all of 127.0.0.0/8 is this machine");
    let Ok(stream) = socket.connect(to).await else { return };
    let Ok((sender, connection)) = client::handshake(stream).await else { return };
    tokio::spawn(connection);
    let mut bodies = Vec::new();
    for _ in 0..calls {
        let Ok(mut ready) = sender.clone().ready().await else { return };
        let request = http::Request::post(format!("http://{to}/swfn.v1.Coordinator/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let Ok((answer, mut body)) =
            ready.send_request(request.body(()).expect("a request"), false)
        else {
            return;
        };
        let head = [&[0][..], &bytes.to_be_bytes()].concat();
        body.send_data(head.into(), false).ok();
        body.send_data(vec![10; bytes as usize - 1].into(), false).ok();
        bodies.push((answer, body));
    }
    for (answer, _body) in bodies {
        answer.await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_messages_take_up_no_memory() {
    let _permit = permit::to_compute();
    let scene = scene();
    let to = scene.address.trim_start_matches("http://").parse().unwrap();
    for (method, connections, calls, bytes) in [
        ("Command", 8, 30, 4 << 20),
        ("Command", 60, 30, 60 << 10),
        ("Session", 100, 1, 4 << 20),
        ("Session", 200, 1, 500 << 10),
    ] {
        let mut attack = JoinSet::new();
        for _ in 0..connections {
            attack.spawn(async move {
                loop {
                    send_unfinished(to, method, calls, bytes).await;
                    sleep(Duration::from_millis(50)).await;
                }
            });
        }
        assert_well(
            &format!("{method}, {connections} x {calls} x {bytes} bytes"),
            &observe(&scene, 4).await,
        );
    }
}

/// Sends as many points as it can.
async fn send_noise(address: String, name: String, sent: Arc<AtomicUsize>) {
    let mut fake = open(&address, hello(&name)).await;
    fake.send(0, ask(1)).await;
    let lease = next_grant(&mut fake).await.remove(0);
    for sequence in 1_u64.. {
        let point = |step| v1::MetricPoint { metric: "train/loss".into(), step, value: 0.5 };
        let points = ((sequence - 1) * 2_000..sequence * 2_000)
            .map(|step| point(step % 1_000_000))
            .collect();
        let kind = Kind::Points(v1::Points { lease: Some(lease.clone()), points, log: None });
        if fake.outgoing.send(v1::WorkerMessage { sequence, kind: Some(kind) }).await.is_err() {
            return;
        }
        sent.fetch_add(2_000, Ordering::Relaxed);
        while let Ok(Ok(Some(_))) =
            tokio::time::timeout(Duration::ZERO, fake.incoming.message()).await
        {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_noisy_worker_hardly_slows_the_others() {
    let _permit = permit::to_compute();
    let scene = scene();
    let sent = Arc::new(AtomicUsize::new(0));
    // Other tests come and go, so one quiet moment counts.
    let mut shares = Vec::new();
    for round in 0..8 {
        let alone = observe(&scene, 3).await;
        alone.print("alone");
        let (before, mut attack) = (sent.load(Ordering::Relaxed), JoinSet::new());
        attack.spawn(send_noise(
            scene.address.clone(),
            format!("noise:{round}"),
            Arc::clone(&sent),
        ));
        let beside = observe(&scene, 3).await;
        let points = sent.load(Ordering::Relaxed) - before;
        assert_well(&format!("beside {points} points"), &beside);
        assert!(points > 30_000, "nobody made noise");
        shares.push(beside.waits.len() as f64 / alone.waits.len() as f64);
        attack.shutdown().await;
        if shares.last() > Some(&0.5) {
            return;
        }
    }
    panic!("{shares:?} of the reports alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_waiting_workers_take_up_no_memory() {
    let _permit = permit::to_compute();
    let scene = scene();
    let mut attack = JoinSet::new();
    for number in 0..8 {
        let address = scene.address.clone();
        attack.spawn(async move {
            loop {
                let mut fake = open(&address, hello(&format!("deaf:{number}"))).await;
                fake.send(0, ask(2_000)).await;
                let leases = next_grant(&mut fake).await;
                for sequence in 1.. {
                    // It returns its first leases again, although they are over, and asks for more.
                    // It never reads the answers.
                    let released = v1::Released {
                        lease: leases.get(sequence as usize % leases.len()).cloned(),
                    };
                    let output = [Kind::Released(released), ask(2_000)]
                        .map(|kind| v1::WorkerMessage { sequence, kind: Some(kind) });
                    for message in output {
                        if fake.outgoing.send(message).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
    }
    assert_well("eight that do not read", &observe(&scene, 6).await);
    attack.shutdown().await;
    for number in 0..400 {
        let address = scene.address.clone();
        attack.spawn(async move {
            // Some of them come too soon after the others.
            let hello = hello(&format!("waits:{number}"));
            let Ok(fake) = FakeWorker::open(connect(&address).await, "none", hello).await else {
                return;
            };
            let vaes = (0..8192).map(|vae| format!("{vae:032x}")).collect();
            fake.send(0, Kind::Ask(v1::Ask { lanes: 1, vaes, shape: Some("0".repeat(32)) })).await;
            std::future::pending::<()>().await;
        });
    }
    // All of them come at once.
    sleep(Duration::from_secs(3)).await;
    assert_well("four hundred that wait with VAEs", &observe(&scene, 6).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_fills_the_disk_in_minutes() {
    let _permit = permit::to_compute();
    let scene = scene_with_files();
    let mut attack = JoinSet::new();
    let address = scene.address.clone();
    // New ids come with the largest texts.
    attack.spawn(async move {
        let channel = connect(&address).await;
        for number in 0.. {
            let text = || "z".repeat(4_000);
            let device =
                v1::Device { name: text(), model: text(), threads: 1, cuda_version: text() };
            let (host, software_version, libtorch_version) = (text(), text(), text());
            let hello = v1::Hello {
                device: Some(device),
                host,
                software_version,
                libtorch_version,
                ..hello(&format!("new:{number}"))
            };
            drop(FakeWorker::open(channel.clone(), "none", hello).await);
        }
    });
    for way in 0..2 {
        let address = scene.address.clone();
        attack.spawn(async move {
            let mut fake = open(&address, hello(&format!("fills:{way}"))).await;
            let mut sequence = 0;
            loop {
                fake.send(0, ask(64)).await;
                for lease in next_grant(&mut fake).await {
                    for part in 0..if way == 0 { 1024 } else { 0 } {
                        sequence += 1;
                        let (name, content) =
                            ("weights.safetensors".into(), vec![part as u8; 64 << 10]);
                        let (offset, size) = (part << 16, 64 << 20);
                        let part = v1::ArtifactPart {
                            lease: Some(lease.clone()),
                            name,
                            offset,
                            content,
                            size,
                        };
                        fake.send(sequence, Kind::Artifact(part)).await;
                    }
                    sequence += 1;
                    if way == 1 {
                        let log = Some(v1::LogPart { offset: 0, text: "w".repeat(32 << 10) });
                        let points =
                            v1::Points { lease: Some(lease.clone()), points: Vec::new(), log };
                        fake.send(sequence, Kind::Points(points)).await;
                        sequence += 1;
                    }
                    // After a while a worker that fails everything gets no more trials. Returning
                    // leases costs nothing.
                    fake.send(sequence, Kind::Released(v1::Released { lease: Some(lease) })).await;
                }
            }
        });
    }
    let (seconds, before) = (8, disk_usage(&scene));
    let seen = observe(&scene, seconds).await;
    let rate = (disk_usage(&scene) - before) / seconds;
    println!("{rate} KiB a second");
    assert_well("joins, artifacts, logs and give-backs", &seen);
    assert!((100..24 << 10).contains(&rate), "{rate} KiB a second");
    // An unfinished file is removed with its attempt.
    let files =
        std::fs::read_dir(scene.sweep.run_dir().join("artifacts")).into_iter().flatten().flatten();
    let files =
        files.flat_map(|trial| std::fs::read_dir(trial.path()).into_iter().flatten().flatten());
    let partial =
        files.filter(|file| file.file_name().as_encoded_bytes().starts_with(b".")).count();
    assert!(partial <= 3, "{partial} files of attempts that are over");
    let log = scene.coordinator.stderr();
    assert!(log.contains("slowed down: it sends too much"), "the log does not mention it");
    assert!(log.contains("[of 4000 bytes]"), "the log does not mark the cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_workers_begin_no_log_line() {
    let scene = scene();
    let forged = "2026-11-29T00:00:00.000000Z  INFO worker joined worker=forged";
    let liar = v1::Hello {
        host: format!("host\n{forged}"),
        predecessor_end: format!("gone\n{forged}"),
        ..hello("liar")
    };
    let mut fake = open(&scene.address, liar).await;
    fake.send(0, ask(1)).await;
    let lease = next_grant(&mut fake).await.remove(0);
    let failed = v1::Failed {
        lease: Some(lease),
        message: format!("boom\n{forged}\r\u{202e}x"),
        ..v1::Failed::default()
    };
    fake.send(1, Kind::Failed(failed)).await;
    while !matches!(fake.next().await.unwrap(), Answer::Acknowledge(_)) {}
    let heir = v1::Hello {
        predecessor: Some("liar".into()),
        predecessor_end: format!("x\n{forged}"),
        ..hello("heir")
    };
    fake.send(0, ask(1)).await;
    next_grant(&mut fake).await;
    let mut fake = open(&scene.address, heir).await;
    fake.send(0, ask(1)).await;
    next_grant(&mut fake).await;
    let log = scene.coordinator.stderr();
    assert_eq!(log.matches("worker=forged").count(), 3, "{log}");
    assert!(!log.lines().any(|line| line.starts_with(forged)), "{log}");
    assert!(!log.contains('\u{202e}') && !log.contains('\r'), "{log}");
}

/// Fails every trial that it gets, as fast as it can.
async fn fail_everything(address: String, lanes: u32, kind: v1::FailureKind) {
    let mut fake = open(&address, hello("broken:cuda0-0:1")).await;
    fake.send(0, ask(lanes)).await;
    let mut sequence = 0;
    while let Ok(answer) = fake.next().await {
        if let Answer::Grant(grant) = answer {
            for lease in grant.leases.into_iter().filter_map(|lease| lease.id) {
                sequence += 1;
                let Kind::Failed(failed) = failed(lease, 1) else { unreachable!() };
                fake.send(sequence, Kind::Failed(v1::Failed { kind: kind.into(), ..failed })).await;
            }
            fake.send(0, ask(lanes)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_fails_everything_costs_no_trial() {
    for (lanes, kind) in
        [(1, v1::FailureKind::Error), (64, v1::FailureKind::Error), (1, v1::FailureKind::Diverged)]
    {
        let sweep = Sweep::with_grid(
            "version = 1\nname = \"broken\"\n[data]\ndataset = \"synthetic\"\n[grid]\nseed = { count = 200 }\n\
             subset_size = 40\narchitecture = \"net\"\nlambda = 0\n",
        );
        let mut coordinator = sweep.coordinator("coordinator", &["--listen", "127.0.0.1:0"]);
        let address = sweep.address(&coordinator);
        let mut fake = open(&address, hello("honest:cpu-0:1")).await;
        fake.send(0, ask(1)).await;
        let mut leases = next_grant(&mut fake).await;
        let broken = tokio::spawn(fail_everything(address, lanes, kind));
        // Waits until the trial has begun.
        let begun = || {
            (sweep.query("SELECT count(*) FROM event WHERE kind = 'failed'") > Some(2))
                .then_some(())
        };
        tokio::task::block_in_place(|| wait_until("the other fails", begun));
        let mut sequence = 0;
        loop {
            for lease in leases.drain(..) {
                sequence += 1;
                fake.send(sequence, succeeded(lease)).await;
            }
            fake.send(0, ask(1)).await;
            match fake.next().await {
                Ok(Answer::Grant(grant)) => {
                    leases.extend(grant.leases.into_iter().filter_map(|lease| lease.id))
                }
                Ok(Answer::Drain(_)) => break,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        drop(fake);
        broken.abort();
        assert_eq!(
            coordinator.wait(),
            Some(0),
            "{lanes} lanes, {kind:?}: {}",
            coordinator.stderr()
        );
        assert!(coordinator.stderr().contains("gets no more trials"), "{}", coordinator.stderr());
        assert_eq!(sweep.succeeded(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hoarding_worker_holds_few_trials_until_drained() {
    let _permit = permit::to_compute();
    let scene = scene();
    let mut hog = open(&scene.address, hello("hog:cpu-0:1")).await;
    hog.send(0, ask(4_096)).await;
    let held = next_grant(&mut hog).await;
    assert_eq!(held.len(), 64);
    let progress =
        held.iter().map(|lease| v1::Progress { lease: Some(lease.clone()), step: 0, waits: true });
    hog.send(0, Kind::Heartbeat(v1::Heartbeat { progress: progress.collect() })).await;
    hog.send(0, ask(4_096)).await;
    let put_out = ["drain", "hog:", "--now", "--coordinator", &scene.address];
    tokio::task::block_in_place(|| scene.sweep.program("drain", &put_out).succeed());
    let mut revoked = 0;
    loop {
        match hog.next().await.expect("the stream is open") {
            Answer::Revoke(_) => revoked += 1,
            Answer::Drain(_) => break,
            Answer::Grant(grant) => panic!("{} more", grant.leases.len()),
            _ => {}
        }
    }
    assert_eq!(revoked, held.len());
    assert_eq!(scene.sweep.query("SELECT count(*) FROM trial WHERE state = 'leased'"), Some(0));
    assert_well("beside a hog", &observe(&scene, 1).await);
}
