//! Fuzz target: files of VAEs.

use super::*;
use crate::vae::{model::Vae, trained::Densities};

/// A file in a folder that others can write. Beside the bytes as they are, which hardly ever have the right checksum, its tensors in a
/// file whose description is right: if they are those of the VAE that is looked for, the VAE comes back the same.
pub(crate) fn vae(data: &[u8]) {
    let (id, device) = ("0123456789abcdef0123456789abcdef".parse().expect("an id"), Device::Cpu);
    check(decode(data, id, device, u32::MAX, blank()), id, device);
    let Ok(contents) = store_file::decode(data) else { return };
    let description = Description::new(id, device, checksum(&contents)).to_json();
    let content = store_file::encode(&contents, description).expect("what was decoded is encoded");
    if let Some(again) = check(decode(&content, id, device, u32::MAX, blank()), id, device) {
        assert_eq!(again, content, "equal contents have equal files");
    }
}

/// The file of what was read.
fn check(read: Result<TrainedVae, FileError>, id: VaeId, device: Device) -> Option<Vec<u8>> {
    match read {
        Ok(vae) => {
            assert!(vae.losses().iter().all(|point| point.value.is_finite()));
            let content = encode(id, device, &vae).expect("what was read is written");
            assert!(content.len() as u64 <= most_bytes(&vae));
            Some(content)
        }
        Err(error) => {
            assert!(error.to_string().len() < 20_000, "{error}");
            None
        }
    }
}

/// Of two by two pixels, one hidden unit and one latent dimension. Made once, since that takes longer than all the rest: what is read
/// replaces every number.
fn blank() -> TrainedVae {
    thread_local! {
        static PARTS: (Densities, Tensor) = {
            let zeros = |shape: &[i64]| Tensor::zeros(shape, (tch::Kind::Float, Device::Cpu));
            let code = zeros(&[1, 1, 1]);
            (Densities::new(Vae::new(4, 1, 1, &[0], Device::Cpu.into()).decoder, &code, &code), zeros(&[1, 4]))
        };
    }
    PARTS.with(|(density, images)| {
        TrainedVae::new(density.shallow_clone(), images.shallow_clone(), Vec::new())
    })
}
