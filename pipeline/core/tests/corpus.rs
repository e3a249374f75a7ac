//! The synthetic clips: what a person or a gate would notice in their pictures and sounds.

use counterpoint_core::corpus::{ClipFormat, ClipScript, Fault, ToyClass};
use counterpoint_messages::ContentHash;

fn script(class: ToyClass, seed: u64) -> ClipScript {
    ClipScript { picture: class, sound: class, fault: None, seed, format: ClipFormat::default() }
}

fn faulty(fault: Fault) -> ClipScript {
    ClipScript { fault: Some(fault), ..script(ToyClass::Bird, 3) }
}

fn small(script: ClipScript) -> ClipScript {
    ClipScript {
        format: ClipFormat { size: 56, frame_rate: 2, seconds: 4, ..ClipFormat::default() },
        ..script
    }
}

/// Mean absolute difference of two frames, of full scale.
fn difference(one: &[u8], other: &[u8]) -> f64 {
    let sum: u64 = one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / one.len() as f64 / 255.0
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}

#[test]
fn frames_and_samples_have_the_promised_size() {
    let clip = script(ToyClass::Clock, 1);
    assert_eq!((clip.width(), clip.height(), clip.frame_rate(), clip.frame_count()), (168, 168, 15, 150));
    assert_eq!(clip.frame(149).len(), 168 * 168 * 3);
    assert_eq!(clip.pcm().len(), 10 * clip.sample_rate() as usize);
    let clip = small(clip);
    assert_eq!((clip.frame_count(), clip.frame(0).len()), (8, 56 * 56 * 3));
}

#[test]
fn a_format_of_zeros_gives_nothing_and_harms_nobody() {
    let format = ClipFormat { size: 0, frame_rate: 0, seconds: 0, sample_rate: 0, ..ClipFormat::default() };
    for class in ToyClass::ALL {
        let clip = ClipScript { format: format.clone(), ..script(class, 1) };
        assert!(clip.frame(0).is_empty() && clip.pcm().is_empty());
    }
}

#[test]
fn a_script_always_gives_the_same_bytes_and_another_seed_gives_others() {
    let clip = |seed| small(script(ToyClass::Singing, seed));
    assert_eq!(clip(1).frame(3), clip(1).frame(3));
    assert_eq!(clip(1).pcm(), clip(1).pcm());
    assert_ne!(clip(1).frame(3), clip(2).frame(3));
    assert_ne!(clip(1).pcm(), clip(2).pcm());
}

#[test]
fn the_picture_does_not_depend_on_the_sound() {
    let wrong = ClipScript { sound: ToyClass::Waterfall, ..script(ToyClass::Bird, 3) };
    assert_eq!(wrong.frame(20), script(ToyClass::Bird, 3).frame(20));
    assert_ne!(wrong.pcm(), script(ToyClass::Bird, 3).pcm());
}

#[test]
fn every_class_looks_and_sounds_different() {
    let looks: Vec<Vec<u8>> = ToyClass::ALL.iter().map(|class| small(script(*class, 5)).frame(0)).collect();
    let sounds: Vec<ContentHash> = ToyClass::ALL
        .iter()
        .map(|class| small(script(*class, 5)).pcm())
        .map(|pcm| ContentHash::of(&pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>()))
        .collect();
    for one in 0..8 {
        for other in 0..one {
            assert!(difference(&looks[one], &looks[other]) > 0.005, "{one} and {other} look alike");
            assert_ne!(sounds[one], sounds[other]);
        }
    }
}

#[test]
fn pictures_move_and_sounds_are_heard_without_clipping_for_long() {
    for class in ToyClass::ALL {
        for seed in 0..3 {
            let clip = script(class, seed);
            assert!(difference(&clip.frame(10), &clip.frame(11)) > 0.005, "{class:?} {seed} stands still");
            let pcm = clip.pcm();
            assert!(power(&pcm) > 0.03_f32.powi(2), "{class:?} {seed} is too quiet");
            assert!(pcm.iter().all(|sample| (-1.0..=1.0).contains(sample)));
            let clipped = pcm.iter().filter(|sample| sample.abs() >= 1.0).count();
            assert!(clipped * 100 < pcm.len(), "{class:?} {seed} clips {clipped} samples");
            let windows = pcm.chunks(clip.sample_rate() as usize / 10);
            assert!(
                windows.into_iter().all(|window| power(window) > 0.001_f32.powi(2)),
                "{class:?} falls silent"
            );
        }
    }
}

#[test]
fn picture_and_sound_change_together_at_three_to_five_moments() {
    for seed in 0..20 {
        let clip = script(ToyClass::SingingBowl, seed);
        let moments = clip.moments();
        assert!((3..=5).contains(&moments.len()));
        assert!(moments.windows(2).all(|pair| pair[1] - pair[0] > 0.9), "{moments:?}");
        assert!(moments.iter().all(|moment| (0.3..9.7).contains(moment)), "{moments:?}");
        let (rate, pcm) = (clip.sample_rate() as f32, clip.pcm());
        for moment in moments {
            let frame = (moment * clip.frame_rate() as f32).floor() as u32;
            let jump = difference(&clip.frame(frame), &clip.frame(frame + 1));
            let usual = difference(&clip.frame(frame - 1), &clip.frame(frame));
            assert!(jump > 1.5 * usual, "picture of {seed} at {moment}: {jump} against {usual}");
            let sample = (moment * rate) as usize;
            let tenth = rate as usize / 10;
            let (before, after) = (power(&pcm[sample - tenth..sample]), power(&pcm[sample..sample + tenth]));
            assert!(after > 1.5 * before, "sound of {seed} at {moment}: {after} against {before}");
        }
    }
}

#[test]
fn each_fault_is_what_it_says() {
    assert!(faulty(Fault::Silent).pcm().iter().all(|sample| *sample == 0.0));
    assert!(faulty(Fault::Black).frame(7).iter().all(|level| *level == 0));
    assert_eq!(faulty(Fault::Static).frame(7), faulty(Fault::Static).frame(90));
    for fault in [Fault::Black, Fault::Static] {
        assert_eq!(faulty(fault).pcm(), script(ToyClass::Bird, 3).pcm());
    }
    assert_eq!(faulty(Fault::Silent).frame(7), script(ToyClass::Bird, 3).frame(7));
}

#[test]
fn a_script_is_read_back_from_json_and_unknown_keys_are_refused() {
    let clip = faulty(Fault::WrongSound);
    let json = serde_json::to_string(&clip).unwrap();
    assert_eq!(serde_json::from_str::<ClipScript>(&json).unwrap(), clip);
    assert!(serde_json::from_str::<ClipScript>(&json.replace("\"seed\"", "\"sead\"")).is_err());
}
