//! Data sets of the user's own: described, loaded as described, refused.

use std::fs;
use std::path::Path;

use swfn_shared::catalogue::IDX_FILES as FILES;
use swfn_shared::dataset::{Dataset, IdxDataset, Sizes};
use swfn_shared::grid::{DEFAULT_MAX_TRIALS, Grid};
use swfn_shared::image::ImageShape;

use super::dataset::{LoadOptions, Splits, load};
use super::idx_tests::{gzip, idx};
use super::own::inspect;
use swfn_shared::problem::Problem;

const TRAIN: [u8; 3] = [0, 2, 2];
const TEST: [u8; 2] = [3, 0];

fn pixels(count: usize, height: usize, width: usize) -> Vec<u8> {
    (0..count * height * width).map(|pixel| (pixel % 251) as u8).collect()
}

/// Images of 16 x 20 pixels, each with its labels.
fn files() -> [Vec<u8>; 4] {
    [
        idx(&[3, 16, 20], &pixels(3, 16, 20)),
        idx(&[3], &TRAIN),
        idx(&[2, 16, 20], &pixels(2, 16, 20)),
        idx(&[2], &TEST),
    ]
}

fn write(folder: &Path, files: &[Vec<u8>; 4]) {
    for (name, content) in FILES.iter().zip(files) {
        fs::write(folder.join(name), content).unwrap();
    }
}

fn try_load(description: IdxDataset, folder: &Path) -> Result<Splits, Problem> {
    let options = LoadOptions { data_dir: Some(folder.to_path_buf()), ..LoadOptions::default() };
    load(&Dataset::Idx(description), &options)
}

#[test]
fn inspected_files_can_be_loaded_however_compressed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &files());
    let found = inspect(folder.path()).unwrap();
    let IdxDataset { digest, sizes } = found.description;
    let image = ImageShape::grey(16, 20);
    assert_eq!(sizes, Sizes { image, classes: 4, train_images: 3, test_images: 2 });
    assert_eq!((found.train_counts, found.test_counts), (vec![1, 0, 2, 0], vec![1, 0, 0, 1]));
    // As Python's hashlib gives it.
    assert_eq!(
        digest.to_string(),
        "bddb1e3af670e0018d8a8d85953b34acaf238fbadf4ea7ced39f865f6cc792ef"
    );

    // The same in a folder of its name, compressed.
    fs::create_dir(folder.path().join("idx")).unwrap();
    write(&folder.path().join("idx"), &files().map(|_| b"not looked at".to_vec()));
    for (name, content) in FILES.iter().zip(files()) {
        fs::remove_file(folder.path().join("idx").join(name)).unwrap();
        fs::write(folder.path().join("idx").join(format!("{name}.gz")), gzip(&content)).unwrap();
        fs::write(folder.path().join(name), b"not looked at").unwrap();
    }
    let data = try_load(found.description, folder.path()).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.classes), (3, 2, 4));
    let image = data.train.gather(&[2]);
    assert_eq!((image.shape, image.labels[0]), (ImageShape::grey(16, 20), 2));
    assert_eq!(image.images, pixels(3, 16, 20)[2 * 320..]);
    // A class that has no image at all is the user's to know of.
    let mut more = found.description;
    more.sizes.classes = 9;
    assert_eq!(try_load(more, folder.path()).unwrap().classes, 9);
}

#[test]
fn images_with_channels_have_four_dimensions() {
    let folder = tempfile::tempdir().unwrap();
    let images = |count: u32, channels: u32| {
        idx(&[count, 16, 20, channels], &pixels(count as usize, 16, 20 * channels as usize))
    };
    let [_, train_labels, _, test_labels] = files();
    let coloured = [images(3, 3), train_labels, images(2, 3), test_labels];
    write(folder.path(), &coloured);
    let found = inspect(folder.path()).unwrap().description;
    let image = ImageShape { height: 16, width: 20, channels: 3 };
    assert_eq!(found.sizes, Sizes { image, classes: 4, train_images: 3, test_images: 2 });
    let grid = format!(
        "version = 1\nname = \"t\"\n{}[grid]\nseed = [0]\nsubset_size = 2\n",
        found.to_toml()
    );
    let grid = grid + "architecture = \"net\"\nlambda = 0\n[classifier]\nbatch_size = 2\n";
    let dataset = Grid::parse("t", &grid, DEFAULT_MAX_TRIALS).unwrap().dataset();
    assert_eq!(dataset, Dataset::Idx(found));
    assert_eq!(try_load(found, folder.path()).unwrap().test.image(1), &pixels(2, 16, 60)[960..]);

    // One channel is as good as none; the digest is of the files as they are.
    write(folder.path(), &[images(3, 1), coloured[1].clone(), images(2, 1), coloured[3].clone()]);
    let grey = inspect(folder.path()).unwrap().description;
    assert_eq!(grey.sizes.image, ImageShape::grey(16, 20));
    assert!(!grey.to_toml().contains("channels"));
    // Colours beside grey, and a number of channels that nothing has.
    for (test, why) in [
        (
            images(2, 3),
            "byte 8: the images have `16 x 20 pixels of 3 channels`, those to train on 16 x 20 pixels",
        ),
        (images(2, 4), "byte 16: the images have `4` channels, not 1 (grey) or 3 (colour)"),
    ] {
        fs::write(folder.path().join(FILES[2]), test).unwrap();
        let error = inspect(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(FILES[2]) && error.contains(why) && error.contains("\nhint: "),
            "{error}"
        );
    }
}

