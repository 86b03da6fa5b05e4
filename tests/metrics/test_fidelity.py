import math

import lpips
import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from colorgan.metrics import CIEDE2000, LPIPS, PSNR, SSIM, ChromaPSNR


def channels_last(image):
    return image.movedim(0, -1).double().numpy()


@pytest.mark.parametrize(("metric", "perfect"), [(PSNR, 100), (ChromaPSNR, 100), (SSIM, 1), (CIEDE2000, 0)])
def test_equal_pictures_get_the_perfect_value(metric, perfect, photos, measure):
    assert measure(metric(), photos, photos) == pytest.approx(perfect, abs=1e-6)  # float32 sums of SSIM


def test_psnr_of_one_level_everywhere_is_48_13_db(measure):
    levels = torch.arange(0, 254).float().view(1, 1, 2, 127).expand(1, 3, 2, 127) / 255
    assert measure(PSNR(), levels + 1 / 255, levels) == pytest.approx(20 * math.log10(255), abs=1e-3)
    assert 20 * math.log10(255) == pytest.approx(48.13, abs=0.005)


def test_psnr_of_one_level_below_black_and_white_borders_never_wraps(measure):
    """In uint8 arithmetic 0 - 1 would be an error of 255 levels."""
    dark, light = torch.full((1, 3, 4, 4), 0.0), torch.full((1, 3, 4, 4), 1 / 255)
    assert measure(PSNR(), dark, light) == pytest.approx(48.1308, abs=1e-3)
    assert measure(PSNR(), light, dark) == pytest.approx(48.1308, abs=1e-3)


def test_psnr_is_averaged_over_pictures_not_over_pixels(measure):
    real = torch.full((2, 3, 4, 4), 100 / 255)
    fake = torch.cat([real[:1] + 1 / 255, real[1:] + 10 / 255])
    assert measure(PSNR(), fake, real) == pytest.approx(20 * math.log10(255) - 10, abs=1e-3)


def test_pictures_are_rounded_to_eight_bits_before_they_are_compared(measure):
    real = torch.full((1, 3, 16, 16), 100 / 255)
    for metric, perfect in ((PSNR, 100), (ChromaPSNR, 100), (SSIM, 1), (CIEDE2000, 0)):
        assert measure(metric(), real + 0.4 / 255, real) == pytest.approx(perfect, abs=1e-6)


def test_chroma_psnr_is_that_of_cb_and_cr_of_t871(with_chroma, photos, measure):
    """ITU-T T.871: Cb = -.1687 R - .3313 G + .5 B, Cr = .5 R - .4187 G - .0813 B; the offset cancels."""
    fake = with_chroma(0.5)
    rows = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    error = np.einsum("kc,nchw->nkhw", rows, (fake - photos).double().numpy())
    expected = np.mean(-10 * np.log10(np.square(error).mean(axis=(1, 2, 3))))
    assert measure(ChromaPSNR(), fake, photos) == pytest.approx(expected, abs=1e-3)  # six digits of T.871


def test_chroma_psnr_is_blind_to_luma_where_psnr_is_not(photos, measure):
    inside = 0.25 + 0.5 * (255 * photos).round() / 255
    levels = (255 * inside).round() / 255
    brighter = levels + 40 / 255
    assert measure(ChromaPSNR(), brighter, levels) == 100
    assert measure(PSNR(), brighter, levels) == pytest.approx(20 * math.log10(255 / 40), abs=1e-3)


def test_ssim_equals_that_of_scikit_image(with_chroma, photos, measure):
    """Its map without the border of half a window: there it pads, and no window of ours reaches."""
    fake = with_chroma(0.3)
    expected = []
    for a, b in zip(fake, photos, strict=True):
        _, similarity = structural_similarity(
            channels_last(a),
            channels_last(b),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1,
            data_range=1,
            full=True,
        )
        expected.append(similarity[5:-5, 5:-5].mean())
    assert np.mean(expected) < 0.99
    assert measure(SSIM(), fake, photos) == pytest.approx(np.mean(expected), abs=1e-5)  # ours is in float32


def test_ssim_refuses_pictures_smaller_than_its_window(measure):
    with pytest.raises(ValueError, match="SSIM needs pictures of at least 11 px, got 10x32"):
        measure(SSIM(), torch.rand(1, 3, 10, 32), torch.rand(1, 3, 10, 32))


def test_ciede2000_equals_that_of_scikit_image_from_rgb(with_chroma, photos, measure):
    fake = with_chroma(0.3)
    labs = [[rgb2lab(channels_last(image)) for image in images] for images in (photos, fake)]
    expected = np.mean([deltaE_ciede2000(a, b).mean() for a, b in zip(*labs, strict=True)])
    assert expected > 3
    assert measure(CIEDE2000(), fake, photos) == pytest.approx(expected, rel=1e-3)  # their matrices differ in digit 5


@pytest.mark.parametrize("network", ["alex", pytest.param("vgg", marks=pytest.mark.slow)])
def test_lpips_equals_the_authors_network_with_the_same_backbone(network, lpips_weights, with_chroma, photos, measure):
    path, features = lpips_weights[network]
    authors = lpips.LPIPS(net=network, pnet_rand=True, verbose=False).eval()
    ours = [module for module in features.modules() if isinstance(module, torch.nn.Conv2d)]
    theirs = [module for module in authors.net.modules() if isinstance(module, torch.nn.Conv2d)]
    for source, target in zip(ours, theirs, strict=True):
        target.load_state_dict(source.state_dict())
    fake, photos = with_chroma(0.3)[:3], photos[:3]
    with torch.no_grad():
        expected = authors(fake, photos, normalize=True).mean().item()  # normalize: from [0, 1]
    metric = LPIPS(network, weights=path)
    assert expected > 1e-4
    assert measure(metric, fake, photos) == pytest.approx(expected, rel=1e-5)
    assert measure(metric, photos, photos) == 0


@pytest.mark.parametrize("rescale", [lambda rgb: 2 * rgb - 1, lambda rgb: 255 * rgb], ids=["-1..1", "0..255"])
def test_lpips_refuses_the_ranges_it_is_usually_given_by_mistake(rescale, lpips_weights, photos):
    metric = LPIPS("alex", weights=lpips_weights["alex"][0])
    with pytest.raises(ValueError, match=r"metrics need float pictures in \[0, 1\], got float32"):
        metric.update(rescale(photos), photos)


def test_lpips_refuses_another_network_and_a_file_of_another(lpips_weights):
    with pytest.raises(ValueError, match=r"network='squeeze' is unknown; allowed: alex, vgg"):
        LPIPS("squeeze")
    with pytest.raises(ValueError, match=r"is not torchvision's alex: it lacks 'features\.3\.weight'"):
        LPIPS("alex", weights=lpips_weights["vgg"][0])


def test_gray_scores_near_20_db_and_inverted_hue_6_db_less(with_chroma, photos, measure):
    """PSNR on rgb lives off the shared luma; chroma of the opposite sign doubles the error, which is 6 dB.

    The built-in photos are vivid: 18.8 dB, where 22.8 dB are usual.
    """
    gray, inverted = with_chroma(0), with_chroma(-1)
    assert 18 < measure(PSNR(), gray, photos) < 23
    for metric in (PSNR(), ChromaPSNR()):
        lost = measure(metric, gray, photos) - measure(metric, inverted, photos)
        assert 5.5 < lost < 20 * math.log10(2) + 0.01  # less than doubled where the gamut ends
    assert measure(CIEDE2000(), inverted, photos) > measure(CIEDE2000(), gray, photos)
