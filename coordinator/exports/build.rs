//! Compiles the messages of TensorBoard with protox, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/tensorboard.proto";
    println!("cargo::rerun-if-changed={file}");
    tonic_prost_build::configure().compile_fds(protox::compile([file], ["proto"])?)?;
    Ok(())
}
