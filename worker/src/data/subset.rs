//! Small random subsets of a training set. They are drawn by own arithmetic on the generator's
//! words, so that the images of a seed do not depend on the version of a library.

use rand::Rng;
use swfn_shared::{problem, problem::Problem};

/// Draws `n` different indices of 0..`len`, uniformly and in random order: the first `n` steps of a
/// Fisher-Yates shuffle (Durstenfeld 1964). Uses 64-bit words of `rng` only, one for each index and
/// rarely more.
pub(crate) fn subset(len: usize, n: usize, rng: &mut impl Rng) -> Result<Vec<usize>, Problem> {
    if n > len {
        return Err(problem!(
            "a subset of `{n}` images was asked for, but there are `{len}`"; "choose at most {len}"
        ));
    }
    let mut indices: Vec<usize> = (0..len).collect();
    for i in 0..n {
        let other = i + below((len - i) as u64, rng) as usize;
        indices.swap(i, other);
    }
    indices.truncate(n);
    Ok(indices)
}

/// Draws `n` different indices in random order, equally many of each class: `n / classes`, and one
/// more of `n % classes` random classes. Classes without any image do not count. `labels`: the
/// class of each image.
pub(crate) fn balanced_subset(
    labels: &[u8],
    classes: usize,
    n: usize,
    rng: &mut impl Rng,
) -> Result<Vec<usize>, Problem> {
    let mut counts = vec![0; classes];
    labels.iter().for_each(|label| counts[usize::from(*label)] += 1);
    let present: Vec<_> = (0..classes).filter(|class| counts[*class] > 0).collect();
    let share = n.checked_div(present.len()).unwrap_or(0);
    let mut wanted = vec![0; classes];
    present.iter().for_each(|class| wanted[*class] = share);
    let extra = subset(present.len(), n - share * present.len(), rng)?;
    extra.iter().for_each(|class| wanted[present[*class]] += 1);
    if let Some(class) = (0..classes).find(|class| counts[*class] < wanted[*class]) {
        let hint = match counts[class] {
            0 => "leave that class out of the files",
            _ => "choose a smaller subset",
        };
        return Err(problem!(
            "a balanced subset needs `{}` images of class `{class}`, but there are {}",
            wanted[class], counts[class];
            "{hint}, or sampling = \"uniform\""
        ));
    }
    let mut indices = subset(labels.len(), labels.len(), rng)?;
    indices.retain(|index| {
        let left = &mut wanted[usize::from(labels[*index])];
        let taken = *left > 0;
        *left -= usize::from(taken);
        taken
    });
    Ok(indices)
}

/// Draws uniformly from 0..`bound`. Words beyond the largest multiple of `bound` are drawn again,
/// so that there is no bias.
fn below(bound: u64, rng: &mut impl Rng) -> u64 {
    let excess = (u64::MAX % bound + 1) % bound;
    loop {
        let word = rng.next_u64();
        if word <= u64::MAX - excess {
            return word % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_seed_selects_the_same_images_for_ever() {
        // Computed by a separate implementation of ChaCha8 and of the shuffle in Python.
        let mut rng = ChaCha8Rng::from_seed([7; 32]);
        assert_eq!(subset(60_000, 5, &mut rng).unwrap(), [3076, 20863, 54861, 39957, 4837]);
    }

    #[test]
    fn indices_are_different_and_within_range() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut all = subset(1000, 1000, &mut rng).unwrap();
        assert_ne!(all, (0..1000).collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert!(subset(10, 0, &mut rng).unwrap().is_empty());
        let error = subset(10, 11, &mut rng).unwrap_err().to_string();
        assert_eq!(
            error,
            "a subset of `11` images was asked for, but there are `10`\nhint: choose at most 10"
        );
    }

    #[test]
    fn balanced_subsets_have_as_many_of_each_class() {
        let labels: Vec<u8> =
            (0..900).map(|index| if index < 600 { 0 } else { (index % 3) as u8 }).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let drawn = balanced_subset(&labels, 3, 29, &mut rng).unwrap();
        let count = |class: u8| drawn.iter().filter(|index| labels[**index] == class).count();
        let mut counts = [count(0), count(1), count(2)];
        counts.sort_unstable();
        assert_eq!(counts, [9, 10, 10]);
        assert_eq!(drawn.iter().collect::<std::collections::HashSet<_>>().len(), 29);
        let error = balanced_subset(&labels, 3, 330, &mut rng).unwrap_err().to_string();
        assert!(error.contains("`110` images of class `1`") && error.contains("hint:"), "{error}");
    }

    #[test]
    fn balanced_subsets_skip_classes_without_images() {
        let from_one: Vec<u8> = (0..50).map(|index| 1 + index % 5).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let drawn = balanced_subset(&from_one, 6, 20, &mut rng).unwrap();
        for class in 1..=5 {
            assert_eq!(drawn.iter().filter(|index| from_one[**index] == class).count(), 4);
        }
        assert!(balanced_subset(&[], 6, 1, &mut rng).is_err());
    }

    /// Each index is in a subset of 3 of 10 with probability 0.3. Over 20,000 subsets the count has
    /// a standard deviation of 65; 6 of them never happen by chance, and the seed is fixed anyway.
    #[test]
    fn every_index_is_equally_likely() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut counts = [0i32; 10];
        for _ in 0..20_000 {
            for index in subset(10, 3, &mut rng).unwrap() {
                counts[index] += 1;
            }
        }
        assert!(counts.iter().all(|count| (count - 6000).abs() < 390), "{counts:?}");
    }
}
