//! The files that a trial makes at its end.

use serde_json::json;
use swfn_shared::{
    artifacts::{Artifact, Artifacts, CONFUSION, VAE_SHEET, WEIGHTS},
    ids::TRAINER_REVISION,
    trial::TrialSpec,
};
use tch::{Device, Tensor, no_grad_guard};

use super::device_data::{DeviceData, brightness};
use crate::{
    data::sheet,
    lanes::Named,
    libtorch::TORCH_VERSION,
    rng::{Purpose, Stream},
    store_file::{self, Contents, bytes, dtype, shape},
    trial::{pool::Images, report::TrainError},
    vae::trained::TrainedVae,
};

/// Rows of samples on a VAE's sheet.
const SAMPLE_ROWS: usize = 4;

/// Makes the files that are wanted. `state_dict` is the network's, as in PyTorch. `predicted` has
/// the class that the final network predicts for each test image, `[N]`.
pub(crate) fn make(
    wanted: Artifacts,
    spec: &TrialSpec,
    data: &DeviceData,
    subset: &Images,
    vae: Option<&TrainedVae>,
    state_dict: Vec<Named>,
    predicted: &Tensor,
) -> Result<Vec<Artifact>, TrainError> {
    let mut files = Vec::new();
    if wanted.weights {
        files.push(Artifact { name: WEIGHTS, content: weights(spec, state_dict)? });
    }
    if wanted.vae_sheet
        && let Some(vae) = vae
    {
        files.push(Artifact { name: VAE_SHEET, content: vae_sheet(spec, data, subset, vae)? });
    }
    if wanted.confusion {
        let counts = confusion(&data.test.labels, predicted, data.shape.classes)?;
        files.push(Artifact { name: CONFUSION, content: confusion_csv(&counts).into_bytes() });
    }
    Ok(files)
}

/// The network's state dictionary in safetensors. Its input is `[N, C, H, W]` in normalised units.
fn weights(spec: &TrialSpec, state_dict: Vec<Named>) -> Result<Vec<u8>, TrainError> {
    let contents: Contents = state_dict
        .into_iter()
        .map(|(name, t)| (name.into_owned(), (dtype(&t), shape(&t), bytes(&t))))
        .collect();
    let description = json!({
        "trial": spec.id().to_string(),
        "settings": spec,
        "trainer_revision": TRAINER_REVISION,
        "software": env!("SWFN_VERSION"),
        "libtorch": TORCH_VERSION,
    });
    store_file::encode(&contents, description.to_string())
        .map_err(|error| TrainError::Data(error.to_string()))
}

/// A PNG with a row of images of the subset, a row of their reconstructions, and rows of samples of
/// the function norm. All are in normalised units, whatever units the classifier sees.
fn vae_sheet(
    spec: &TrialSpec,
    data: &DeviceData,
    subset: &Images,
    vae: &TrainedVae,
) -> Result<Vec<u8>, TrainError> {
    let _guard = no_grad_guard();
    let reconstructions = &vae.reconstructions;
    let columns = reconstructions.size()[0];
    let spread = spec.vae_samples().map_or(1.0, |samples| samples.spread);
    let stream = &mut Stream::new(spec.seed, Purpose::SAMPLE_SHEET);
    let count = SAMPLE_ROWS * columns as usize;
    let noise = Tensor::from_slice(&stream.normal(count * vae.density.latent()));
    let noise = noise.view([1, count as i64, -1]).to_device(reconstructions.device());
    let samples = vae.density.decode(&noise, spread).squeeze_dim(0); // [count, H * W * C]
    let originals = subset.pixels.narrow(0, 0, columns).flatten(1, -1);
    let rows = Tensor::cat(&[&originals, reconstructions, &samples], 0); // [6 * columns, H * W * C]
    sheet(&bytes(&brightness(&rows, data.units)), data.shape.image, columns as usize)
        .map_err(|error| TrainError::Data(error.to_string()))
}

/// Counts of images by true class, the first index, and predicted class, the second.
fn confusion(
    labels: &Tensor,
    predicted: &Tensor,
    classes: i64,
) -> Result<Vec<Vec<i64>>, TrainError> {
    let pairs = labels * classes + predicted;
    let counts: Vec<i64> =
        pairs.bincount::<&Tensor>(None, classes * classes).to_device(Device::Cpu).try_into()?;
    Ok(counts.chunks(classes as usize).map(<[i64]>::to_vec).collect())
}

/// A row for each class: counts of its images by predicted class, their number, and the share that
/// is correct. The share is empty for a class without images.
fn confusion_csv(counts: &[Vec<i64>]) -> String {
    let cells = |numbers: &mut dyn Iterator<Item = i64>| {
        numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
    };
    let mut csv = format!("class,{},images,accuracy\n", cells(&mut (0..counts.len() as i64)));
    for (class, row) in counts.iter().enumerate() {
        let images: i64 = row.iter().sum();
        let share = (images > 0).then(|| (row[class] as f64 / images as f64).to_string());
        let (cells, share) = (cells(&mut row.iter().copied()), share.unwrap_or_default());
        csv.push_str(&format!("{class},{cells},{images},{share}\n"));
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_true_classes_and_columns_predicted_ones() {
        let [labels, predicted] =
            [[0_i64, 0, 1, 1, 1], [0, 1, 1, 1, 0]].map(|x| Tensor::from_slice(&x));
        assert_eq!(
            confusion_csv(&confusion(&labels, &predicted, 3).unwrap()),
            "class,0,1,2,images,accuracy\n0,1,1,0,2,0.5\n1,1,2,0,3,0.6666666666666666\n2,0,0,0,0,\n"
        );
    }
}
