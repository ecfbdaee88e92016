//! The data set of `[data]`: published ones and the synthetic digits by name, a user's own by its
//! description.

use std::ops::RangeInclusive;

use super::{
    error::Problem,
    findings::missing,
    reader::{Item, Table},
};
use crate::{
    catalogue::Origin,
    dataset::{self, CHANNELS, CLASSES, Dataset, IDX, IdxDataset, SIDES, Sizes},
    image::ImageShape,
};

/// The keys that describe a user's own data set.
const DESCRIPTION: [&str; 7] =
    ["digest", "height", "width", "channels", "classes", "train_images", "test_images"];

/// Reads the data set; `None` where it is wrong.
pub(super) fn read_dataset(data: &mut Table<'_>) -> Option<Dataset> {
    let item = data.need("dataset", "\"mnist\"")?;
    let findings = data.findings;
    let name = findings.keep(item.choice(&dataset::names(), |name| name));
    if name == Some(IDX) {
        return read_idx(data).map(Dataset::Idx);
    }
    // A typing mistake in the name makes no other key unknown.
    let described = DESCRIPTION.map(|key| data.take(key)).into_iter().flatten().next();
    let seed = data.take("seed");
    let dataset = name?.parse().ok()?;
    findings.keep(read_named(dataset, described, seed))
}

/// A data set that has a name.
fn read_named(
    dataset: Dataset,
    described: Option<Item<'_>>,
    seed: Option<Item<'_>>,
) -> Result<Dataset, Problem> {
    if let Some(item) = described {
        let problem = format!("`{}` does not go with data set {dataset}", item.key);
        let hint = format!("remove it: only your own images, `dataset = \"{IDX}\"`, have it");
        return Err(item.problem(problem, hint));
    }
    match (dataset, seed) {
        (Dataset::Named { entry, .. }, Some(seed))
            if matches!(entry.origin, Origin::Generated { .. }) =>
        {
            Ok(Dataset::Named { entry, seed: seed.integer("0")? })
        }
        (_, Some(seed)) => Err(seed.problem(
            format!("data set {dataset} has no seed"),
            "remove it: only the synthetic digits are generated; seeds of trials stand in [grid]",
        )),
        (_, None) => Ok(dataset),
    }
}

const INSPECT: &str = "`swfn-worker inspect DIR` prints this table for the files in DIR";

fn read_idx(data: &mut Table<'_>) -> Option<IdxDataset> {
    let findings = data.findings;
    let channels = data.get("channels", 1, read_channels);
    let mut need = |key| {
        if data.peek(key).is_none() {
            data.report(missing(key, "[data]"), INSPECT);
        }
        data.take(key)
    };
    let digest = need("digest").and_then(|item| {
        let problem =
            || format!("digest {} is not 64 hexadecimal digits in lower case", item.shown());
        let digest = item.string("...").map(str::parse);
        findings.keep(digest.and_then(|id| id.map_err(|_| item.problem(problem(), INSPECT))))
    });
    let scale = "pad or scale the images: the networks need these sizes";
    let height = need("height").and_then(|item| findings.keep(within(&item, &SIDES, scale)));
    let width = need("width").and_then(|item| findings.keep(within(&item, &SIDES, scale)));
    let labels = "labels are bytes, from 0 to one below the number of classes";
    let classes = need("classes").and_then(|item| findings.keep(within(&item, &CLASSES, labels)));
    let train_images = need("train_images").and_then(|item| findings.keep(item.count("60000")));
    let test_images = need("test_images").and_then(|item| findings.keep(item.count("10000")));
    let image = ImageShape { height: height?, width: width?, channels };
    let (train_images, test_images) = (train_images?, test_images?);
    let sizes = Sizes { image, classes: classes?, train_images, test_images };
    Some(IdxDataset { digest: digest?, sizes })
}

fn read_channels(item: &Item<'_>) -> Result<u32, Problem> {
    let channels = item.integer("3")?;
    if CHANNELS.contains(&channels) {
        return Ok(channels);
    }
    let problem = format!("channels `{channels}` is neither 1 (grey) nor 3 (red, green and blue)");
    Err(item.problem(problem, format!("convert the images: {INSPECT}")))
}

fn within(item: &Item<'_>, range: &RangeInclusive<u32>, hint: &str) -> Result<u32, Problem> {
    let (from, to) = (range.start(), range.end());
    let value = item.integer(&from.to_string())?;
    if range.contains(&value) {
        return Ok(value);
    }
    Err(item.problem(format!("{} `{value}` is not in {from} to {to}", item.key), hint))
}

impl IdxDataset {
    /// The section `[data]` of a grid file that names this data set.
    pub fn to_toml(&self) -> String {
        let Self { digest, sizes: Sizes { image, classes, train_images, test_images } } = self;
        let ImageShape { height, width, channels } = image;
        let channels =
            if *channels == 1 { String::new() } else { format!("channels = {channels}\n") };
        format!(
            "[data]\ndataset = \"{IDX}\"\ndigest = \"{digest}\"\nheight = {height}\nwidth = {width}\n\
             {channels}classes = {classes}\ntrain_images = {train_images}\n\
             test_images = {test_images}\n"
        )
    }
}
