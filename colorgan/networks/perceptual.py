"""LPIPS networks (Zhang et al. 2018) of the authors' package, which carries their linear heads but no backbone."""

from pathlib import Path

from torch import nn

from colorgan.networks.encoders import load_backbone, read_state_dict


def lpips_from_hub(network: str) -> nn.Module:
    """The frozen network with torchvision's backbone, downloaded and cached.

    Args:
        network: `alex`, `vgg` or `squeeze`.

    Raises:
        ValueError: the backbone cannot be downloaded.
    """
    import lpips

    try:
        built: nn.Module = lpips.LPIPS(net=network, verbose=False)
    except OSError as error:  # URLError and HTTPError are OSErrors
        raise ValueError(
            f"the {network} backbone of LPIPS could not be downloaded ({error}); give torchvision's file "
            "(loss.lpips.weights=PATH)"
        ) from error
    return built.eval().requires_grad_(False)


def lpips_from_file(network: str, path: Path) -> nn.Module:
    """The frozen network with the backbone of a file in torchvision's layout.

    Raises:
        ValueError: the file is not torchvision's classifier of that name.
    """
    import lpips

    built = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
    state = read_state_dict(path)
    # lpips splits torchvision's `features.<i>` into `slice<s>.<i>`: the last two parts of a name stay.
    try:
        renamed = {key: state[f"features.{key.split('.', 1)[1]}"] for key in built.net.state_dict()}
    except KeyError as error:
        raise ValueError(f"{path} is not torchvision's {network}: it lacks {error}") from error
    load_backbone(built.net, renamed, f"LPIPS {network}")
    frozen: nn.Module = built.eval().requires_grad_(False)
    return frozen
