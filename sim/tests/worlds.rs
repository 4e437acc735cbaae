//! Goal: a seed is one world, worlds hold on sound code, and each planted defect is found and cut to a small file.
//! Method: draw and run worlds of all profiles; plant defects of several kinds and cut what fails.

use std::collections::BTreeSet;

use ifq_model::invariant::Invariant;
use ifq_model::revision::Defect;
use ifq_model::test::Formula;
use ifq_sim::commands::worlds::{Ran, Worlds, run_worlds};
use ifq_sim::format;
use ifq_sim::world::feature::{Feature, Part};
use ifq_sim::world::{Kernels, Profile, Strategy, World, cut};

fn world(seed: u64, profile: Profile) -> World {
    World::draw(seed, profile, &Kernels::default()).expect("there are revisions")
}

fn ran(profile: Profile, runs: u64, defects: &[Defect], jobs: usize) -> Ran {
    let kernels = Kernels { revision: None, defects: defects.to_vec() };
    run_worlds(&Worlds { seed: 1, runs, profile, kernels, jobs }, &|| true, &mut |_, _| {})
}

#[test]
fn one_seed_draws_one_valid_world_and_another_seed_another() {
    for profile in Profile::ALL {
        for seed in 0..25 {
            let first = world(seed, profile);
            format::validate(&first.test)
                .unwrap_or_else(|error| panic!("{profile} {seed}: {error}"));
            let text = format::print(&first.test);
            assert_eq!(text, format::print(&world(seed, profile).test));
            assert_ne!(text, format::print(&world(seed + 1000, profile).test));
            assert_eq!(format::parse("world", &text).unwrap(), first.test);
        }
    }
}

#[test]
fn worlds_hold_on_revisions_whose_defects_are_fixed() {
    for profile in Profile::ALL {
        let runs = if profile == Profile::Smoke { 300 } else { 8 };
        let ran = ran(profile, runs, &[], 2);
        let failed = ran.failed.map(|(world, run)| (world.seed, run.failure.unwrap().violation));
        assert_eq!(failed, None, "{profile}");
        assert!(ran.statistics.steps > 4 * ran.statistics.operations, "{:?}", ran.statistics);
    }
}

/// Goal: no planted defect needs a person who thinks of a test. Method: defects of the kernel and of user space, of
/// registration, sharing, data and teardown; the smallest file must be short and must replay.
#[test]
fn planted_defects_are_found_from_scratch_and_cut_to_at_most_twelve_operations() {
    let planted = [
        (Defect::EarlyPut, Invariant::I1),
        (Defect::P1, Invariant::I3),
        (Defect::P5, Invariant::I1),
        (Defect::P7, Invariant::I2),
        (Defect::P21, Invariant::I1),
        (Defect::M6, Invariant::I9),
        (Defect::M7, Invariant::I10),
        (Defect::M8, Invariant::I3),
    ];
    for (defect, invariant) in planted {
        let failed = ran(Profile::Smoke, 400, &[defect], 2).failed;
        let (world, run) = failed.unwrap_or_else(|| panic!("{defect} is not found"));
        let variant = &world.options.variant;
        assert!(variant.has(defect));
        let small = cut(&world, &run.failure.unwrap());
        assert_eq!(small.found.violation.invariant, invariant, "{defect}");
        let test = small.with_schedule(variant);
        assert!(test.steps().count() <= 12, "{defect}:\n{}", format::print(&test));
        assert!(small.found.replays(&test, variant), "{defect}");
        assert_eq!(format::parse("small", &format::print(&test)).unwrap(), test);
    }
}

#[test]
fn a_condition_that_does_not_hold_after_the_storm_is_a_failure() {
    let mut worlds = (1..50).map(|seed| world(seed, Profile::Smoke));
    let mut world = worlds.find(|world| !world.test.conditions.is_empty()).unwrap();
    assert_eq!(world.run().failure, None);
    let formula = world.test.conditions[0].formula.clone();
    world.test.conditions[0].formula = Formula::Not(Box::new(formula));
    let failure = world.run().failure.expect("the condition does not hold");
    assert_eq!(failure.violation.invariant, Invariant::I4);
    assert!(failure.violation.what.contains("after the storm"), "{}", failure.violation);
    let small = cut(&world, &failure);
    assert!(small.test.steps().count() < world.test.steps().count() / 2);
}

#[test]
fn all_features_schedules_and_revisions_are_drawn() {
    let (mut features, mut strategies, mut revisions) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for seed in 0..400 {
        let world = world(seed, Profile::Swarm);
        revisions.insert(world.options.variant.revision);
        features.extend(world.options.features.iter().map(|(feature, _)| *feature));
        strategies.insert(match world.options.strategy {
            Strategy::Uniform => 0,
            Strategy::Pct { .. } => 1,
            Strategy::Bounded { .. } => 2,
            Strategy::Starving { .. } => 3,
        });
    }
    assert_eq!(features.len(), Feature::ALL.len());
    assert_eq!((strategies.len(), revisions.len()), (4, 11));
    let mut careful = (0..200).map(|seed| world(seed, Profile::Default));
    let misuse =
        |world: World| world.options.features.iter().any(|(f, _)| f.part() == Part::Misuse);
    assert!(!careful.any(misuse), "the default profile has no misuse");
}

#[test]
fn the_number_of_processors_changes_nothing() {
    let (one, three) = (ran(Profile::Smoke, 60, &[], 1), ran(Profile::Smoke, 60, &[], 3));
    assert_eq!(format!("{:?}", one.statistics), format!("{:?}", three.statistics));
    let defect = [Defect::M7];
    let (one, three) = (ran(Profile::Smoke, 60, &defect, 1), ran(Profile::Smoke, 60, &defect, 3));
    let seed = |ran: &Ran| ran.failed.as_ref().map(|(world, _)| world.seed);
    assert_eq!(seed(&one), seed(&three));
    assert!(seed(&one).is_some());
}
