//! Bricks of processes are kept beside the pipeline, by a thread that does not hear of flushes: what
//! one promised survives all the same.

use super::super::medium::Medium;
use super::Rng;
use super::crash::each_image;
use super::memory::Memory;
use crate::capture::{capture, mark_ended};
use crate::process::Target;
use crate::process::tests::Script;
use foundry_brick::{Brick, Payload};
use std::path::Path;

#[test]
fn a_capture_that_was_flushed_survives_power_loss_at_any_moment() {
    let mut script = Script::start();
    let target = Target::open(script.pid()).unwrap();
    let (place, beside) = (Path::new("/s/p.brick"), Path::new("/s/p.tmp"));
    let medium = Memory::default();
    // How much had been done when a flush was answered, and the generation that it promised.
    let mut promises = vec![];
    let mut number = 0;
    while script.step().is_some() {
        let captured = capture(
            &medium,
            &target,
            (place, beside),
            Payload::Reference,
            &mut crate::process::Functions::default(),
        )
        .unwrap();
        number = captured.committed.generation;
        // Several captures lie between two flushes.
        if number % 3 == 1 {
            medium.sync().unwrap();
            promises.push((medium.log_len(), number));
        }
        script.go_on();
    }
    script.end();
    mark_ended(&medium, &target, place, 77).unwrap();
    assert_eq!((number, promises.len()), (7, 3), "steps of the script");
    let mut images = 0;
    each_image(&medium.log(), &mut Rng(77), |end, image| {
        images += 1;
        let Some((_, least)) = promises.iter().rev().find(|p| p.0 <= end) else { return };
        let file = image.names.get(place).expect("the brick is gone");
        let brick = Brick::open(image.files[file].clone()).unwrap();
        assert!(*least <= brick.generation(), "{} of {least}", brick.generation());
        let wrong = brick.verify();
        assert!(wrong.iter().all(|p| p.what.starts_with("root slot")), "{wrong:?}");
    });
    assert!(100 < images, "only {images} images");
}
