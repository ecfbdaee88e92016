//! The data set of `[data]`: published ones and the synthetic digits by name, those of the user's own by what they are.

use std::ops::RangeInclusive;

use super::{
    error::Problem,
    findings::{missing, nearest},
    reader::{Item, Table},
};
use crate::{
    catalogue::Origin,
    dataset::{self, CHANNELS, CLASSES, Dataset, IDX, IdxDataset, SIDES, Sizes},
    ids::DataDigest,
    image::ImageShape,
};

/// The keys that describe a data set of the user's own.
const DESCRIPTION: [&str; 7] =
    ["digest", "height", "width", "channels", "classes", "train_images", "test_images"];

/// The data set; nothing where it cannot be known.
pub(super) fn read_dataset(data: &mut Table<'_>) -> Option<Dataset> {
    let item = data.need("dataset", "\"mnist\"")?;
    let name = data.findings.keep(item.string("mnist"))?;
    if name == IDX {
        return read_idx(data).map(Dataset::Idx);
    }
    let parsed = name.parse::<Dataset>().map_err(|_| {
        let meant = nearest(name, dataset::names().into_iter())
            .map(|name| format!("did you mean `{name}`? "));
        let hint = format!("{}one of {}", meant.unwrap_or_default(), dataset::names().join(", "));
        item.problem(format!("dataset {} is unknown", item.shown()), hint)
    });
    let named = data.findings.keep(parsed);
    // Its other keys are known, whatever it is.
    let description = DESCRIPTION.map(|key| data.take(key));
    let seed = data.take("seed");
    let dataset = named?;
    data.findings.keep(read_named(dataset, description.into_iter().flatten().next(), seed))
}

/// A data set that has a name.
fn read_named(
    dataset: Dataset,
    described: Option<Item<'_>>,
    seed: Option<Item<'_>>,
) -> Result<Dataset, Problem> {
    if let Some(item) = described {
        let hint = format!("only images of your own, `dataset = \"{IDX}\"`, are described so");
        return Err(
            item.problem(format!("`{}` does not go with data set {dataset}", item.key), hint)
        );
    }
    match (dataset, seed) {
        (Dataset::Named { entry, .. }, Some(seed))
            if matches!(entry.origin, Origin::Generated { .. }) =>
        {
            Ok(Dataset::Named { entry, seed: seed.integer("0")? })
        }
        (_, Some(seed)) => Err(seed.problem(
            format!("data set {dataset} has no seed"),
            "only the synthetic digits are generated; seeds of trials stand in [grid]",
        )),
        (_, None) => Ok(dataset),
    }
}

fn read_idx(data: &mut Table<'_>) -> Option<IdxDataset> {
    let (offset, findings) = (data.offset, data.findings);
    let channels = data.take("channels");
    let mut need = |key| {
        let item = data.take(key);
        if item.is_none() {
            let hint = "`swfn-worker inspect DIR` prints this table for the files in DIR";
            findings.add(Problem::at(offset, missing(key, "[data]"), hint));
        }
        item
    };
    let scale = "pad or scale the images: the networks need these sizes";
    let digest = need("digest").and_then(|item| findings.keep(read_digest(&item)));
    let height = need("height").and_then(|item| findings.keep(within(&item, &SIDES, scale)));
    let width = need("width").and_then(|item| findings.keep(within(&item, &SIDES, scale)));
    let channels = match channels {
        None => Some(1),
        Some(item) => findings.keep(read_channels(&item)),
    };
    let labels = "labels are bytes, from 0 to one below the number of classes";
    let classes = need("classes").and_then(|item| findings.keep(within(&item, &CLASSES, labels)));
    let train_images = need("train_images").and_then(|item| findings.keep(item.count("60000")));
    let test_images = need("test_images").and_then(|item| findings.keep(item.count("10000")));
    let image = ImageShape { height: height?, width: width?, channels: channels? };
    let sizes =
        Sizes { image, classes: classes?, train_images: train_images?, test_images: test_images? };
    Some(IdxDataset { digest: digest?, sizes })
}

fn read_channels(item: &Item<'_>) -> Result<u32, Problem> {
    match item.integer::<u32>("3")? {
        channels if CHANNELS.contains(&channels) => Ok(channels),
        channels => {
            let problem =
                format!("channels `{channels}` is neither 1 (grey) nor 3 (red, green and blue)");
            Err(item.problem(
                problem,
                "convert the images: `swfn-worker inspect DIR` prints this table for them",
            ))
        }
    }
}

fn read_digest(item: &Item<'_>) -> Result<DataDigest, Problem> {
    item.string("...")?.parse().map_err(|_| {
        let problem = format!("digest {} is not 64 hexadecimal digits in lower case", item.shown());
        item.problem(problem, "`swfn-worker inspect DIR` prints it for the files in DIR")
    })
}

impl IdxDataset {
    /// The section `[data]` of a grid file that names this data set.
    pub fn to_toml(&self) -> String {
        let Self { digest, sizes: Sizes { image, classes, train_images, test_images } } = self;
        let ImageShape { height, width, channels } = image;
        let channels =
            if *channels == 1 { String::new() } else { format!("channels = {channels}\n") };
        format!(
            "[data]\ndataset = \"{IDX}\"\ndigest = \"{digest}\"\nheight = {height}\nwidth = {width}\n{channels}\
             classes = {classes}\ntrain_images = {train_images}\ntest_images = {test_images}\n"
        )
    }
}

fn within(item: &Item<'_>, range: &RangeInclusive<u32>, hint: &str) -> Result<u32, Problem> {
    let (from, to) = (range.start(), range.end());
    match item.integer::<u32>(&from.to_string())? {
        value if range.contains(&value) => Ok(value),
        value => {
            Err(item.problem(format!("{} `{value}` is not in {from} to {to}", item.key), hint))
        }
    }
}
