import pytest
import torch
from tiny_judge import TinyJudge

from colorgan.color import quantize
from colorgan.metrics import FrechetDistance, KernelDistance
from colorgan.metrics.features import FeatureStore


def test_photos_seen_before_do_not_go_through_the_judge_again(tiny_judge, crops, measure):
    fake, rgb = crops
    metric = KernelDistance()
    first = measure(metric, fake, rgb)
    metric.update(fake[:3], rgb[:3])  # an interrupted validation leaves nothing behind
    tiny_judge.seen.clear()
    assert measure(metric, fake, rgb, batch_size=35) == first
    assert tiny_judge.seen == [35, 35]  # pictures only
    assert measure(metric, fake * 0.5, rgb) != pytest.approx(first, rel=0.1)


def test_only_new_photos_of_a_batch_go_through_the_judge(photos):
    judge = TinyJudge()
    judge.of_photos(photos[:3])
    features = judge.of_photos(photos)
    assert judge.seen == [3, 4]
    torch.testing.assert_close(features, quantize(photos).mean(dim=(2, 3)))


def test_equal_photos_in_a_batch_go_through_the_judge_once(photos):
    judge = TinyJudge()
    features = judge.of_photos(photos[[0, 1, 0, 0]])
    assert judge.seen == [2]
    torch.testing.assert_close(features, quantize(photos)[[0, 1, 0, 0]].mean(dim=(2, 3)))


def test_two_metrics_with_one_judge_run_it_once_a_batch_of_pictures(tiny_judge, crops):
    fake, rgb = crops
    first, second = KernelDistance(), FrechetDistance()
    for a, b in zip(fake.split(35), rgb.split(35), strict=True):
        first.update(a, b)
        second.update(a, b)
    assert tiny_judge.seen == [35, 35, 35, 35]  # pictures, photos, pictures, photos
    assert torch.equal(first.sets()[0], second.sets()[0])


def test_pictures_of_another_batch_are_not_mistaken_for_the_last(photos):
    judge = TinyJudge()
    judge.of_pictures(photos)
    torch.testing.assert_close(judge.of_pictures(photos.flip(0)), quantize(photos).flip(0).mean(dim=(2, 3)))
    torch.testing.assert_close(judge.of_pictures(photos / 2), quantize(photos / 2).mean(dim=(2, 3)))


def test_photos_of_equal_bytes_and_different_shape_are_two_photos(photos):
    judge = TinyJudge(grid=2)
    turned = photos[:1].reshape(1, 3, 32, 128)
    square, wide = judge.of_photos(photos[:1]), judge.of_photos(turned)
    torch.testing.assert_close(wide, judge(quantize(turned)))
    assert not torch.allclose(square, wide)


def test_the_judge_stays_in_eval_mode(tiny_judge):
    metric = KernelDistance()
    metric.train()
    assert not any(module.training for module in metric.features.modules())


def test_a_store_survives_reopening(photos, tmp_path):
    path = tmp_path / "cache" / "features.sqlite"
    first = TinyJudge()
    first.store = FeatureStore(path)
    features = first.of_photos(photos[:5])
    again = TinyJudge()
    again.store = FeatureStore(path)
    assert torch.equal(again.of_photos(photos[:5]), features)
    assert again.seen == []
    again.of_photos(photos)
    assert again.seen == [2]


def test_a_store_is_shared_by_two_that_have_it_open(photos, tmp_path):
    judges = [TinyJudge(), TinyJudge()]
    for judge in judges:
        judge.store = FeatureStore(tmp_path / "features.sqlite")
    features = [judge.of_photos(photos) for judge in judges]
    assert torch.equal(*features)
    assert [judge.seen for judge in judges] == [[7], []]


@pytest.mark.parametrize("other", [TinyJudge(grid=2), TinyJudge(name="other")], ids=["preparation", "name"])
def test_a_store_keeps_networks_apart(other, photos, tmp_path):
    first = TinyJudge()
    first.store = other.store = FeatureStore(tmp_path / "features.sqlite")
    first.of_photos(photos)
    other.of_photos(photos)
    assert (first.seen, other.seen) == ([7], [7])


def test_a_store_keeps_weights_apart(tmp_path):
    store = FeatureStore(tmp_path / "features.sqlite")
    network = {"feature_network": "tiny", "weights": "0", "preparation": "none"}
    store.write(network, {b"photo": torch.arange(3.0)})
    assert torch.equal(store.read(network, [b"photo", b"unknown"])[b"photo"], torch.arange(3.0))
    assert store.read({**network, "weights": "1"}, [b"photo"]) == {}
