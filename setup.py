"""Package metadata. Exact, tested versions stand in constraints.txt; the ranges here say what can work."""

from setuptools import find_packages, setup

# What upstream's text stages import. Its own wheel (llamafactory==0.9.5) also asks for vision, audio and web-UI
# packages and resolves to versions that do not import together, so `make setup` installs it without dependencies
# beside this list. See docs/architecture.md, "Installing upstream".
RUNTIME = [
    "torch>=2.10",
    "transformers>=4.57,<5.6",
    "peft>=0.18.0,<=0.18.1",
    "trl>=0.18.0,<=0.24.0",
    "datasets>=2.16.0,<=4.0.0",
    "accelerate>=1.3.0,<=1.11.0",
    "numpy",
    "pyarrow",
    "pyyaml",
    "omegaconf",
    "safetensors",
    "sentencepiece",
    "tiktoken",
    "protobuf",
    "einops",
    "scipy",
    "pandas",
    "pydantic",
    "fire",
    "tyro<0.9.0",
    "matplotlib>=3.7.0",
    "jinja2",
    "psutil",
    "jieba",
    "nltk",
    "rouge-chinese",
    "datasketch",
    "bm25s",
    "PyStemmer",
    "charset-normalizer",
    "rich",
]
TOPK = ["difftopk"]  # --mcq_loss topk_ce
AUDIT = ["scikit-learn", "cleanlab"]  # scripts/audit_mcq.py: the model of shortcuts, likely label errors
XLSX = ["openpyxl", "defusedxml"]  # Excel workbooks; with defusedxml, openpyxl refuses XML entities
GGUF = ["gguf>=0.10"]  # scripts/smollm2.py and from_gguf.py: models in GGUF files
ORACLES = ["scikit-learn", "ir-measures"]  # independent accounts of the metrics
BROWSER = ["playwright"]  # make test-browser; Chromium itself comes from the system, or from playwright install
TEST = [
    *("pytest", "pytest-xdist", "hypothesis", "ruff", "mypy", "types-PyYAML"),
    *(*AUDIT, *GGUF, *XLSX, *ORACLES, *TOPK),
]
BENCH = ["lm_eval==0.4.13"]  # a rival in benchmarks/peers.py

setup(
    name="llmtuner-science",
    version="0.1.0",
    description="Fine-tuning open LLMs for multiple-choice science exams, on top of LLaMA-Factory",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages("src"), *find_packages(include=["patches", "patches.*"])],
    package_dir={"": "src", "patches": "patches"},
    package_data={"llmtuner": ["py.typed"], "llmtuner.report": ["*.j2", "run_report/report.*"]},
    install_requires=RUNTIME,
    extras_require={
        "test": TEST,
        "bench": BENCH,
        "topk": TOPK,
        "audit": AUDIT,
        "gguf": GGUF,
        "xlsx": XLSX,
        "browser": BROWSER,
    },
)
