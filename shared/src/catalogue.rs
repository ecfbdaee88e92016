//! The data sets that have a name. Another one is a row of [`CATALOGUE`], and a decoder in the
//! worker if its files have a format of their own.

use std::hash;

use crate::{
    dataset::{Sizes, Units},
    image::ImageShape,
};

/// A data set that its name alone identifies.
#[derive(Debug)]
pub struct Entry {
    /// Name in grid files, on the command line and on disk.
    pub name: &'static str,
    /// Content, for people.
    pub title: &'static str,
    /// Source and licence, in a sentence.
    pub source: &'static str,
    pub sizes: Sizes,
    pub units: Units,
    pub origin: Origin,
}

/// Where the images of a data set come from.
#[derive(Debug)]
pub enum Origin {
    /// The program draws them from a seed.
    Generated {
        /// Version of the generator, [`SYNTHETIC_VERSION`].
        version: u32,
    },
    /// Others have published them as files.
    Published(Published),
}

/// Published files.
#[derive(Debug)]
pub struct Published {
    /// The files, as [`IDX_FILES`].
    pub files: &'static [PublishedFile],
    /// Content that the digests cover.
    pub digest_of: DigestOf,
    /// Folders with the files as downloads, under their names with `.gz`; each ends in `/`.
    pub mirrors: &'static [&'static str],
    /// Folders in which other programs keep the files, below the user's data folder.
    pub folders: &'static [&'static str],
}

#[derive(Debug)]
pub struct PublishedFile {
    /// Name without `.gz`.
    pub name: &'static str,
    /// SHA-256 in hexadecimal.
    pub sha256: &'static str,
}

/// The bytes that a digest covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestOf {
    /// The uncompressed file, however it is compressed.
    Content,
    /// The `.gz` file as published. Other copies cannot be checked, so they are refused.
    Gzip,
}

/// Names of the files of MNIST, each one array: images before labels, training before test.
pub const IDX_FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Version of the generator. It is raised when the same seed gives other images.
pub const SYNTHETIC_VERSION: u32 = 1;

/// The sizes of MNIST and of all data sets that were made to take its place.
const LIKE_MNIST: Entry = Entry {
    name: "",
    title: "",
    source: "",
    sizes: Sizes {
        image: ImageShape::grey(28, 28),
        classes: 10,
        train_images: 60_000,
        test_images: 10_000,
    },
    units: Units::OF_MNIST,
    origin: Origin::Generated { version: SYNTHETIC_VERSION },
};

/// Digits drawn by swfn's own generator.
pub static SYNTHETIC: Entry = Entry {
    name: "synthetic",
    title: "synthetic digits",
    source: "Drawn by swfn itself, from a seed; nothing is downloaded.",
    ..LIKE_MNIST
};

/// Handwritten digits.
pub static MNIST: Entry = Entry {
    name: "mnist",
    title: "handwritten digits",
    source: "LeCun, Cortes and Burges 1998, from NIST's Special Databases 1 and 3; CC BY-SA 3.0.",
    origin: Origin::Published(Published {
        files: &idx_files([
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ]),
        digest_of: DigestOf::Content,
        mirrors: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        folders: &["MNIST/raw"],
    }),
    ..LIKE_MNIST
};

/// Articles of clothing.
pub static FASHION_MNIST: Entry = Entry {
    name: "fashion-mnist",
    title: "articles of clothing",
    source: "Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747; MIT licence.",
    origin: Origin::Published(Published {
        files: &idx_files([
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ]),
        digest_of: DigestOf::Gzip,
        mirrors: &[
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ],
        folders: &["FashionMNIST/raw"],
    }),
    ..LIKE_MNIST
};

/// Cursive Japanese characters.
pub static KMNIST: Entry = Entry {
    name: "kmnist",
    title: "cursive Japanese characters (Kuzushiji-MNIST)",
    source: "Clanuwat et al. 2018, arXiv 1812.01718, from the Kuzushiji Dataset of CODH; CC BY-SA 4.0.",
    origin: Origin::Published(Published {
        files: &idx_files([
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ]),
        digest_of: DigestOf::Gzip,
        mirrors: &[
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "https://huggingface.co/datasets/tanganke/kmnist/resolve/main/raw/",
        ],
        folders: &["KMNIST/raw"],
    }),
    ..LIKE_MNIST
};

/// All rows, in the order in which messages list them.
pub static CATALOGUE: [&Entry; 4] = [&SYNTHETIC, &MNIST, &FASHION_MNIST, &KMNIST];

const fn idx_files(digests: [&'static str; 4]) -> [PublishedFile; 4] {
    let [a, b, c, d] = digests;
    let [e, f, g, h] = IDX_FILES;
    [file(e, a), file(f, b), file(g, c), file(h, d)]
}

const fn file(name: &'static str, sha256: &'static str) -> PublishedFile {
    PublishedFile { name, sha256 }
}

/// Rows of one name are equal.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Entry {}

impl hash::Hash for Entry {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
