//! Ids of trials, cells, subsets and VAEs as earlier programs made them: results and files of
//! theirs are found by these ids.

use super::tests::parse;

/// Grids that vary every section, with the number of the trials that are taken from each.
const GRIDS: [(usize, &str); 9] = [
    (
        192,
        "[data]\ndataset = \"mnist\"\n[grid]\nseed = { start = 3, count = 2 }\nsubset_size = [100, 3000]\n\
         architecture = [\"net\", \"net+dropout\", \"lenet\", \"lenet+bn\"]\nlambda = [0, 0.1, 1e-7, 12345.678]\n\
         weight_decay = [0, 5e-4, 0.25]\n",
    ),
    (
        84,
        "[data]\ndataset = \"fashion-mnist\"\nsampling = \"balanced\"\nvalidation = 1000\n[grid]\nseed = [0, 9223372036854775806]\n\
         subset_size = 500\narchitecture = \"lenet\"\nlambda = [0, 0.01]\nlearning_rate = { log10 = [-3, 0], count = 7 }\n\
         density = [\"vae\", \"conv-vae\", \"data\", \"uniform-noise\", \"gaussian-noise\"]\npenalty_samples = [1, 20]\n",
    ),
    (
        40,
        "[data]\ndataset = \"kmnist\"\n[grid]\nseed = { count = 5 }\nsubset_size = 1000\narchitecture = [\"net\", \"lenet+bn\"]\n\
         lambda = { log10 = [-3, 1], count = 5 }\n[classifier]\niterations = 20_000\nbatch_size = 25\nmomentum = 0.9\ndropout = 0.25\n\
         evaluate_every = 2_500\nbatch_norm_scale = \"ones\"\nprecision = \"tf32\"\n[penalty]\nunits = \"normalised\"\n\
         batch_norm = \"eval\"\n",
    ),
    (
        24,
        "[data]\ndataset = \"synthetic\"\nseed = 7\n[grid]\nseed = { count = 4 }\nsubset_size = [100, 300]\n\
         architecture = \"net+dropout\"\nlambda = [0, 0.3]\ndensity = [\"vae\", \"conv-vae\"]\n[vae]\niterations = 500\nbatch_size = 50\n\
         learning_rate = 3e-4\nhidden = 64\nlatent = 10\nlatent_statistics = \"subset\"\nspread = 1.5\n[penalty]\n\
         batch_norm = \"train-no-update\"\n",
    ),
    (
        30,
        "[data]\ndataset = \"synthetic\"\n[grid]\nseed = { count = 5 }\nsubset_size = 200\narchitecture = [\"net\", \"lenet\"]\n\
         lambda = [0, 0.1, 1]\n[classifier]\nepochs = \"restart\"\nrestart_every = 300\n",
    ),
    (
        30,
        "[data]\ndataset = \"synthetic\"\n[grid]\nseed = { count = 5 }\nsubset_size = 200\narchitecture = [\"net\", \"lenet\"]\n\
         lambda = [0, 0.1, 1]\n[classifier]\nepochs = \"restart\"\nrestart_every = 1000\n",
    ),
    (
        40,
        "[data]\ndataset = \"idx\"\ndigest = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"\nheight = 32\n\
         width = 64\nclasses = 26\ntrain_images = 300\ntest_images = 60\nvalidation = 20\nsampling = \"balanced\"\n[grid]\n\
         seed = { count = 5 }\nsubset_size = [50, 100]\narchitecture = [\"net\", \"lenet+bn\"]\nlambda = [0, 0.1]\n",
    ),
    (
        30,
        "[data]\ndataset = \"mnist\"\n[grid]\nseed = { count = 10 }\nsubset_size = 60\narchitecture = \"lenet\"\n[[zip]]\n\
         lambda = [0, 0.1, 2]\nweight_decay = [5e-4, 0, 1e-3]\n",
    ),
    (
        30,
        "[data]\ndataset = \"mnist\"\nvalidation = 5\n[grid]\nseed = { count = 3 }\nsubset_size = 60\narchitecture = \"net\"\n\
         lambda = [0, 0.1]\n[[include]]\nlambda = 1\nlearning_rate = [0.1, 0.2, 0.3]\npenalty_samples = 100000\n[[exclude]]\n\
         lambda = 0.1\nseed = 1\n[[include]]\narchitecture = [\"net+dropout\", \"lenet+bn\"]\nweight_decay = [0.1, 1e-300]\n",
    ),
];

#[test]
fn ids_are_those_of_earlier_programs() {
    let mut lines = String::new();
    for (number, (count, sections)) in GRIDS.iter().enumerate() {
        let grid = parse(&format!("version = 1\nname = \"ids\"\n{sections}")).unwrap();
        for spec in grid.trials().take(*count) {
            let vae = spec.vae().map_or("-".to_owned(), |vae| vae.to_string());
            lines += &format!("{number} {} {} {} {vae}\n", spec.id(), spec.cell(), spec.subset());
        }
    }
    let known = include_str!("../fixtures/ids.txt");
    assert_eq!(known.lines().count(), 500);
    let changed = known.lines().zip(lines.lines()).find(|(known, now)| known != now);
    assert_eq!((changed, lines.len()), (None, known.len()), "grid, trial, cell, subset, VAE");
}
