import torch

from coral_core.zoo.portraits.domain import sample
from coral_core.zoo.recipes.identity import PERSON_ATTRIBUTES, render_views, verification_auc, view_of


def test_a_view_has_the_face_of_the_person_and_everything_else_of_the_setting() -> None:
    person, setting = sample(1), sample(2)
    view = view_of(person, setting)
    for name, value in view.attributes.items():
        assert value == (person if name in PERSON_ATTRIBUTES else setting).attributes[name]
    assert (view.nuisance.width, view.nuisance.eye_spacing) == (person.nuisance.width, person.nuisance.eye_spacing)
    assert (view.nuisance.x, view.nuisance.tilt) == (setting.nuisance.x, setting.nuisance.tilt)


def test_views_of_a_person_differ() -> None:
    views = render_views(5)
    assert views.shape[1:] == (64, 64, 3)
    assert all((views[i] != views[j]).any() for i in range(len(views)) for j in range(i))


def test_verification_auc_is_one_when_pairs_are_apart_and_half_when_they_are_alike() -> None:
    assert verification_auc(torch.eye(6)) == 1.0
    torch.manual_seed(0)
    assert abs(verification_auc(torch.rand(200, 200)) - 0.5) < 0.1
