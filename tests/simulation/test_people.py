from statistics import mean

from fedtune3d.simulation.people import draw_person, draw_person_of_anatomy
from fedtune3d.simulation.site_effects import draw_site_effects

(SITE,) = draw_site_effects(1, seed=0)
NAMES = [f"sub-{number:03d}" for number in range(200)]


def test_the_impaired_have_larger_ventricles_smaller_hippocampi_and_thinner_cortex() -> None:
    healthy, impaired = ([draw_person(label, SITE, 1, "site-A", name) for name in NAMES] for label in ("CN", "AD"))
    for quantity in ("ventricle_shift_mm", "hippocampus_shift_mm", "thinning"):
        of_healthy, of_impaired = ([getattr(one, quantity) for one in people] for people in (healthy, impaired))
        assert mean(of_healthy) < mean(of_impaired), quantity
        assert max(of_healthy) > min(of_impaired), quantity  # they overlap: nothing tells everyone apart
    assert all(55 <= person.age <= 95 for person in healthy + impaired)


def test_a_person_follows_from_seed_site_and_name() -> None:
    person = draw_person("CN", SITE, 1, "site-A", "sub-001")
    assert person == draw_person("CN", SITE, 1, "site-A", "sub-001")
    others = [(2, "site-A", "sub-001"), (1, "site-B", "sub-001"), (1, "site-A", "sub-002")]
    assert all(draw_person("CN", SITE, *other) != person for other in others)


def test_a_real_anatomy_is_one_person_at_every_site() -> None:
    person = draw_person_of_anatomy("AD", 1, "anatomy-0")
    assert person == draw_person_of_anatomy("AD", 1, "anatomy-0")
    assert (person.ventricle_shift_mm, person.hippocampus_shift_mm, person.thinning) == (0, 0, 0)
