"""Build LPIPS (Zhang et al. 2018) from the authors' package, which carries its linear heads but no backbone."""

from pathlib import Path

from torch import nn

from colorgan.networks.weights import load_backbone, read_state_dict


def lpips_network(network: str, weights: str | None) -> nn.Module:
    """Build a frozen LPIPS network.

    Args:
        network: `alex` or `vgg`.
        weights: of the backbone: `hub` (torchvision's, downloaded and cached), a file in torchvision's layout, or None
            for random ones.

    Raises:
        ValueError: the backbone cannot be downloaded, or the file is not torchvision's classifier of that name.
    """
    import lpips

    try:
        built: nn.Module = lpips.LPIPS(net=network, pnet_rand=weights != "hub", verbose=False)
    except OSError as error:  # URLError and HTTPError are OSErrors
        raise ValueError(
            f"the {network} backbone of LPIPS could not be downloaded ({error}); give torchvision's file "
            "(loss.lpips.weights=PATH)"
        ) from error
    if weights not in ("hub", None):
        _load_backbone(built, network, Path(str(weights)))
    return built.eval().requires_grad_(False)


def _load_backbone(built: nn.Module, network: str, path: Path) -> None:
    state, own = read_state_dict(path), built.net.state_dict()  # type: ignore[union-attr]
    # lpips splits torchvision's `features.<i>` into `slice<s>.<i>`: the last two parts of a name stay.
    try:
        renamed = {key: state[f"features.{key.split('.', 1)[1]}"] for key in own}
    except KeyError as error:
        raise ValueError(f"{path} is not torchvision's {network}: it lacks {error}") from error
    load_backbone(built.net, renamed, f"LPIPS {network}")  # type: ignore[arg-type]
