//! Tests of paired differences, and sizes of effects. Unknown numbers are `None`, never a NaN.

use statrs::{
    distribution::{ContinuousCDF as _, Normal, StudentsT},
    function::gamma::ln_gamma,
    statistics::Statistics as _,
};

/// The most differences for which Wilcoxon's test is exact, as in scipy.
const MOST_EXACT: usize = 50;

/// The difference of two accuracies, rounded to 12 digits, so that equal differences are equal
/// numbers.
pub(crate) fn difference(a: f64, b: f64) -> f64 {
    const DIGITS: f64 = 1e12;
    // Adding zero turns -0.0 into 0.0.
    ((a - b) * DIGITS).round() / DIGITS + 0.0
}

/// The standard deviation; `None` for fewer than two values, and for equal ones.
fn spread(values: &[f64]) -> Option<f64> {
    let first = values.first()?;
    values.iter().any(|value| value != first).then(|| values.std_dev())
}

/// The two-sided paired t test of the hypothesis that the mean difference is `mean`.
///
/// The test in statrs subtracts from 1, so it loses p-values below 1e-10.
pub(crate) fn t_test(differences: &[f64], mean: f64) -> Option<f64> {
    let error = spread(differences)? / (differences.len() as f64).sqrt();
    let t = (differences.mean() - mean) / error;
    let distribution = StudentsT::new(0.0, 1.0, (differences.len() - 1) as f64).ok()?;
    known((2.0 * distribution.sf(t.abs())).min(1.0))
}

/// The two-sided signed-rank test (Wilcoxon 1945) of the hypothesis that differences are symmetric
/// about zero.
///
/// Zeros are dropped, and equal differences share their ranks. Up to 50 differences the test is
/// exact: without ties as scipy's `exact`, with ties as its `PermutationMethod`. Beyond, a normal
/// approximation corrects for ties, not for continuity. Returns the p-value and the method's name.
pub(crate) fn wilcoxon(differences: &[f64]) -> Option<(f64, &'static str)> {
    let mut values: Vec<f64> = differences.iter().copied().filter(|value| *value != 0.0).collect();
    if differences.len() < 2 || values.is_empty() {
        return None;
    }
    values.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    // Twice the ranks, which are whole numbers: differences that share the ranks i + 1 to j have
    // their mean.
    let (mut ranks, mut ties) = (Vec::new(), 0.0);
    for group in values.chunk_by(|a, b| a.abs() == b.abs()) {
        let (before, count) = (ranks.len(), group.len());
        ranks.extend(std::iter::repeat_n(2 * before + count + 1, count));
        ties += (count as f64).powi(3) - count as f64;
    }
    let positive =
        values.iter().zip(&ranks).filter(|(value, _)| **value > 0.0).map(|(_, rank)| *rank).sum();
    let (p, method) = match values.len() {
        n if n <= MOST_EXACT => (exact(&ranks, positive), "exact"),
        n => (normal(n as f64, ties, positive as f64 / 2.0), "normal-approximation"),
    };
    Some((known(p.min(1.0))?, method))
}

/// Twice the share of all 2^n assignments of signs whose positive ranks have at most, or at least,
/// that sum.
fn exact(ranks: &[usize], positive: usize) -> f64 {
    let total: usize = ranks.iter().sum();
    // Whole numbers up to 2^50, so all sums are exact.
    let mut ways = vec![0.0; total + 1];
    ways[0] = 1.0;
    for rank in ranks {
        for sum in (*rank..=total).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let (below, above): (f64, f64) =
        (ways[..=positive].iter().sum(), ways[positive..].iter().sum());
    2.0 * below.min(above) / 2f64.powi(ranks.len() as i32)
}

fn normal(n: f64, ties: f64, positive: f64) -> f64 {
    let mean = n * (n + 1.0) / 4.0;
    let deviation = ((n * (n + 1.0) * (2.0 * n + 1.0) - ties / 2.0) / 24.0).sqrt();
    2.0 * Normal::standard().sf((positive - mean).abs() / deviation)
}

/// The mean difference in standard deviations of the differences: Cohen's d_z.
pub(crate) fn cohens_d(differences: &[f64]) -> Option<f64> {
    known(differences.mean() / spread(differences)?)
}

/// Cohen's d without its bias for small n (Hedges 1981, exact factor); `None` for two differences.
pub(crate) fn hedges_g(differences: &[f64]) -> Option<f64> {
    let freedom = differences.len().checked_sub(1).filter(|freedom| *freedom > 1)? as f64;
    let factor =
        (ln_gamma(freedom / 2.0) - ln_gamma((freedom - 1.0) / 2.0)).exp() / (freedom / 2.0).sqrt();
    known(cohens_d(differences)? * factor)
}

/// The p-values of one family after Holm's correction (Holm 1979). Unknown ones are no members.
///
/// It keeps the chance of any false alarm in the family at that of a single test.
pub(crate) fn holm(family: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> =
        family.iter().enumerate().filter_map(|(at, p)| Some((at, (*p)?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (mut corrected, mut largest) = (vec![None; family.len()], 0.0f64);
    for (before, (at, p)) in order.iter().enumerate() {
        largest = largest.max((order.len() - before) as f64 * p).min(1.0);
        corrected[*at] = Some(largest);
    }
    corrected
}

/// Seeds with which a two-sided paired t test at this level has a power of 80 %; `None` beyond
/// [`MOST_SEEDS`]. `effect` is the mean difference in standard deviations.
pub(crate) fn seeds_needed(effect: f64, level: f64) -> Option<usize> {
    let enough = |n: usize| power(n, effect.abs(), level) >= 0.8;
    let (mut short, mut long) = (1, MOST_SEEDS);
    if !enough(long) {
        return None;
    }
    while long - short > 1 {
        let middle = short.midpoint(long);
        if enough(middle) { long = middle } else { short = middle }
    }
    Some(long)
}

/// The most seeds of a study that is within reach.
const MOST_SEEDS: usize = 100_000;

/// The power of that test: the probability that Student's t with this shift exceeds its bounds.
///
/// statrs has no noncentral t, so this sums the normal probability over the distribution of the
/// standard deviation.
fn power(n: usize, effect: f64, level: f64) -> f64 {
    const PARTS: usize = 400;
    let freedom = (n - 1) as f64;
    let Ok(t) = StudentsT::new(0.0, 1.0, freedom) else { return 0.0 };
    let (bound, shift, normal) =
        (t.inverse_cdf(1.0 - level / 2.0), effect * (n as f64).sqrt(), Normal::standard());
    let constant = 2f64.ln() + freedom / 2.0 * (freedom / 2.0).ln() - ln_gamma(freedom / 2.0);
    let width = 8.0 / (2.0 * freedom).sqrt();
    let from = (1.0 - width).max(0.0);
    let step = (1.0 + width - from) / PARTS as f64;
    let part = |place: usize| {
        let deviation = from + (place as f64 + 0.5) * step;
        let density = (constant + (freedom - 1.0) * deviation.ln()
            - freedom * deviation * deviation / 2.0)
            .exp();
        density
            * (normal.cdf(shift - bound * deviation) + normal.cdf(-shift - bound * deviation))
            * step
    };
    (0..PARTS).map(part).sum()
}

fn known(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
