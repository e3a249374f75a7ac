use std::collections::BTreeMap;

/// Lower and upper end of a 95 % interval.
pub type Interval = [f64; 2];

/// Two-sided 95 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// 95 % interval of a share, from observations in clusters; `[0, 1]` without any.
///
/// The variance is the cluster-robust one (Liang and Zeger 1986, with the factor G / (G - 1); for evaluations of
/// language models: Miller, arXiv 2411.00640, section 2.2). It becomes an effective number of observations, at most
/// the real one, for Wilson's score interval (Korn and Graubard 1998; Dean and Pagano 2015), which keeps inside 0
/// to 1 and has a width where every observation is alike. There, and with one cluster, where no variance can be
/// seen, every cluster counts as one observation.
pub fn interval<'a>(observations: impl IntoIterator<Item = (&'a str, bool)>) -> Interval {
    let mut clusters: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (cluster, is_right) in observations {
        let (count, right) = clusters.entry(cluster).or_default();
        *count += 1.0;
        *right += f64::from(u8::from(is_right));
    }
    let groups = clusters.len() as f64;
    let (count, right) = clusters.values().fold((0.0, 0.0), |(n, k), (count, right)| (n + count, k + right));
    if count == 0.0 {
        return [0.0, 1.0];
    }
    let share = right / count;
    let residuals = clusters.values().map(|(count, right)| (right - count * share).powi(2));
    let variance = residuals.sum::<f64>() / count.powi(2) * groups / (groups - 1.0).max(1.0);
    let effective = if variance > 0.0 && groups > 1.0 {
        (share * (1.0 - share) / variance).min(count).max(1.0)
    } else {
        groups
    };
    wilson(share, effective)
}

/// Wilson's score interval (1927) of a share among so many independent observations, above 0.
pub fn wilson(share: f64, count: f64) -> Interval {
    let z2 = Z * Z;
    let middle = (share + z2 / (2.0 * count)) / (1.0 + z2 / count);
    let half = Z / (1.0 + z2 / count) * (share * (1.0 - share) / count + z2 / (4.0 * count * count)).sqrt();
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}
