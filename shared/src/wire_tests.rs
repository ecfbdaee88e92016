//! Specifications that no grid file gives.

use swfn_proto::v1;

use crate::{
    grid::{DEFAULT_MAX_TRIALS, Grid},
    trial::TrialSpec,
};

#[test]
fn what_no_grid_file_gives_is_refused_on_the_wire() {
    let text = "version = 1\nname = \"t\"\n[data]\ndataset = \"mnist\"\n[grid]\nseed = [0]\nsubset_size = 100\n\
                architecture = \"lenet+bn\"\nlambda = 0.1\npenalty_samples = 2\n";
    let spec = Grid::parse("t", text, DEFAULT_MAX_TRIALS).unwrap().trials().next().unwrap();
    let refused = |change: fn(&mut v1::TrialSpec)| {
        let mut wire = v1::TrialSpec::from(&spec);
        change(&mut wire);
        TrialSpec::try_from(wire).unwrap_err().to_string()
    };
    fn vae(wire: &mut v1::TrialSpec) -> &mut v1::Vae {
        wire.penalty.as_mut().unwrap().vae.as_mut().unwrap()
    }
    let cases = [
        (refused(|wire| wire.subset_size = 60_001), "field `spec.subset_size`: `60001` is not in 1 to 60000"),
        (refused(|wire| wire.validation = 59_901), "field `spec.validation`: `59901` is not in 0 to 59900"),
        (refused(|wire| wire.subset_size = 9), "field `classifier.batch_size`: `10` is not in 1 to 9"),
        (refused(|wire| wire.subset_size = 19), "field `vae.batch_size`: `20` is not in 1 to 19"),
        (refused(|wire| vae(wire).hidden = 16_385), "field `vae.hidden`: `16385` is not in 1 to 16384"),
        (refused(|wire| vae(wire).latent = u32::MAX), "field `vae.latent`: `4294967295` is not in 1 to 16384"),
        (
            refused(|wire| wire.classifier.as_mut().unwrap().restart_every = Some(0)),
            "field `classifier.restart_every`: `0` is not above zero",
        ),
        (
            refused(|wire| wire.penalty.as_mut().unwrap().samples = 100_001),
            "field `penalty.samples`: `100001` is not in 1 to 100000",
        ),
        (
            refused(|wire| wire.penalty.as_mut().unwrap().samples = 1),
            "field `spec.architecture`: batch norm has no variance",
        ),
        (
            refused(|wire| wire.architecture = "\u{1b}[2J".repeat(99)),
            "field `spec.architecture`: `\\u{1b}[2J\\u{1b}[2J",
        ),
    ];
    for (message, expected) in cases {
        assert!(message.starts_with(expected) && message.len() < 700, "{message}");
    }
}
