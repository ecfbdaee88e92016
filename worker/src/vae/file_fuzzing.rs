//! Fuzz target: files of VAEs.

use super::*;
use crate::{
    lanes::Lanes as _,
    store_file,
    vae::{family::Either, model::Vae, trained::Densities},
};

/// Reads a file in a folder that others can write: the bytes as they are, which hardly ever have
/// the right checksum, and their tensors in a valid file. If they are those of the VAE that is
/// looked for, it is read back the same.
pub(crate) fn vae(data: &[u8]) {
    let (id, device) = ("0123456789abcdef0123456789abcdef".parse().expect("an id"), Device::Cpu);
    check(decode(data, id, device, u32::MAX, blank()), id, device);
    let Ok(contents) = store_file::decode(data) else { return };
    let content = folder::encode(Owner::Vae(id), device, &contents, None);
    let content = content.expect("decoded tensors can be encoded");
    if let Some(same) = check(decode(&content, id, device, u32::MAX, blank()), id, device) {
        assert_eq!(same, content, "equal contents have equal files");
    }
}

/// The file of a VAE that was read.
fn check(read: Result<TrainedVae, FileError>, id: VaeId, device: Device) -> Option<Vec<u8>> {
    match read {
        Ok(vae) => {
            assert!(vae.losses.iter().all(|point| point.value.is_finite()));
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

/// A VAE of two by two pixels, one hidden unit and one latent dimension. It is made once, since
/// that takes longer than everything else. A file replaces all its numbers.
fn blank() -> TrainedVae {
    thread_local! {
        static PARTS: (Densities, Tensor) = {
            let zeros = |shape: &[i64]| Tensor::zeros(shape, (tch::Kind::Float, Device::Cpu));
            let (vae, code) = (Vae::new(4, 1, 1, &[0], Device::Cpu.into()), zeros(&[1, 1, 1]));
            (Densities::new(Either::Vanilla(vae.decoder), &code, &code), zeros(&[1, 4]))
        };
    }
    PARTS.with(|(density, images)| TrainedVae::new(density.shallow_clone(), images.shallow_clone()))
}
