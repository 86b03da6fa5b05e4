"""Flow: conventions, exact motion, occlusion, estimators."""

import math

import numpy as np
import pytest
import torch

from colorgan.flow import (
    DISFlow,
    build_estimator,
    estimate_motion,
    inconsistent,
    inside,
    occluded,
    similarity_flow,
    warp,
)


def photo(size=160):
    from skimage.data import astronaut

    image = torch.from_numpy(astronaut()).permute(2, 0, 1)[None].float() / 255
    return torch.nn.functional.interpolate(image, (size, size), mode="bilinear", antialias=True)


def pan(x, y, size):
    return similarity_flow(size, size, shift=torch.tensor([[x, y]]), zoom=torch.ones(1), angle=torch.zeros(1))


def test_a_flow_says_where_the_second_frame_has_what_the_first_shows():
    wide = photo()
    first, second = wide[..., :128, :128], wide[..., 4:132, 3:131]  # the camera went right by 3 and down by 4
    flow = pan(-3.0, -4.0, 128)
    assert ((warp(second, flow) - first).abs() * inside(flow)).max() < 1e-4
    assert inside(flow).sum() == 125 * 124


def test_a_quarter_turn_is_that_of_numpy():
    image = photo(65)
    flow = similarity_flow(65, 65, shift=torch.zeros(1, 2), zoom=torch.ones(1), angle=torch.tensor([math.pi / 2]))
    # p -> R p with y down: what stands right of the centre goes below it
    assert torch.allclose(warp(torch.rot90(image, -1, (2, 3)), flow), image, atol=1e-4)


def test_zoom_about_the_centre():
    flow = similarity_flow(5, 5, shift=torch.zeros(1, 2), zoom=torch.tensor([1.5]), angle=torch.zeros(1))
    assert flow[0, :, 2, 2].tolist() == [0, 0]
    assert flow[0, :, 0, 4].tolist() == [1, -1]
    assert inside(flow)[0, 0].sum() == 9


def test_a_square_that_moves_hides_what_it_comes_over():
    size, forward, backward = 40, torch.zeros(1, 2, 40, 40), torch.zeros(1, 2, 40, 40)
    forward[0, 0, 10:20, 10:20] = 6.0
    backward[0, 0, 10:20, 16:26] = -6.0
    hidden = inconsistent(forward, backward)[0, 0]
    assert hidden[10:20, 20:26].all()
    assert not hidden[12:18, 12:18].any()
    assert not hidden[25:].any()
    edges = occluded(forward, backward)[0, 0]
    assert edges[12:18, 9].all()  # the boundary of the motion
    assert hidden.sum() < edges.sum() < size**2 / 5


def test_dis_finds_a_pan():
    wide = photo(180)[:, :1]
    motion = estimate_motion(torch.cat([wide[..., 3 * t : 3 * t + 160, :160] for t in range(3)]), DISFlow())
    error = (motion.flow - pan(0.0, -3.0, 160)).square().sum(dim=1).sqrt()
    assert motion.flow.shape == (2, 2, 160, 160)
    assert error[motion.visible[:, 0]].median() < 0.2
    assert motion.visible.float().mean() > 0.5


@pytest.mark.parametrize("size", [(1, 1), (7, 30)])
def test_dis_takes_tiny_frames(size):
    assert DISFlow()(torch.rand(2, 1, *size), torch.rand(2, 1, *size)).shape == (2, 2, *size)


def test_raft_reads_torchvisions_file(tmp_path):
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    network = raft_large().eval()
    torch.save(network.state_dict(), tmp_path / "raft.pth")
    estimator = build_estimator(str(tmp_path / "raft.pth"))
    assert estimator.name.startswith("raft_large@")  # other weights than the published ones
    first, second = torch.rand(2, 1, 1, 128, 136)
    with torch.no_grad():
        expected = network(*(2 * frame.expand(-1, 3, -1, -1) - 1 for frame in (first, second)))[-1]
    assert torch.allclose(estimator(first, second), expected, atol=1e-5)
    assert estimator(torch.rand(1, 1, 30, 50), torch.rand(1, 1, 30, 50)).shape == (1, 2, 30, 50)


def test_missing_raft_says_which_file_goes_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"raft_large_C_T_SKHT_V2-ff5fadd5\.pth"):
        build_estimator("raft")
    with pytest.raises(ValueError, match="flow='farneback' is unknown; allowed: dis, raft"):
        build_estimator("farneback")


def test_similarity_flow_is_the_matrix_it_says():
    flow = similarity_flow(
        9, 11, shift=torch.tensor([[1.0, -2.0]]), zoom=torch.tensor([1.1]), angle=torch.tensor([0.2])
    )
    center, point = np.array([5.0, 4.0]), np.array([8.0, 1.0])
    matrix = 1.1 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])
    expected = matrix @ (point - center) + center + [1, -2] - point
    assert np.allclose(flow[0, :, 1, 8].numpy(), expected, atol=1e-5)
