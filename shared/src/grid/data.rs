//! The data set of `[data]`: published ones and the synthetic digits by name, those of the user's own by what they are.

use std::ops::RangeInclusive;

use super::{
    error::Problem,
    reader::{Item, Table},
};
use crate::dataset::{self, CLASSES, Dataset, IDX, IdxDataset, SIDES};

/// The keys that describe a data set of the user's own.
const DESCRIPTION: [&str; 6] = ["digest", "height", "width", "classes", "train_images", "test_images"];

pub(super) fn read_dataset(data: &mut Table<'_>) -> Result<Dataset, Problem> {
    let item = data.need("dataset", "\"mnist\"")?;
    let name = item.string("mnist")?;
    if name == IDX {
        return read_idx(data).map(Dataset::Idx);
    }
    let dataset = name.parse::<Dataset>().map_err(|_| {
        item.problem(format!("dataset {} is unknown", item.shown()), format!("one of {}", dataset::NAMES.join(", ")))
    })?;
    if let Some(item) = DESCRIPTION.into_iter().find_map(|key| data.take(key)) {
        let hint = format!("only images of your own, `dataset = \"{IDX}\"`, are described so");
        return Err(item.problem(format!("`{}` does not go with data set {dataset}", item.key), hint));
    }
    match (dataset, data.take("seed")) {
        (Dataset::Synthetic { .. }, Some(seed)) => Ok(Dataset::synthetic(seed.integer("0")?)),
        (Dataset::Mnist | Dataset::FashionMnist | Dataset::Kmnist | Dataset::Idx(_), Some(seed)) => Err(seed.problem(
            format!("data set {dataset} has no seed"),
            "only the synthetic digits are generated; seeds of trials stand in [grid]",
        )),
        (_, None) => Ok(dataset),
    }
}

fn read_idx(data: &mut Table<'_>) -> Result<IdxDataset, Problem> {
    let offset = data.offset;
    let mut need = |key| {
        data.take(key).ok_or_else(|| {
            let hint = "`swfn-worker inspect DIR` prints this table for the files in DIR";
            Problem::at(offset, format!("`{key}` is missing in [data]"), hint)
        })
    };
    let digest = need("digest")?;
    Ok(IdxDataset {
        digest: digest.string("...")?.parse().map_err(|_| {
            let problem = format!("digest {} is not 64 hexadecimal digits in lower case", digest.shown());
            digest.problem(problem, "`swfn-worker inspect DIR` prints it for the files in DIR")
        })?,
        height: within(&need("height")?, &SIDES, "pad or scale the images: the networks need these sizes")?,
        width: within(&need("width")?, &SIDES, "pad or scale the images: the networks need these sizes")?,
        classes: within(&need("classes")?, &CLASSES, "labels are bytes, from 0 to one below the number of classes")?,
        train_images: need("train_images")?.count("60000")?,
        test_images: need("test_images")?.count("10000")?,
    })
}

impl IdxDataset {
    /// The section `[data]` of a grid file that names this data set.
    pub fn to_toml(&self) -> String {
        let Self { digest, height, width, classes, train_images, test_images } = self;
        format!(
            "[data]\ndataset = \"{IDX}\"\ndigest = \"{digest}\"\nheight = {height}\nwidth = {width}\nclasses = {classes}\n\
             train_images = {train_images}\ntest_images = {test_images}\n"
        )
    }
}

fn within(item: &Item<'_>, range: &RangeInclusive<u32>, hint: &str) -> Result<u32, Problem> {
    let (from, to) = (range.start(), range.end());
    match item.integer::<u32>(&from.to_string())? {
        value if range.contains(&value) => Ok(value),
        value => Err(item.problem(format!("{} `{value}` is not in {from} to {to}", item.key), hint)),
    }
}
