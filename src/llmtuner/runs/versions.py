"""Versions of the packages that a run is made with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "transformers", "peft", "accelerate", "llamafactory", "llmtuner-science")


def installed_versions() -> dict[str, str]:
    """The version of each package that is installed."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
