//! Requests that share a randomness leave estimates unbiased, and their variance grows by the sum of squares of the sizes of sessions over
//! the number of requests.

use tracelift::sampling::{Randomness, Session, Source, Threshold};

const SESSIONS: u64 = 200;
const KEYS: u32 = 1_000;

/// Requests of a session: from 1 to 40, few of them large.
fn size(session: u64) -> f64 {
    let spread = session.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    if spread < 4 { 40.0 } else { (spread % 6 + 1) as f64 }
}

#[test]
fn estimates_are_unbiased_and_their_variance_grows_as_predicted() {
    let threshold = Threshold::from_ratio(0.25).expect("a ratio");
    let (p, count) = (threshold.probability(), threshold.adjusted_count());
    let sizes: Vec<f64> = (0..SESSIONS).map(size).collect();
    let requests: f64 = sizes.iter().sum();
    let squares: f64 = sizes.iter().map(|size| size * size).sum();
    let (mut sum, mut sum_of_squares) = (0.0, 0.0);
    for key in 0..KEYS {
        let session = Session::new(Source::Header("x-session".to_owned()), &format!("secret-number-{key}"));
        let is_kept = |number: u64| {
            let value = format!("user-{number}");
            let headers = [(&b"x-session"[..], value.as_bytes())];
            threshold.keeps(Randomness::from_rv(session.randomness(&headers[..]).expect("a session")))
        };
        let kept = (0..SESSIONS).zip(&sizes).filter(|(number, _)| is_kept(*number)).map(|(_, size)| size);
        let error = kept.sum::<f64>() * count - requests;
        sum += error;
        sum_of_squares += error * error;
    }
    let (runs, alone) = (f64::from(KEYS), requests * (1.0 - p) / p);
    let variance = sum_of_squares / runs;
    let z = sum / runs / (variance / runs).sqrt();
    assert!(z.abs() < 4.0, "biased by {z} standard deviations");
    let (found, predicted) = (variance / alone, squares / requests);
    assert!(3.0 < predicted, "{predicted}");
    // The variance of so many draws has a relative standard deviation of 4.5 %.
    assert!((found / predicted - 1.0).abs() < 0.18, "found {found}, predicted {predicted}");
}