#[test]
fn files_that_differ_from_the_grid_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &files());
    let good = inspect(folder.path()).unwrap().description;
    let wrong: [(fn(&mut Sizes), _, _); 6] = [
        (|sizes| sizes.image.height = 17, FILES[0], "height is `16`, but the grid says `17`"),
        (|sizes| sizes.image.width = 21, FILES[0], "width is `20`, but the grid says `21`"),
        (|sizes| sizes.image.channels = 3, FILES[0], "channels is `1`, but the grid says `3`"),
        (|sizes| sizes.classes = 3, FILES[1], "classes is `4`, but the grid says `3`"),
        (|sizes| sizes.train_images = 4, FILES[0], "train_images is `3`, but the grid says `4`"),
        (|sizes| sizes.test_images = 1, FILES[2], "test_images is `2`, but the grid says `1`"),
    ];
    for (change, file, why) in wrong {
        let mut description = good;
        change(&mut description.sizes);
        let error = try_load(description, folder.path()).unwrap_err().to_string();
        let expected = format!("`{}`: {why}\nhint: ", folder.path().join(file).display());
        assert!(error.starts_with(&expected), "{error}");
    }
    let error = load(&Dataset::Idx(good), &LoadOptions::default()).unwrap_err().to_string();
    assert!(
        error.contains("no folder with its files is named\nhint: ")
            && error.contains("--data-dir DIR"),
        "{error}"
    );

    // One pixel more.
    let mut changed = files();
    *changed[2].last_mut().unwrap() += 1;
    write(folder.path(), &changed);
    let found = inspect(folder.path()).unwrap().description.digest;
    let error = try_load(good, folder.path()).unwrap_err().to_string();
    let digests =
        format!("have together the digest `{found}`, but the grid says `{}`\nhint: ", good.digest);
    assert!(error.contains(&digests), "{error}");
    assert!(error.contains(&format!("`{}`", folder.path().join(FILES[2]).display())), "{error}");

    fs::remove_file(folder.path().join(FILES[3])).unwrap();
    let error = try_load(good, folder.path()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("`{}` of idx not found, looked for: ", FILES[3])),
        "{error}"
    );
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let with = |file: usize, content: Vec<u8>| {
        let mut files = files();
        files[file] = content;
        files
    };
    let cases = [
        (with(1, idx(&[2], &[0, 1])), 0, "has `3` images, but "),
        (with(3, idx(&[3], &[0, 1, 2])), 2, "has `2` images, but "),
        (
            with(2, idx(&[2, 20, 16], &pixels(2, 20, 16))),
            2,
            "the images have `20 x 16 pixels`, those to train on 16 x 20 pixels",
        ),
        (with(0, idx(&[3], &[0, 1, 2])), 0, "`1` dimensions are not those of images"),
        (with(1, idx(&[3, 1, 1], &TRAIN)), 1, "`3` dimensions are not those of labels"),
        (with(1, idx(&[3], &[7, 7, 7])), 1, "all labels are `7`"),
        (
            with(3, idx(&[2], &TEST)[..9].to_vec()),
            3,
            "the header promises `10` bytes in all, but the file has 9",
        ),
    ];
    let small = [
        idx(&[3, 15, 20], &pixels(3, 15, 20)),
        idx(&[3], &TRAIN),
        idx(&[2, 15, 20], &pixels(2, 15, 20)),
        idx(&[2], &TEST),
    ];
    let wide = [
        idx(&[3, 16, 65], &pixels(3, 16, 65)),
        idx(&[3], &TRAIN),
        idx(&[2, 16, 65], &pixels(2, 16, 65)),
        idx(&[2], &TEST),
    ];
    let sizes = [
        (small, 0, "the images have `15 x 20 pixels`"),
        (wide, 0, "the images have `16 x 65 pixels`"),
    ];
    for (files, file, why) in cases.into_iter().chain(sizes) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &files);
        let error = inspect(folder.path()).unwrap_err().to_string();
        let path = format!("`{}`", folder.path().join(FILES[file]).display());
        assert!(
            error.starts_with(&path) && error.contains(why) && error.contains("\nhint: "),
            "{error}"
        );
    }
}
