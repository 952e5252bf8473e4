//! A certificate that ends soon is told while there is time.

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_within_sixty_days_is_told_and_one_that_does_not_is_not() {
    for (days, soon) in [(61, false), (59, true), (-3, true)] {
        let world = World::new().await;
        let _signer = world.sign_for(days);
        let mut camera = world.shoot().await;
        let status = camera
            .until("the certificate", |status| {
                status.certificate_until.is_some()
            })
            .await;
        assert_eq!(status.certificate_ends_soon, soon, "{days}");
        camera.stop().await;
    }
}
