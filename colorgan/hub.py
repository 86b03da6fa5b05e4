"""Fetch checkpoints from the Hugging Face hub, and send them there: `hf://owner/name`."""

import re
from pathlib import Path

PREFIX = "hf://"
FILE = "final.safetensors"


def is_address(place: str | Path) -> bool:
    """Tell whether a place is meant to be on the hub; a `Path` has lost one of the slashes."""
    return str(place).startswith("hf:/")


def fetch(address: str | Path) -> Path:
    """Download the checkpoint of a repository, or find it in the hub's cache on this machine.

    Raises:
        FileNotFoundError: the repository or its file cannot be had; says why.
        ValueError: it is no address.
    """
    from huggingface_hub import hf_hub_download

    repository = _repository_of(address)
    try:
        return Path(hf_hub_download(repository, FILE))
    except Exception as error:  # the library raises its own and httpx's errors
        raise FileNotFoundError(f"no checkpoint {PREFIX}{repository}: {_first_line(error)}") from error


def send(folder: Path, address: str, *, private: bool) -> str:
    """Upload a folder as a repository, which is made if there is none.

    Returns:
        The address of its page.

    Raises:
        ValueError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi

    repository, api = _repository_of(address), HfApi()
    try:
        page = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Publish a colorgan generator")
    except Exception as error:  # as in `fetch`
        raise ValueError(
            f"{address} cannot be written: {_first_line(error)} (`hf auth login` gives a token)"
        ) from error
    return str(page)


def _repository_of(address: str | Path) -> str:
    name = re.sub("^hf:/+", "", str(address))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ValueError(f"{address} is no repository of the hub: give {PREFIX}OWNER/NAME")
    return name


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
