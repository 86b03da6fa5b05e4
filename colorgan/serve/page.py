"""The page: drop a photo, see it in colour."""

from fastapi import FastAPI

from colorgan.serve.keys import Keys
from colorgan.serve.service import Service


def mount_page(app: FastAPI, service: Service, keys: Keys) -> None:
    """Mount the page at `/`."""
