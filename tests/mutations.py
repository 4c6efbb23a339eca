"""Changes that must not go unnoticed: wrong edits of the code, each with tests of which at least one must fail.

`make mutate` (tests/mutate.py) makes each edit in a copy of the project and prints those that no test noticed. A test
in tests/house checks that the rows match the code, so whoever changes a line must update its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One wrong edit.

    Args:
        name: short, unique, says what goes wrong.
        file: path from the project's root.
        old, new: the text to replace, which occurs once in the file, and its replacement.
        tests: files or test ids of which at least one must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def defects(self, root: Path = ROOT) -> list[str]:
        """Why the row cannot be tried; empty if it can."""
        path = root / self.file
        if not path.is_file():
            return [f"{self.file} does not exist"]
        count = path.read_text(encoding="utf-8").count(self.old)
        problems = [] if count == 1 else [f"its text occurs {count} times in {self.file}"]
        problems += [] if self.new != self.old else ["it changes nothing"]
        problems += [] if self.tests else ["it names no test"]
        return problems + [f"{test} does not exist" for test in self.tests if not _exists(test, root)]


def _exists(test: str, root: Path) -> bool:
    name, _, function = test.partition("::")
    path = root / name
    return path.is_file() and (not function or f"def {function.partition('[')[0]}(" in path.read_text(encoding="utf-8"))


def edits(file: str, tests: str | tuple[str, ...], *rows: tuple[str, str, str]) -> list[Mutation]:
    """Rows (name, old, new) of one file that the same tests must notice."""
    return [Mutation(*row[:1], file, *row[1:], (tests,) if isinstance(tests, str) else tests) for row in rows]


MUTATIONS = (
    *edits(
        "src/llmtuner/data/tokens/roles.py",
        "tests/data/tokens/test_roles.py",
        (
            "roles: the option is the template's",
            "(OPTION, *tokens.options[option]))",
            "(TEMPLATE, *tokens.options[option]))",
        ),
        ("roles: examples are the template's", "[SHOT] * shots + [TEMPLATE]", "[TEMPLATE] * shots + [TEMPLATE]"),
        ("roles: the answer is part of an open prompt", "if span[2] <= length]", "if True]"),
    ),
    *edits(
        "src/llmtuner/data/tokens/joint.py",
        "tests/data/tokens/test_roles.py",
        ("roles: a field is one token late", "begin, spans = len(before), []", "begin, spans = len(before) + 1, []"),
    ),
    *edits(
        "src/llmtuner/mcq/smaller.py",
        "tests/mcq/test_smaller.py",
        ("advice: other questions in a step", "if size.batch % batch == 0:", "if True:"),
        ("advice: cutting comes before checkpointing", "    yield from batches\n    if size", "    if size"),
        ("advice: quantised without a GPU", "    if quantizes and not size.bits:", "    if not size.bits:"),
        ("advice: a budget below the longest question", ">= size.longest:", ">= 1:"),
    ),
    *edits(
        "src/llmtuner/retrieval/cache.py",
        "tests/retrieval/test_context_cache.py",
        ("dry run: the cache is written", "        if is_read_only():\n", "        if False:\n"),
        (
            "dry run: contexts are stored",
            "if self._database is None or not self._writes:",
            "if self._database is None:",
        ),
    ),
    *edits(
        "src/llmtuner/report/dry_run_text.py",
        "tests/report/test_dry_run_text.py",
        ("dry run: colours in a pipe", "    if not sys.stdout.isatty():\n", "    if False:\n"),
        ("dry run: what is scored is not marked", "'*' if scored else ' '", "' '"),
        ("dry run: control characters of the data", 'text = escaped("".join', 'text = str("".join'),
    ),
    *edits(
        "src/llmtuner/cli/dry_run.py",
        "tests/cli/test_dry_run.py",
        ("dry run: too large is status 0", "return 1 if result.status == TOO_LARGE else 0", "return 0"),
        ("dry run: a mistake is status 0", "    if error is not None:\n        raise error\n", ""),
        ("dry run: secrets are shown", " or is_secret(name):", ":"),
        (
            "dry run: upstream prints into the JSON",
            "with redirect_stdout(sys.stderr), read_only():",
            "with read_only():",
        ),
    ),
    *edits(
        "src/llmtuner/cli/run.py",
        "tests/cli/test_dry_run.py::test_a_prediction_is_measured_and_writes_nothing",
        ("dry run: the output folder is made", '"dry run", output_dir=folder, ', '"dry run", '),
    ),
    *edits(
        "patches/dry_run/mcq.py",
        "tests/cli/test_dry_run.py::test_steps_of_a_budget_of_tokens_are_those_of_the_run",
        ("dry run: steps without a budget of tokens", "batches=len(batches), **more", "batches=len(train), **more"),
    ),
    *edits(
        "patches/dry_run/sft.py",
        "tests/cli/test_dry_run.py",
        (
            "dry run: steps of the measurement",
            "    real_args.gradient_accumulation_steps = accumulated\n",
            "",
        ),
        ("dry run: the letter is no score", "else {len(ids) - 1}", "else set()"),
    ),
    *edits(
        "patches/dry_run/parts.py",
        "tests/cli/test_dry_run.py::test_what_does_not_fit_is_status_1_with_the_smallest_change",
        (
            "dry run: a step that is too large is tried",
            "if measure is not None and (on_gpu or footprint.needed <= available):",
            "if measure is not None:",
        ),
    ),
    *edits(
        "src/llmtuner/cli/run.py",
        "tests/cli/test_dry_run.py::test_flags_of_the_command_line_need_no_parser_of_upstream",
        ("flags: those of the command line are unknown", "    known += OF_THE_COMMAND\n", ""),
    ),
    *edits(
        "src/llmtuner/data/submission_check.py",
        "tests/data/test_submission_check.py",
        ("submission: a float id is unknown", "    if meant and as_float is not None:", "    if False:"),
        ("submission: lost zeros are unknown", "    if meant and _is_number(text):", "    if False:"),
        (
            "submission: a second row for an id passes",
            "            if row.id in open_rows:\n",
            "            if False:\n",
        ),
        ("submission: repeated letters pass", "    if len(set(given)) < len(given):", "    if False:"),
        ("submission: always three letters", "count = min(BEST, len(letters))", "count = BEST"),
        ("submission: an order is no warning", "        if row.id != wanted.id:\n", "        if False:\n"),
        ("submission: our own defect is silent", "    if result.problems or result.warnings:\n", "    if False:\n"),
        ("submission: one kind fills the message", "self._of(kind)[:LISTED]", "self._of(kind)"),
    ),
    *edits(
        "patches/mcq_stage/run.py",
        "tests/patches/test_letter_scores.py",
        (
            "submission: stage mcq does not check its own",
            "        require_sound(Path(trainer.args.output_dir, SUBMISSION), predictions)\n",
            "",
        ),
    ),
    *edits(
        "patches/letter_scores.py",
        "tests/patches/test_letter_scores.py",
        (
            "submission: stage sft does not check its own",
            "            require_sound(Path(output_dir, SUBMISSION), self._predictions)\n",
            "",
        ),
    ),
    *edits(
        "src/llmtuner/data/submission_rows.py",
        "tests/data/test_submission_check.py",
        (
            "submission: an open quote hides the rest",
            "end = index + 1 if cells is None else end",
            "end = end if cells is None else end",
        ),
        ("submission: a missing header loses a row", "rows if columns.is_row else rows[1:]", "rows[1:]"),
        (
            "submission: a carriage return ends an id",
            "if lines[record.last - 1].endswith(end)",
            "if end in lines[record.last - 1]",
        ),
    ),
    *edits(
        "src/llmtuner/data/predictions.py",
        "tests/data/test_submission_check.py",
        (
            "submission: an id with a bare carriage return",
            'lineterminator="\\r\\n").writerow',
            'lineterminator="\\n").writerow',
        ),
    ),
    *edits(
        "src/llmtuner/retrieval/terms.py",
        "tests/retrieval/test_terms.py",
        ("terms: an article is a name", "        return ends\n    before", "        return True\n    before"),
        ("terms: a name is an article", "return ends or (before", "return False and (before"),
        ("terms: a name beside brackets is dropped", "return not ends_word", "return False"),
        (
            "terms: every sign is a charge",
            'if token[-1] in "+-" and _carries_charge(token) else ""',
            'if token[-1] in "+-" else ""',
        ),
        ("terms: charges are lost", "return folded + sign", "return folded"),
        (
            "terms: signs of numbers are lost",
            'sign = plain[0] if plain[0] in "+-" else ""',
            'sign = ""\n    plain = plain.lstrip("+-")',
        ),
        (
            "terms: powers join their base",
            '_POWER.sub(lambda match: f"{match[1]}^{match[2]}", visible_text(written))',
            "visible_text(written)",
        ),
        ("terms: a character alone is not found", "        yield run[start]\n", ""),
        ("terms: lines influence each other", '    if "\\n" not in text:\n', "    if True:\n"),
        ("terms: capitals of a title are names", "return not self.shouted and token", "return token"),
        ("terms: accents count", 'if not "\\u0300" <= char <= "\\u036f"', "if True"),
        ("terms: queries add to the vocabulary", "        if self.grows:\n", "        if True:\n"),
        ("terms: the memory fills", "        if len(memo) > _MOST_REMEMBERED:\n", "        if False:\n"),
    ),
    *edits(
        "src/llmtuner/retrieval/ranking.py",
        "tests/retrieval/test_ranking.py",
        (
            "ranking: ties by chance",
            "np.lexsort((candidates, -scores_N[candidates]))",
            "np.argsort(-scores_N[candidates])[::1]",
        ),
        ("ranking: the bound is too high", "whole - k)[whole - k]", "whole - 1)[whole - 1]"),
        ("ranking: misses count as hits", "else scores_N > above", "else scores_N >= above"),
    ),
    *edits(
        "src/llmtuner/retrieval/retrievers/bm25.py",
        "tests/retrieval/retrievers/test_bm25.py",
        ("bm25: the order of words counts", "get_scores_from_ids(sorted(numbers))", "get_scores_from_ids(numbers)"),
        ("bm25: chunks without a match are hits", "above=0.0", "above=-1.0"),
        ("bm25: another corpus accepted", "if known != rows:", "if False:"),
        ("bm25: NaN without terms", "lengths_N.mean() or 1.0", "lengths_N.mean()"),
    ),
    *edits(
        "src/llmtuner/retrieval/retrievers/dense.py",
        "tests/retrieval/retrievers/test_dense.py",
        ("dense: rows of the block", "start + np.flatnonzero(", "np.flatnonzero("),
        ("dense: ties by the product", ".sum(axis=1).round(_DECIMALS)", ".sum(axis=1) + np.arange(len(rows)) * 1e-9"),
        ("dense: stop words find something", "if terms(text)]", "]"),
        ("dense: any number of chunks", "if source.rows > source.ann_from:", "if False:"),
        ("dense: parts are encoded again", "if part_ND is None:", "if True:"),
    ),
    *edits(
        "src/llmtuner/retrieval/retrievers/vector_parts.py",
        "tests/retrieval/retrievers/test_dense.py",
        ("dense: a damaged part accepted", 'manifest.get("sha256") != sha256_of_bytes(content)', "False"),
        ("dense: a part of another shape accepted", "if vectors_ND.shape == shape and", "if"),
    ),
    *edits(
        "src/llmtuner/retrieval/encoder.py",
        "tests/retrieval/test_dense_encoder.py",
        ("encoder: vectors in the order of the lengths", "vectors_ND[rows] = np", "vectors_ND[:] = np"),
        (
            "encoder: padding is averaged",
            "(states_BLD * weights_BL1).sum(1) / weights_BL1.sum(1).clamp(min=1)",
            "states_BLD.mean(1)",
        ),
        ("encoder: random weights accepted", "    if missing:\n", "    if False:\n"),
        ("encoder: NaN accepted", "if not np.isfinite(vectors_ND).all():", "if False:"),
    ),
    *edits(
        "src/llmtuner/retrieval/encoder_folder.py",
        "tests/retrieval/test_dense_encoder.py",
        ("encoder: any pooling accepted", "or chosen[0] not in POOLINGS", ""),
        ("encoder: no tokenizer needed", "    if vocabulary is None:\n", "    if False:\n"),
    ),
    *edits(
        "src/llmtuner/retrieval/index/manifest.py",
        "tests/retrieval/test_search.py",
        ("index: another format accepted", 'content["format"] != FORMAT or ', ""),
        ("index: other terms accepted", ' or content.get("term_rules") != TERM_RULES', ""),
        ("index: a cut file accepted", 'if size != entry["size"]:', "if False:"),
        ("index: a changed file accepted", "(thorough or size <= _HASHED) and", "thorough and"),
    ),
    *edits(
        "src/llmtuner/retrieval/index/store.py",
        "tests/retrieval/index/test_index_store.py",
        ("index: rows of the neighbouring group", "bisect_right(self._starts, row) - 1", "row // _GROUP"),
        ("index: every text stays in memory", "if len(self._cache) > _CACHED_GROUPS:", "if False:"),
    ),
    *edits(
        "src/llmtuner/retrieval/index/build.py",
        "tests/retrieval/index/test_index_build.py",
        ("index: parts of other inputs used", "or known.read_bytes() != _inputs_line(inputs)", ""),
        ("index: any folder is replaced", "if manifest is None and not (out / MANIFEST).exists():", "if False:"),
        ("index: a full disk begins anew", "is_held and not resumable", "is_held"),
        ("index: a mistake leaves its folder", "is_held and not resumable", "False"),
    ),
    *edits(
        "src/llmtuner/retrieval/index/read.py",
        "tests/retrieval/index/test_index_build.py",
        ("index: the corpus is read again", "    if earlier is not None:\n", "    if False:\n"),
    ),
    *edits(
        "src/llmtuner/retrieval/search.py",
        "tests/retrieval/test_search.py",
        ("search: neighbouring documents are read", "self.chunk(last + 1).document_id == document", "True"),
        (
            "search: the text around is short",
            "            if not (more_before or more_after):\n",
            "            if True:\n",
        ),
    ),
    *edits(
        "src/llmtuner/retrieval/rerank.py",
        "tests/retrieval/test_rerank.py",
        ("rerank: random heads accepted", 'if loaded["missing_keys"]:', "if False:"),
        ("rerank: the retriever's order stays", "key=lambda hit: (-hit.score, hit.row)", "key=lambda hit: hit.row"),
    ),
    *edits(
        "src/llmtuner/retrieval/minilm.py",
        "tests/retrieval/test_minilm.py",
        ("minilm: other weights accepted", "if digest != SHA256:", "if False:"),
    ),
    *edits(
        "src/llmtuner/gguf_files/reader.py",
        "tests/gguf_files/test_gguf_reader.py",
        ("gguf: reads past the end", "if size > len(self.data) - self.position:", "if False:"),
        ("gguf: cut weights accepted", "if end > len(cursor.data):", "if False:"),
        ("gguf: overlapping tensors accepted", "if start + tensor.offset < end:", "if False:"),
        ("gguf: one of several parts accepted", "if parts > 1:", "if parts > 9:"),
    ),
    *edits(
        "src/llmtuner/gguf_files/tokenizer.py",
        "tests/gguf_files/test_gguf_tokenizer.py",
        ("gguf: merges by the worst score", "key=normal.__getitem__, reverse=True)", "key=normal.__getitem__)"),
        ("gguf: control tokens take part in merges", "if kind == Kind.NORMAL", "if kind != Kind.BYTE"),
        ("gguf: no begin token", "before = [words.roles", "before = [] and [words.roles"),
        ("gguf: the file's begin token ignored", "if words.adds_begin is None else words.adds_begin", ""),
        ("gguf: unknown split guessed", "if name not in SPLITS:", "if not name:"),
        ("gguf: words of Llama 3 are split", "ignore_merges=split.whole_words", "ignore_merges=False"),
        ("gguf: no byte fallback", "byte_fallback=len(words.of(Kind.BYTE)) == 256", "byte_fallback=False"),
    ),
    *edits(
        "src/llmtuner/gguf_files/splits.py",
        "tests/gguf_files/test_gguf_tokenizer.py",
        ("gguf: digits stand together", '"smollm": Split(_single_digits)', '"smollm": Split(_gpt2)'),
        ("gguf: Qwen2 is not composed", 'r"\\p{N}"), composes=True)', 'r"\\p{N}"))'),
    ),
    *edits(
        "src/llmtuner/gguf_files/vocabulary.py",
        "tests/gguf_files/test_gguf_tokenizer.py",
        ("gguf: user-defined tokens are special", "special=token in special", "special=True"),
        ("gguf: control tokens are text", "{*self.of(Kind.CONTROL, Kind.UNKNOWN), *self.roles.values()}", "{*()}"),
    ),
    *edits(
        "src/llmtuner/gguf_files/weights.py",
        "tests/gguf_files/test_gguf_convert.py",
        ("gguf: left-over weights accepted", "if written != read:", "if written < read:"),
        ("gguf: NaN accepted", "    refuse_bad_weights(model)\n", ""),
    ),
    *edits(
        "src/llmtuner/studies/sweep.py",
        ("tests/studies/test_sweep.py",),
        ("sweep: a trained whole model is loaded as an adapter", '!= "lora":', '== "none":'),
        ("sweep: the adapters below are forgotten", "[*below, str(folder)]", "[str(folder)]"),
        ("sweep: the second seed comes first", "for seed in self.seeds:", "for seed in self.seeds[::-1]:"),
    ),
    *edits(
        "src/llmtuner/studies/check_sweep.py",
        "tests/studies/test_sweep_script.py",
        ("sweep: other data counts as done", "    if changed:\n", "    if False:\n"),
        ("sweep: other flags go on in the same table", 'if stored["flags"] != list(sweep.words):', "if False:"),
        ("sweep: a long name is a traceback", "> LONGEST_NAME", "> 10 * LONGEST_NAME"),
    ),
    *edits(
        "src/llmtuner/studies/jobs.py",
        "tests/studies/test_sweep_script.py",
        ("sweep: goes on after a mistake", "if end.status == MISTAKE:", "if False:"),
        ("sweep: its commands outlive it", "self.process.send_signal(number)", "pass"),
        ("sweep: a failed training is predicted with", "if status == 0 and each.done", "if each.done"),
    ),
    *edits(
        "src/llmtuner/files.py",
        "tests/test_files.py",
        ("files: a comma in a folder's name separates", "range(len(parts), start, -1)", "()"),
    ),
    *edits(
        "src/llmtuner/gguf_files/convert.py",
        ("tests/gguf_files/test_gguf_convert.py", "tests/gguf_files/test_smollm2.py"),
        ("gguf: another folder is replaced", "if foreign:", "if False:"),
        ("gguf: the saved tokenizer is not checked", "check_tokenizer(loaded, questions[:-1])", "pass"),
        ("gguf: a folder that lost a file is whole", ".st_size == size for", ".st_size for"),
        ("gguf: every precision has the same folder", "[self.sha256, self.dtype, ", "[self.sha256, "),
    ),
    *edits(
        "src/llmtuner/gguf_files/smollm2.py",
        "tests/gguf_files/test_smollm2.py",
        ("smollm2: another file accepted", "if digest != SHA256:", "if False:"),
    ),
    *edits(
        "src/llmtuner/files.py",
        "tests/test_files.py::test_a_new_folder_is_there_whole_or_not_at_all",
        (
            "new folder: the earlier one goes first",
            "    temporary.mkdir()\n    try:",
            "    temporary.mkdir()\n    shutil.rmtree(target, True)\n    try:",
        ),
        ("new folder: an empty one is in the way", "target.rmdir()", "raise FileExistsError(target)"),
    ),
    *edits(
        "src/llmtuner/cache.py",
        "tests/test_cache.py",
        ("cache: built by two at the same time", "fcntl.flock(file, fcntl.LOCK_EX)", "pass"),
        ("cache: leftovers stay", "        _remove_leftovers(folder)\n", ""),
    ),
    *edits(
        "src/llmtuner/runs/base.py",
        "tests/runs/test_base_model.py",
        ("base: another one accepted", "if not given or given == manifest.base:", "if True:"),
        ("base: not looked for above the adapter", "*Path(adapter).resolve().parents)", ")"),
        (
            "base: a local path asked of the hub",
            "if is_hub_name(name) and (model_folder",
            "if is_hub_name(name) or (model_folder",
        ),
    ),
    *edits(
        "src/llmtuner/runs/base.py",
        "tests/cli/test_preflight_weights.py",
        ("base: the adapters below forgotten", "names if is_new else names[:-1]", "names[:-1]"),
    ),
    *edits(
        "src/llmtuner/runs/adapter.py",
        "tests/runs/test_adapter_files.py",
        ("adapter: another rank accepted", "tensor.shape[axis] != wanted", "False"),
        ("adapter: half of the weights accepted", 'return {"A", "B"} <= parts or', 'return {"A"} <= parts or'),
        ("adapter: rank patterns ignored", 'config.get("rank_pattern") or {}', "{}"),
        (
            "adapter: any safetensors file will do",
            "    if path.is_file():\n",
            '    if any(path.parent.glob("*.safetensors")):\n',
        ),
    ),
    *edits(
        "src/llmtuner/cli/preflight_weights.py",
        "tests/cli/test_preflight_weights.py",
        ("weights: mcq adapters in stage sft", "if settings is None or HEADS[settings.head].pools:", "if False:"),
        ("weights: the letter head refused", "if settings is None or HEADS[settings.head].pools:", "if True:"),
        ("weights: --allow_other_base ignored", 'allow_other=flags["allow_other_base"],\n', "allow_other=False,\n"),
    ),
    *edits(
        "src/llmtuner/cli/preflight_vocabulary.py",
        "tests/cli/test_preflight_weights.py",
        ("tokens: other ones accepted", "if new and new != old:", "if False:"),
        ("tokens: not stored", "run.with_settings(vocabulary=vocabulary.to_json())", "run"),
    ),
    *edits(
        "src/llmtuner/mcq/whole.py",
        "tests/mcq/test_whole_weights.py",
        ("whole: random weights accepted", "    if missing:\n", "    if False:\n"),
        ("whole: a missing head of letters accepted", "None if scores_tokens or not", "None if not"),
        ("whole: the pooler needed", "unused = {POOLER, ", "unused = {"),
    ),
    *edits(
        "src/llmtuner/mcq/adapter_fit.py",
        "tests/mcq/test_whole_weights.py",
        ("fit: other names accepted", "    unknown = sorted(stored.keys() - wanted)", "    unknown = []"),
        ("fit: missing layers accepted", "    missing = sorted(wanted - stored.keys())", "    missing = []"),
        ("fit: missing embeddings accepted", "if target != HEAD and lacking:", "if False:"),
    ),
    *edits(
        "src/llmtuner/mcq/embeddings.py",
        "tests/mcq/test_whole_weights.py",
        ("embeddings: random rows scored", "if tokens > max(rows, before):", "if False:"),
        (
            "embeddings: random rows of the head",
            "for shapes in stored):\n        raise",
            "for shapes in stored) and False:\n        raise",
        ),
    ),
    *edits(
        "src/llmtuner/mcq/bad_weights.py",
        "tests/mcq/test_whole_weights.py",
        ("bad weights: the training's own blamed", "not (trained and parameter.requires_grad)", "True"),
        ("bad weights: frozen ones let off", "not (trained and parameter.requires_grad)", "not trained"),
    ),
    *edits(
        "src/llmtuner/mcq/check.py",
        "tests/mcq/test_check.py::test_weights_that_are_not_finite_are_no_matter_of_the_layout",
        ("check: bad weights blamed on the layout", "if any(math.isnan(each.difference) for", "if any(False for"),
    ),
    *edits(
        "src/llmtuner/data/forms/answers.py",
        "tests/data/forms/test_answers.py",
        ("answers: every number counted from 1", '"0": _from(0)', '"0": _from(1)'),
        (
            "answers: a file without a zero read in silence",
            'if style == "0" and self.base',
            'if style == "1" and self.base',
        ),
        ("answers: an ambiguous letter not named", "place == draft.answer:", "place != draft.answer:"),
        ("answers: a text that two options have", "if len(places) == 1 else", "if places else"),
        ("answers: a style that fits some rows only", "    return all(read(draft", "    return any(read(draft"),
    ),
    *edits(
        "src/llmtuner/data/forms/form.py",
        "tests/data/forms/test_public_forms.py",
        (
            "forms: contexts that belong together are not joined",
            'return "\\n".join(passages.values()), ()',
            'return next(iter(passages.values()), ""), ()',
        ),
        ("forms: an article is no context", '    "article",\n', ""),
        ("forms: an explanation is an unused text", "solutions?|expl", "expl"),
    ),
    *edits(
        "src/llmtuner/data/forms/options.py",
        "tests/data/forms/test_public_forms.py",
        ("options: the right one always first", "key=lambda place: drawn[place]", "key=lambda place: place"),
        ("options: letters in front kept", "if self.marked:", "if not self.marked:"),
        ("options: N/A is an option", "while self.padding and", "while not self.padding and"),
    ),
    *edits(
        "src/llmtuner/data/read_as.py",
        "tests/data/test_read_as.py",
        ("read_as: a path that exists as written is split", "or os.path.exists(name)", ""),
        ("read_as: options are one name", 'if key == "options" else unquote', 'if key == "" else unquote'),
    ),
    *edits(
        "src/llmtuner/data/collect.py",
        "tests/data/test_read_as.py",
        ("collect: each file counted from 0", "if file.numbered and rows:", "if False and rows:"),
    ),
    *edits(
        "src/llmtuner/data/predictions.py",
        "tests/data/test_predictions.py",
        ("predictions: ids of two data sets mixed", "if all(len(datasets) == 1", "if any(len(datasets) == 1"),
    ),
    *edits(
        "src/llmtuner/data/tokens/rows.py",
        "tests/data/tokens/test_rows.py",
        ("rows: the prompt trained on", "if not train_on_prompt:", "if train_on_prompt:"),
    ),
    *edits(
        "src/llmtuner/data/readers/csv_file.py",
        "tests/data/test_csv_file.py",
        ("csv: a row's line off by one", "line = reader.line_num + 1", "line = reader.line_num"),
    ),
    *edits(
        "src/llmtuner/data/readers/csv_file.py",
        "tests/data/test_sheet_tops.py",
        ("csv: a title taken for the names of columns", "    check_top(rows, file)\n", ""),
        ("csv: a header by position", "if by_position := columns_by_position(rows):", "if by_position := []:"),
        ("csv: a rename advised untried", "if _reads_well(text, file, separator):", "if True:"),
    ),
    *edits(
        "src/llmtuner/data/readers/__init__.py",
        "tests/data/test_bad_files.py",
        ("readers: a rename advised untried", "if table.records and not table.problems:", "if True:"),
    ),
    *edits(
        "src/llmtuner/data/charset.py",
        "tests/data/test_charset.py",
        ("charset: the second candidate not named", "*(match.encoding for match in rivals[:1])]", "]"),
        ("charset: half of the file decodes", "if _decodes(content, match.encoding)]", "]"),
    ),
    *edits(
        "src/llmtuner/data/expand.py",
        "tests/data/test_compressed.py",
        ("expand: no limit", "if size > LIMIT:", "if False:"),
    ),
    *edits(
        "src/llmtuner/data/paths.py",
        "tests/data/test_paths.py",
        ("paths: a missing shard not noticed", "- {int(shard[1]) for shard in shards})", "- set(range(total)))"),
        ("paths: out of the folder", 'set(name) & {"/", "\\\\", "\\0"}', "False"),
        ("paths: a changed file not noticed", "status.st_mtime_ns, status.st_size) for", "0, 0) for"),
        ("paths: a pattern before the path", "if exists(path) or not is_pattern(name):", "if not is_pattern(name):"),
    ),
    *edits(
        "src/llmtuner/data/readers/parts.py",
        "tests/data/test_paths.py",
        ("parts: other columns", "sorted(set(table.columns) ^ set(first.columns))", "[]"),
    ),
    *edits(
        "src/llmtuner/data/readers/arrow_file.py",
        "tests/data/test_arrow_file.py",
        ("arrow: a cut stream is a shorter one", "                check_end(path, name)\n", "                pass\n"),
    ),
    *edits(
        "src/llmtuner/data/readers/xlsx_file.py",
        "tests/data/test_xlsx_file.py",
        ("xlsx: the stored size is believed", "        sheet.reset_dimensions()", "        pass"),
        ("xlsx: a hidden sheet first", 'each.sheet_state != "visible"', "0"),
        ("xlsx: a formula is blank", "if (number, index) in formulas:", "if False:"),
        ("xlsx: a date not named", "if text.rounded or isinstance(cell.value, _DATES):", "if text.rounded:"),
    ),
    *edits(
        "src/llmtuner/data/readers/latex.py",
        "tests/data/test_latex.py",
        ("latex: a line break outside math", 'cell.count("$", 0, match.start()) % 2', "True"),
    ),
    *edits(
        "src/llmtuner/data/readers/json_objects.py",
        "tests/data/test_json_shapes.py",
        ("json: NaN is a number", "parse_constant=_no_number)", "parse_constant=float)"),
    ),
    *edits(
        "src/llmtuner/data/readers/json_shapes.py",
        "tests/data/test_json_shapes.py",
        ("json: cut cells read", 'if row.get("truncated_cells")]', "if False]"),
    ),
    *edits(
        "src/llmtuner/data/readers/jsonl_file.py",
        "tests/data/test_load.py",
        ("jsonl: split at U+2028", 'enumerate(text.split("\\n"), ', "enumerate(text.splitlines(), "),
    ),
    *edits(
        "src/llmtuner/data/forms/rules.py",
        "tests/data/test_rules.py",
        ("rules: every blank last option is no option", "MIXED_PERCENT = 1\n", "MIXED_PERCENT = 0\n"),
    ),
    *edits(
        "src/llmtuner/spec/flag.py",
        "tests/cli/test_ranges.py",
        ("flag: infinite numbers in range", "not abs(number) <= sys.float_info.max", "number != number"),
    ),
    *edits(
        "src/llmtuner/spec/upstream_numbers.py",
        "tests/cli/test_ranges.py",
        (
            "flag: a number of upstream's without a range",
            '("adam_beta2", float, 0.999, SHARE',
            '("adam_beta2", float, 0.999, FINITE',
        ),
    ),
    *edits(
        "src/llmtuner/data/tokenized.py",
        "tests/patches/test_tokenized_path.py",
        ("tokenized: nothing ever differs", "if before.get(name) != now.get(name)]", "if False]"),
        ("tokenized: a user's folder deleted", "if foreign or not (path / ORIGIN).is_file():", "if False:"),
    ),
    *edits(
        "src/llmtuner/data/digest.py",
        "tests/data/test_digest.py",
        ("digest: the context does not count", ", each.context)", ", '')"),
        ("digest: a changed file is not noticed", "path_state(file), dataset, read_as)", "(), dataset, read_as)"),
    ),
    *edits(
        "src/llmtuner/data/prediction_files.py",
        "tests/data/test_prediction_files.py",
        ("prediction: the old results stay until the end", "(target / RESULTS).unlink(missing_ok=True)", "pass"),
        ("prediction: results before predictions", "if path.name != RESULTS)", ")"),
        ("prediction: generated texts of another model stay", "if name not in names:", "if False:"),
    ),
    *edits(
        "src/llmtuner/data/collect.py",
        "tests/data/test_collect.py",
        ("num_samples ignored", "if source.num_samples is None:", "if True:"),
    ),
    *edits(
        "src/llmtuner/data/registry.py",
        "tests/data/test_collect.py",
        ("registry: num_samples not read", 'entries[name][0].get("num_samples"), ', "None, "),
    ),
    *edits(
        "src/llmtuner/data/split.py",
        "tests/data/test_split.py",
        ("split: one row a group", "groups.setdefault(key, [])", 'groups.setdefault(f"{key}{row}", [])'),
        ("split: case makes another question", "folded_form(prompt)", "prompt"),
    ),
    *edits(
        "src/llmtuner/data/normal_form.py",
        "tests/data/test_normal_form.py",
        ("normal form: 10² is 102", 'if tag in ("<super>", "<sub>"):\n        return True', "pass"),
        ("normal form: 5½ is 51⁄2", '_BESIDE_FRACTION.sub(" ", text)', "text"),
        ("normal form: invisible characters count", 'match[1] or ""', "match[0]"),
    ),
    *edits(
        "src/llmtuner/data/option_letters.py",
        "tests/data/test_option_letters.py",
        ("letters: references lose their letters", "any(_REFERS.match(mark.text)", "any(False"),
        ("letters: E. coli is a letter", "certain >= 2 and certain * 2 > len(marks)", "certain >= 1"),
        ("letters: double spaces are plain", 'or "  " in joined ', ""),
        ("letters: lettered options are plain", '")" in joined or ', ""),
    ),
    *edits(
        "src/llmtuner/data/duplicates.py",
        "tests/data/test_duplicates.py",
        (
            "duplicates: letters make another question",
            "map(fold, compared_forms(question.options))",
            "map(question_key, question.options)",
        ),
    ),
    *edits(
        "src/llmtuner/data/audit/positions.py",
        "tests/data/audit/test_positions.py",
        ("audit: chance taken for a favoured place", "SIGNIFICANCE = 0.001", "SIGNIFICANCE = 0.05"),
    ),
    *edits(
        "src/llmtuner/data/audit/model.py",
        "tests/data/audit/test_shortcuts.py",
        ("audit: the model fitted to all", "fitted_O = ~held_out_O", "fitted_O = held_out_O | True"),
    ),
    *edits(
        "src/llmtuner/data/audit/repeats.py",
        "tests/data/audit/test_repeats.py",
        ("audit: a leak counted in one file only", "first_texts & second_texts", "first_texts"),
    ),
    *edits(
        "src/llmtuner/data/audit/label_errors.py",
        "tests/data/audit/test_label_errors.py",
        ("audit: doubts by score", "prediction.probabilities for", "prediction.scores for"),
    ),
    *edits(
        "src/llmtuner/data/prompt.py",
        "tests/data/tokens/test_joint.py",
        (
            "prompt: the first letter everywhere",
            'Field("option", index), " ->", Field("letter", index)',
            'Field("option", index), " ->", Field("letter", 0)',
        ),
    ),
    *edits(
        "src/llmtuner/data/prompt.py",
        "tests/data/tokens/test_prompt_forms.py",
        ("prompt: a blank stays outside its field", "lead = before[len(text) :]", 'lead = ""'),
        ("prompt: a text that ends with a blank", "answer = [last[len(text) :], *answer]", "pass"),
        ("prompt: the label twice", "return text.lstrip().removeprefix(label).lstrip() or text", "return text"),
        ("prompt: another letter in the lines", '" ->", lead, Field', '" ->", Field'),
    ),
    *edits(
        "src/llmtuner/data/tokens/fields.py",
        "tests/data/tokens/test_prompt_forms.py",
        ("prompt: two blanks", 'field.lead.removeprefix(" ") if self._adds_blank else field.lead', "field.lead"),
        ("prompt: a system text is lost", "is_held, reason = first != second", "is_held, reason = True"),
    ),
    *edits(
        "src/llmtuner/data/tokens/templates.py",
        "tests/data/tokens/test_prompt_forms.py",
        ("prompt: always a begin token", "*begin_of_text(tokenizer)", "tokenizer.bos_token_id"),
    ),
    *edits(
        "src/llmtuner/data/prompt_file.py",
        "tests/data/test_prompt_file.py",
        ("prompt: a field in another text", "if field != own and times:", "if False:"),
        ("prompt: no option in the option's text", 'and not times and (text or key != "context")', "and False"),
    ),
    *edits(
        "src/llmtuner/data/tokens/shots.py",
        "tests/data/tokens/test_shots.py",
        ("shots: the question among its own", "if number not in self.ids:", "number = self.count\n        if True:"),
        ("shots: no variant with the reserve", "shots[replaced] = self.questions[self.count]", "pass"),
        ("shots: contexts ignored", "if len(contexts) < 2:", "if True:"),
        ("shots: no room, not refused", "if len(before) + length >= cutoff_len:", "if False:"),
    ),
    *edits(
        "src/llmtuner/data/tokens/option.py",
        "tests/data/tokens/test_shots.py",
        ("shots: not counted", "len(before) + self._form(with_context).length", "self._form(with_context).length"),
        ("shots: the first option is right", "shot.options[shot.answer or 0]", "shot.options[0]"),
    ),
    *edits(
        "src/llmtuner/mcq/shot_states.py",
        "tests/mcq/test_shot_states.py",
        ("shots: positions start anew", 'batch["position_ids"] = batch["position_ids"] + length', "pass"),
        ("shots: states of other shots", "or tokens.sequences[0][:length] != self.ids", ""),
        (
            "shots: states not compared",
            "return all(abs(one - two) <= bound",
            "return True or all(abs(one - two) <= bound",
        ),
        ("shots: a pooling that reads them", "not in (last, own):", "not in (last, own) and False:"),
        ("shots: no length of the states", "return 0 if self._recording else len(self.ids)", "return 0"),
    ),
    *edits(
        "src/llmtuner/mcq/attention.py",
        "tests/mcq/test_shot_states.py",
        (
            "shots: no window",
            "tree_mask(segments_BT, positions_BT, window, before)",
            "tree_mask(segments_BT, positions_BT, None, before)",
        ),
        ("shots: hidden from the rows", "(before, 0), value=PREFIX)", "(before, 0), value=PADDING)"),
    ),
    *edits(
        "src/llmtuner/mcq/predict.py",
        "tests/mcq/test_shot_states.py",
        (
            "shots: computed each time",
            "            return states\n    scoring.notice",
            "            return None\n    scoring.notice",
        ),
        ("shots: our own errors", "if is_ours(error) or is_about_memory(error):", "if False:"),
    ),
    *edits(
        "src/llmtuner/mcq/prompts.py",
        "tests/test_prompt_runs.py",
        ("shots: scored", "        if number < shots.count\n", "        if number < 0\n"),
        ("prompt: a contradiction used", "if form != form_of(stored):", "if False:"),
        ("shots: others than stored", "if _content(drawn) != _content(shots):", "if False:"),
        ("shots: another number than stored", 'if given.get("shots", shots.count) != shots.count:', "if False:"),
    ),
    *edits(
        "src/llmtuner/data/prompt.py",
        "tests/data/tokens/test_option.py",
        (
            "prompt: no context in a sequence",
            '_filled(form.context, "{context}", CONTEXT) if with_context else []',
            "[]",
        ),
    ),
    *edits(
        "src/llmtuner/data/tokens/fields.py",
        "tests/data/tokens/test_pair.py",
        ("tokens: a context cut in front", "context = context[: len(context) - cut]", "context = context[cut:]"),
    ),
    *edits(
        "src/llmtuner/data/tokens/fields.py",
        "tests/data/tokens/test_fields.py",
        ("tokens: data text becomes a control token", "encode_special_tokens = True", "encode_special_tokens = False"),
        ("tokens: ... with other tokenizers", "split_special_tokens=True", "split_special_tokens=False"),
        ("tokens: cut as by the call before", "rust.no_truncation()", "pass"),
    ),
    *edits(
        "src/llmtuner/data/tokens/option.py",
        ("tests/data/tokens/test_pair.py", "tests/data/tokens/test_option.py"),
        ("tokens: room for the shortest only", "longest = max(map(len, options))", "longest = min(map(len, options))"),
    ),
    *edits(
        "src/llmtuner/data/tokens/option.py",
        "tests/mcq/test_layout.py",
        ("tokens: nothing of an option's own", "min(map(len, self.sequences)) - 1", "min(map(len, self.sequences))"),
    ),
    *edits(
        "src/llmtuner/data/tokens/joint.py",
        "tests/data/tokens/test_joint.py",
        ("tokens: letters scored one token late", "[sequence[shared] if", "[sequence[shared - 1] if"),
    ),
    *edits(
        "src/llmtuner/data/tokens/pair.py",
        "tests/data/tokens/test_pair.py",
        ("tokens: no blank between context and question", 'f" {question.question}"', 'f"{question.question}"'),
    ),
    *edits(
        "src/llmtuner/data/predictions.py",
        "tests/data/test_predictions.py",
        ("predictions: ties ranked from the last letter", "(-self.scores[i], i)", "(-self.scores[i], -i)"),
        ("submission: two letters a question", "BEST = 3", "BEST = 2"),
        ("predictions: infinity in JSON", "return None if score == -math.inf else score", "return score"),
    ),
    *edits(
        "src/llmtuner/mcq/questions.py",
        "tests/mcq/test_questions.py",
        ("questions: a permuted answer stays in place", "order.index(question.answer)", "question.answer"),
    ),
    *edits(
        "src/llmtuner/mcq/layouts/shared_prefix.py",
        "tests/mcq/test_layout.py",
        ("layout: positions along the row", "range(shared, len(sequence))", "range(len(row.positions), len(row.ids))"),
    ),
    *edits(
        "src/llmtuner/mcq/layouts/base.py",
        "tests/mcq/test_layout.py",
        ("layout: a token's place off by one", "+ token - self.shared", "+ token - self.shared - 1"),
    ),
    *edits(
        "src/llmtuner/mcq/attention.py",
        "tests/mcq/test_layout.py",
        ("mask: an option sees those before it", "own_BQT = query_BQ1 == key_B1T", "own_BQT = query_BQ1 >= key_B1T"),
        ("mask: the next token is seen", "(distance_BQT >= 0)", "(distance_BQT >= -1)"),
    ),
    *edits(
        "src/llmtuner/mcq/attention.py",
        "tests/mcq/test_exactness.py::test_a_window_narrower_than_the_row_is_masked_everywhere",
        ("mask: a window one token wider", "(distance_BQT < window)", "(distance_BQT <= window)"),
    ),
    *edits(
        "src/llmtuner/mcq/attention.py",
        (
            "tests/mcq/test_exactness.py::test_neighbours_in_the_batch_change_nothing",
            "tests/mcq/test_exactness.py::test_every_pooling_agrees_in_both_layouts",
        ),
        ("mask: the common prefix is not causal", "*prefix, None, is_causal=True", "*prefix, None, is_causal=False"),
    ),
    *edits(
        "src/llmtuner/mcq/pooling.py",
        "tests/mcq/test_pooling.py",
        ("pooling: the token before the last", "return length - 1, length", "return length - 2, length - 1"),
        ("pooling: a mean over padding", "counts_QNS.sum(-1, keepdim=True).clamp(min=1)", "counts_QNS.shape[-1]"),
    ),
    *edits(
        "src/llmtuner/mcq/pooling.py",
        "tests/mcq/test_head_layouts.py::test_spans_follow_the_text_where_the_common_prefix_runs_into_the_options",
        ("pooling: a passage without context", "begin = tokens.context[0] if", "begin = tokens.question[0] if"),
    ),
    *edits(
        "src/llmtuner/mcq/collate.py",
        "tests/mcq/test_encoders.py",
        ("collate: token_type_ids off by one", "positions_BT >= torch", "positions_BT > torch"),
    ),
    *edits(
        "src/llmtuner/mcq/layouts/joint.py",
        "tests/mcq/test_questions.py",
        ("layout: joint positions from 1", "list(range(len(ids)))", "list(range(1, len(ids) + 1))"),
    ),
    *edits(
        "src/llmtuner/mcq/model.py",
        "tests/mcq/test_encoders.py",
        ("encoders: positions off by one", "(config.pad_token_id or 0) + 1", "(config.pad_token_id or 0)"),
    ),
    *edits(
        "src/llmtuner/mcq/model.py",
        "tests/patches/test_encoder.py",
        (
            "encoders: the pooler is trained",
            "            parameter.requires_grad_(False)",
            "            parameter.requires_grad_(True)",
        ),
    ),
    *edits(
        "src/llmtuner/mcq/compare.py",
        "tests/mcq/test_check.py",
        ("check: a bound 25 times wider", "return MARGIN *", "return 25 * MARGIN *"),
    ),
    *edits(
        "src/llmtuner/mcq/heads/duma.py",
        "tests/mcq/heads/test_formulas.py",
        ("duma: the passage's residual removed", "passage.states + of_passage", "of_passage"),
        ("duma: one direction's weights for both", "place + self._directions - 1", "place"),
    ),
    *edits(
        "src/llmtuner/mcq/heads/cduma.py",
        "tests/mcq/heads/test_formulas.py",
        ("cduma: the gate turned round", "gate * answer.states + (1 - gate) *", "(1 - gate) * answer.states + gate *"),
    ),
    *edits(
        "src/llmtuner/mcq/heads/attention.py",
        "tests/mcq/heads/test_formulas.py",
        ("cduma: an option among its rivals", "option_S[:, None] != option_S", "option_S[:, None] >= 0 * option_S"),
    ),
    *edits(
        "src/llmtuner/mcq/heads/base.py",
        "tests/mcq/heads/test_formulas.py",
        ("heads: a mean over padding", "mask_QMS.sum(-1, keepdim=True).clamp(min=1)", "mask_QMS.shape[-1]"),
    ),
    *edits(
        "src/llmtuner/mcq/heads/option_mean.py",
        "tests/mcq/heads/test_formulas.py",
        ("option_mean: the mean counts the option itself", "(mask_QN.sum(-1) - 1).clamp(min=1)", "mask_QN.sum(-1)"),
    ),
    *edits(
        "src/llmtuner/mcq/heads/base.py",
        "tests/mcq/heads/test_heads.py",
        ("heads: scores in half precision", "layer.weight.float(), bias)", "layer.weight.float(), bias).bfloat16()"),
    ),
    *edits(
        "src/llmtuner/mcq/orders.py",
        "tests/mcq/test_orders.py",
        ("orders: averaged by place", "[(option - shift) % options]", "[option]"),
        (
            "orders: rotated the other way",
            "(*options[shift:], *options[:shift])",
            "(*options[-shift:], *options[:-shift])",
        ),
        ("orders: the answer stays", "(answer - shift) % len(options)", "answer"),
        ("orders: an order twice", "min(orders, len(question.options))", "orders"),
        ("orders: always the first order", "if shift else self.tokens[row]", "if not shift else self.tokens[row]"),
        ("orders: logits averaged", "score - _log_sum_exp(of_order) for", "score - max(of_order) for"),
        ("orders: a probability underflows", "math.log(sum(math.exp(value - highest)", "math.log(sum(math.exp(value)"),
    ),
    *edits(
        "src/llmtuner/mcq/run.py",
        "tests/mcq/test_orders.py",
        (
            "orders: for options that do not see each other",
            "if orders > 1 and layout_of",
            "if orders > 10 and layout_of",
        ),
        ("orders: without a prediction", "if self.option_orders > 1 and not", "if self.option_orders > 10 and not"),
    ),
    *edits(
        "patches/letter_scores.py",
        "tests/test_orders_runs.py",
        ("orders: not in stage sft", "orders=1 if self._orders is None else self._orders.count", "orders=1"),
    ),
    *edits(
        "patches/mcq_stage/run.py",
        "tests/test_orders_runs.py",
        ("orders: not in stage mcq", '"predict", orders=orders)', '"predict")'),
    ),
    *edits(
        "src/llmtuner/mcq/letter.py",
        "tests/mcq/test_letter.py",
        ("letter: half precision", "weight_LD = head.weight[rows_L].float()", "weight_LD = head.weight[rows_L]"),
    ),
    *edits(
        "src/llmtuner/mcq/collate.py",
        "tests/mcq/test_likelihood.py",
        ("likelihood: predicted from the token itself", "range(b - 1, e - 1)", "range(b, e)"),
        ("likelihood: divisors of the norm dropped", "max(1, divisor_of(tokens, option))", "max(1, 1)"),
    ),
    *edits(
        "src/llmtuner/data/tokens/option.py",
        "tests/mcq/test_likelihood.py",
        ("likelihood: the end token is scored", "return (begin, end) if", "return (begin, end + 1) if"),
        ("likelihood: a blank option is scored", "if self.characters[option] else (begin, begin)", ""),
        (
            "likelihood: the neutral prompt has a question",
            "part for part in bare.prompt if part != QUESTION",
            "bare.prompt",
        ),
        ("likelihood: no token before the first", "prompt = (_first_token(self.tokenizer),)", "pass"),
    ),
    *edits(
        "src/llmtuner/mcq/likelihood.py",
        "tests/mcq/test_likelihood.py",
        ("likelihood: another target in each chunk", "targets_P.split(rows)", "targets_P.flip(0).split(rows)"),
        ("likelihood: one chunk", "max(1, CHUNK // text_config(model).vocab_size)", "len(targets_P)"),
        ("likelihood: logits stored for the backward pass", "if torch.is_grad_enabled():", "if False:"),
        ("likelihood: half precision", "linear_in_fp32(head.weight.float(), bias)", "head.forward"),
        (
            "likelihood: what follows the head left out",
            "type(model).forward(model, input_ids=ids_R1, use_cache=False).logits",
            "head(states_RD[:, None])",
        ),
    ),
    *edits(
        "src/llmtuner/mcq/lm_head.py",
        "tests/mcq/test_likelihood.py",
        ("lm_head: another library's forward deleted", "if before is None:", "if True:"),
    ),
    *edits(
        "src/llmtuner/mcq/predict.py",
        "tests/mcq/test_likelihood.py",
        (
            "pmi: the neutral sum added",
            "UNSCORED if score == UNSCORED else score - base",
            "UNSCORED if score == UNSCORED else score + base",
        ),
        ("predict: a blank option gets a number", "number_N.where(mask_N, torch.tensor(UNSCORED))", "number_N"),
    ),
    *edits(
        "src/llmtuner/mcq/option_texts.py",
        "tests/mcq/test_option_texts.py",
        ("texts: options without tokens scored", "if begin == end and characters", "if False"),
        ("texts: blank answers learnt", "    if training:\n", "    if False:\n"),
    ),
    *edits(
        "src/llmtuner/mcq/run.py",
        "tests/mcq/test_settings.py",
        ("run: pmi is trained", "if self.training and norm is not None", "if False and norm is not None"),
        ("run: no head on top of one without weights", "and training and _leaves_no_head(stored, given)", "and False"),
    ),
    *edits(
        "src/llmtuner/metrics.py",
        "tests/test_metrics.py",
        ("nll: infinite losses counted", "[loss for loss in known if loss < np.inf] or known", "known"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/cross_entropy.py",
        "tests/mcq/losses/test_cross_entropy.py",
        (
            "cross_entropy: smoothing over padding",
            "(log_p_QN * mask_QN).sum(-1) / mask_QN.sum(-1)",
            "log_p_QN.mean(-1)",
        ),
    ),
    *edits(
        "src/llmtuner/mcq/losses/binary.py",
        "tests/mcq/losses/test_losses.py",
        ("binary: a sum in place of a mean", ".sum(-1) / mask_QN.sum(-1)", ".sum(-1)"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/ranknet.py",
        "tests/mcq/losses/test_losses.py",
        ("ranknet: a mean over all options", "/ wrong_QN.sum(-1)", "/ (wrong_QN.sum(-1) + 1)"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/lambda_map3.py",
        "tests/mcq/losses/test_losses.py",
        ("lambda_map3: a tie counts as won", "((deficits_QN >= 0) & wrong_QN)", "((deficits_QN > 0) & wrong_QN)"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/approx_map3.py",
        "tests/mcq/losses/test_losses.py",
        ("approx_map3: the cut at place 3", "(K + 0.5 - rank_Q)", "(K - rank_Q)"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/expected_map3.py",
        "tests/mcq/losses/test_losses.py",
        ("expected_map3: the third place earns a half", "new_tensor(3.0)", "new_tensor(2.0) + 0"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/log_expected_map3.py",
        "tests/mcq/losses/test_losses.py",
        ("log_expected_map3: half of it", "return -log_expected(", "return -0.5 * log_expected("),
    ),
    *edits(
        "src/llmtuner/mcq/losses/poly1.py",
        "tests/mcq/losses/test_losses.py",
        ("poly1: its term turned round", "EPSILON * (1 - p_answer_Q)", "EPSILON * p_answer_Q"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/topk_ce.py",
        "tests/mcq/losses/test_losses.py",
        ("topk_ce: weights in another order", "PLACES = (1 / 2, 1 / 6, 1 / 3)", "PLACES = (1 / 3, 1 / 6, 1 / 2)"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/rdrop.py",
        "tests/mcq/losses/test_losses.py",
        ("rdrop: not halved", ".sum(-1) / 2", ".sum(-1)"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/criterion.py",
        "tests/mcq/losses/test_losses.py",
        ("mixture: weights ignored", "weight * loss(", "loss("),
    ),
    *edits(
        "src/llmtuner/mcq/losses/criterion.py",
        "tests/mcq/losses/test_criterion.py",
        ("objective: a warm-up at the end", "progress < self", "progress >= self"),
    ),
    *edits(
        "src/llmtuner/mcq/losses/criterion.py",
        ("tests/mcq/losses/test_criterion.py", "tests/mcq/test_trainer.py"),
        ("objective: an evaluation is smoothed", "self._unsmoothed(", "self._mixture("),
    ),
    *edits(
        "src/llmtuner/metrics.py",
        "tests/test_metrics.py",
        ("metrics: a tie counts as won", "+ 1, rank.above + rank.tied + 1)", "+ 1, rank.above + 2)"),
        ("metrics: MAP@3 counts two places", "if place <= k)", "if place < k)"),
    ),
    *edits(
        "src/llmtuner/metrics.py",
        "tests/test_metrics_oracles.py",
        ("metrics: gaps of the bins cancel in ECE", "np.abs(gaps).sum()", "np.abs(gaps.sum())"),
    ),
    *edits(
        "src/llmtuner/metrics.py",
        ("tests/test_metrics.py", "tests/mcq/test_evidence.py::test_seeds_that_scatter_show_no_difference"),
        ("metrics: seeds not drawn for an interval", "if seeds > 1 else [0]", "if seeds > 99 else [0]"),
    ),
    *edits(
        "src/llmtuner/data/baselines.py",
        "tests/data/test_baselines.py",
        ("baselines: the shortest option", "[len(option) for", "[-len(option) for"),
        ("baselines: places of the scored answers", "trained or answer_places(known)", "answer_places(known)"),
    ),
    *edits(
        "src/llmtuner/data/scoring.py",
        "tests/data/test_scoring.py",
        ("scoring: every shared text is a leak", 'not context or "" in seen or context in seen', "True"),
        ("scoring: places that do not exist", "rows >= ENOUGH and letter not in places", "letter not in places"),
    ),
    *edits(
        "src/llmtuner/report/summary.py",
        "tests/test_scripts.py",
        ("compare: other answers are the same", "if answer != answers[key]", "if key not in answers"),
        ("compare: repeated ids are joined", "if key in answers:", "if False:"),
    ),
    *edits(
        "src/llmtuner/report/paired.py",
        "tests/report/test_paired.py",
        ("paired: p can be zero", "return (1 + reached) / (1 + flips)", "return reached / flips"),
        ("paired: equal sums are compared bit by bit", "np.sum(difference_N))) - _EQUAL", "np.sum(difference_N)))"),
        ("paired: p is one-sided", "sums_R = np.abs((2 *", "sums_R = ((2 *"),
        ("paired: Holm without its order", "largest = max(largest, min(1.0,", "largest = max(0.0, min(1.0,"),
        ("paired: Bonferroni in place of Holm", "(len(p_values) - rank)", "len(p_values)"),
        ("paired: seeds are not drawn", "if seeds == 1:", "if seeds:"),
        ("paired: the same seeds for both arms", "means[second], seed, 2)", "means[second], seed, 1)"),
        ("paired: the arms in the wrong order", "values[first].mean(0) - values", "values[second].mean(0) - values"),
        ("paired: needed without power", "normal.inv_cdf(POWER)", "normal.inv_cdf(0.5)"),
        ("paired: no spread needs no questions", "if variance <= _EQUAL**2:", "if variance < 0:"),
    ),
    *edits(
        "src/llmtuner/report/comparison.py",
        "tests/test_compare.py",
        ("compare: questions in the order of the file", "for key in sorted(known)]", "for key in known]"),
        ("compare: accuracy within two places", '"accuracy": 1}', '"accuracy": 2}'),
        (
            "compare: --against corrects for every pair",
            "for arm in arms if known and arm.name != against",
            "for arm in arms",
        ),
        (
            "compare: seeds without predictions",
            "            if len(arm.runs) > 1:\n                raise",
            "            if False:\n                raise",
        ),
        ("compare: one question is compared", "and questions < 2:", "and questions < 1:"),
        ("compare: runs without answers", "if all(prediction.answer is None", "if not all(prediction.answer is None"),
    ),
    *edits(
        "src/llmtuner/data/lm_eval/samples.py",
        ("tests/data/lm_eval/test_lm_eval_samples.py", "tests/test_import_lm_eval.py"),
        (
            "lm_eval: rows in the order of the file",
            "sorted(range(len(samples)), key",
            "sorted(range(len(samples)), reverse=True, key",
        ),
        ("lm_eval: the delimiter counts as text", "text[len(DELIMITER) :]", "text[:]"),
        ("lm_eval: acc is not compared", "if sample.figures.get(figure, value) != value", "if False"),
        ("lm_eval: targets are always numbers", ', "text": _by_text}', "}"),
        ("lm_eval: repeated ids", "        if each in lines:", "        if False:"),
        ("lm_eval: repeated doc_id", "if sample.doc_id in lines:", "if False:"),
    ),
    *edits(
        "src/llmtuner/data/lm_eval/line.py",
        "tests/data/lm_eval/test_lm_eval_samples.py",
        ("lm_eval: unconditional sums are options", "return requests[:half], sums[:half]", "return requests, sums"),
        ("lm_eval: contexts may differ", "if len(set(contexts)) > 1:", "if False:"),
        ("lm_eval: infinite sums", "or number == math.inf:", "or False:"),
    ),
    *edits(
        "src/llmtuner/mcq/trained_places.py",
        "tests/test_place_baseline.py",
        ("places: the base model before its adapter", "*reversed(run.adapters), run.model", "*run.adapters"),
    ),
    *edits(
        "src/llmtuner/data/problems.py",
        "tests/data/test_problems.py",
        ("problems: a line break stays", "char.isprintable() or char in keep", "char.isprintable() or char.isspace()"),
    ),
    *edits(
        "src/llmtuner/cli/hub_tokens.py",
        "tests/cli/test_hub_tokens.py",
        ("a token stays among the flags", "return flags.without(*given)", "return flags"),
    ),
    *edits(
        "scripts/demo.py",
        "tests/test_demo.py",
        ("demo: any folder is emptied", "for name in made_names(out):", "for name in os.listdir(out):"),
        ("demo: a folder of the user's is taken", "if out.exists() and not", "if False and not"),
    ),
    *edits(
        "scripts/demo_parts/process.py",
        "tests/test_demo.py",
        ("demo: a run that failed counts as done", "        if status:", "        if False:"),
    ),
    *edits(
        "scripts/demo_parts/closing.py",
        "tests/test_demo.py",
        ("demo: a fixed sentence", "if facts[1] > 0", "if facts[1] > -1"),
        ("demo: every score is above chance", "> figures", "!= figures"),
    ),
    *edits(
        "src/llmtuner/metrics.py",
        "tests/test_metrics.py",
        ("interval: of half the questions", "multinomial(questions,", "multinomial(questions // 2,"),
    ),
    *edits(
        "src/llmtuner/report/summary.py",
        "tests/test_scripts.py",
        ("table: chance is above chance", "self.interval[0] <= chance", "self.interval[1] <= chance"),
    ),
    *edits(
        "src/llmtuner/mcq/batches.py",
        "tests/mcq/test_batches.py",
        (
            "batches: no sort within a step",
            "np.argsort([self.shapes[row][1] for row in step],",
            "np.argsort([0 for row in step],",
        ),
        ("batches: every epoch in the same order", "default_rng([self.seed, self.epoch])", "default_rng([self.seed])"),
        ("batches: a filler counts", "counted=False, epoch=self.epoch", "epoch=self.epoch"),
        ("batches: a budget of tokens exceeded", "max(1, budget // largest)", "max(1, budget // largest + 1)"),
        ("scoring: a batch of one question more", "else len(batch) == batch_size", "else len(batch) > batch_size"),
    ),
    *edits(
        "src/llmtuner/mcq/batch_order.py",
        "tests/mcq/test_batch_order.py",
        ("resume: the order of the epoch before again", "int((state.epoch or 0) + 1e-6)", "int(state.epoch or 0)"),
    ),
    *edits(
        "src/llmtuner/mcq/trainer.py",
        "tests/mcq/test_trainer.py",
        ("trainer: gradients averaged away", "(self.args.world_size if", "(1 if"),
        ("trainer: a mean of means", "count = num_items_in_batch if", "count = counts_Q.sum() if"),
        ("trainer: a filler is learnt", "losses_Q.where(counts_Q, 0.0).sum()", "losses_Q.sum()"),
    ),
    *edits(
        "src/llmtuner/mcq/pace.py",
        "tests/mcq/test_trainer.py",
        ("trainer: time left of the whole training", "seconds / done * (steps - step)", "seconds / done * steps"),
        ("trainer: time left by the steps of the run before", "max(step - (self._first_step or 0), 1)", "max(step, 1)"),
        ("pace: padding counted as tokens", "self._world * int(real_BT.sum())", "self._world * int(real_BT.numel())"),
    ),
    *edits(
        "src/llmtuner/mcq/dropout.py",
        "tests/mcq/test_dropout.py",
        ("dropout: layerdrop set, too", ' and "layer" not in name', ""),
        ("dropout: adapters lose theirs", ' or "lora_" in name', ""),
    ),
    *edits(
        "src/llmtuner/mcq/finite.py",
        "tests/mcq/test_finite.py",
        ("guard: one bad step goes through", "if args.fp16 else 1", "if args.fp16 else 2"),
    ),
    *edits(
        "src/llmtuner/mcq/choices.py",
        "tests/mcq/test_settings.py",
        ("settings: a contradiction passed over", "(None, stored_value, AUTO)", "(None, stored_value, value)"),
    ),
    *edits(
        "src/llmtuner/mcq/settings.py",
        "tests/mcq/test_settings.py",
        ("settings: any layout for any head", "if self.layout not in", "if False and self.layout not in"),
    ),
    *edits(
        "src/llmtuner/mcq/checkpoint.py",
        "tests/mcq/test_model.py",
        ("checkpoint: another base model accepted", "if given.get(name) != wanted:", "if given.get(name) is None:"),
    ),
    *edits(
        "src/llmtuner/cli/earlier_run.py",
        "tests/cli/test_earlier_run.py",
        (
            "resume: a finished run trained again",
            "if progress > 0 or ((progress == 0 or stopped_early) and not (lacks and ends_there)):",
            "if False:",
        ),
        ("resume: a training that stopped early trained again", "all(same(", "not all(same("),
        ("resume: other data of a finished run", "    if refused:\n", "    if False:\n"),
        ("resume: other settings accepted", "        if changes.refused:\n", "        if False:\n"),
        ("resume: beyond the planned end", "    if progress > 0 or (progress == 0 and was_finished):", "    if False:"),
        ("resume: another stage", "if stored.stage != planned.stage:", "if False:"),
        ("resume: later checkpoints stay", "if each.step > step or each.partial]", "if each.partial]"),
        ("resume: the best checkpoint is gone", "    if best.defect:\n", "    if False:\n"),
    ),
    *edits(
        "src/llmtuner/runs/checkpoints.py",
        "tests/cli/test_earlier_run.py",
        ("resume: checkpoints by name", "checkpoint: checkpoint.step)", "checkpoint: checkpoint.folder.name)"),
        ("resume: damage unnoticed", "            if damage:\n", "            if False:\n"),
        ("resume: without the optimizer", "            if absent:\n", "            if False:\n"),
    ),
    *edits(
        "src/llmtuner/runs/manifest.py",
        "tests/runs/test_manifest.py",
        (
            "manifest: content not compared",
            "if not defect and sha256_of_file(folder / name) != digest.sha256",
            "if False",
        ),
        ("manifest: files outside the folder", "        if outside:\n", "        if False:\n"),
    ),
    *edits(
        "src/llmtuner/runs/manifest.py",
        ("tests/runs/test_base_model.py", "tests/runs/test_intact.py"),
        (
            "manifest: checkpoints have none",
            "read_manifest(Path(folder) / RUN_MANIFEST) or ",
            "read_manifest(Path(folder) / RUN_MANIFEST) if True else ",
        ),
    ),
    *edits(
        "src/llmtuner/mcq/folders.py",
        "tests/mcq/test_folders.py",
        ("weights: any safetensors file will do", "if (folder / whole).is_file():", "if weight_files(folder):"),
    ),
    *edits(
        "src/llmtuner/runs/changes.py",
        ("tests/cli/test_earlier_run.py", "tests/runs/test_changes.py"),
        ("changes: other data", "stored.data.sha256 != planned.data.sha256", "False"),
        ("changes: another base model", "stored.base != planned.base", "False"),
        ("changes: true is 1", " and isinstance(first, bool) == isinstance(second, bool)", ""),
    ),
    *edits(
        "src/llmtuner/runs/lock.py",
        "tests/runs/test_lock.py",
        ("lock: never taken", "            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", ""),
    ),
    *edits(
        "src/llmtuner/runs/keeper.py",
        "tests/runs/test_kept_runs.py",
        ("keeper: weights not checked", "not torch.isfinite(values.detach()).all()", "False"),
        ("keeper: the best checkpoint deleted", "folder.name != best and folder != newest", "folder != newest"),
        (
            "keeper: the loss before the restart lost",
            '            trainer._total_loss_scalar = manifest.loss["total"]\n',
            "",
        ),
        (
            "keeper: no stop after a step",
            "any_process(self._stop.requested, args)",
            "any_process(False, args)",
        ),
        ("keeper: random numbers of a discarded step", "        random_state.restore()\n", ""),
    ),
    *edits(
        "src/llmtuner/runs/training.py",
        "tests/runs/test_kept_runs.py",
        ("training: a step beyond the end", "self.keeper.training_has_ended:", "False:"),
    ),
    *edits(
        "src/llmtuner/data/tokens/coverage.py",
        "tests/data/tokens/test_coverage.py",
        ("tokenizer: a lost digit is allowed", "> REFUSED or self.lost_ascii > 0", "> REFUSED"),
        ("tokenizer: silent losses are allowed", "return max(self.unknown, self.lost) >", "return self.unknown >"),
        ("tokenizer: nothing is unknown", "frozenset((*own, *tokenizer.all_special_ids))", "frozenset()"),
        ("tokenizer: only the first question", "sample = questions[:SAMPLE]", "sample = questions[:1]"),
        ("tokenizer: unknown tokens read as text", "skip_special_tokens=True", "skip_special_tokens=False"),
    ),
    *edits(
        "src/llmtuner/mcq/folders.py",
        "tests/test_broken_models.py",
        ("folder: a split file without its tensor", "if stored.get(tensor) != name:", "if False:"),
        ("folder: an index that leads out", "if Path(name).name != name]", "if False]"),
        (
            "folder: an adapter without a kind",
            "if name not in config or not isinstance(config[name], kind):",
            "if False:",
        ),
    ),
    *edits(
        "src/llmtuner/cli/preflight_model.py",
        "tests/cli/test_preflight.py",
        ("positions: no room for generated text", "positions - room)", "positions)"),
        ("positions: rows padded past the end", "positions -= positions % PACKED", "positions -= 0"),
        ("packing: rounded up", "limit // PACKED * PACKED", "(limit // PACKED + 1) * PACKED"),
    ),
    *edits(
        "src/llmtuner/mcq/model.py",
        "tests/test_broken_models.py",
        ("embeddings: one token too many", "largest >= rows", "largest > rows"),
    ),
    *edits(
        "src/llmtuner/mcq/lora_targets.py",
        "tests/mcq/test_lora_targets.py",
        ("lora: a part of a word names a module", 'name.endswith(f".{target}")', "name.endswith(target)"),
        ("lora: Mamba's outputs", "sorted(names - {*refused,", "sorted(names - {"),
    ),
    *edits(
        "src/llmtuner/mcq/questions.py",
        "tests/mcq/test_last_position.py",
        ("positions: long options go through", "if length > last", "if False"),
    ),
    *edits(
        "src/llmtuner/console.py",
        "tests/test_console.py",
        ("console: errors as before", 'errors="backslashreplace"', 'errors="strict"'),
    ),
    *edits(
        "src/llmtuner/retrieval/sentences.py",
        "tests/retrieval/test_sentences.py",
        ("sentences: abbreviations end one", "if word in _NEVER_LAST or", "if"),
        ("sentences: initials end one", "or (len(word) == 1 and word.isupper())", ""),
        (
            "sentences: list numbers stand alone",
            "if place - start <= 4 and _is_list_number",
            "if False and _is_list_number",
        ),
        ("sentences: lower case begins one", "if first.islower() and not", "if False and not"),
        ("sentences: a decimal point in Japanese ends one", 'if match["wide"] == "．" and', "if False and"),
        ("sentences: wrapped lines end one", "if _BLANK_LINE.search(blank) or", "if True or"),
        ("sentences: headings run into the text", "if text.startswith(_HEADING, line_start):", "if False:"),
    ),
    *edits(
        "src/llmtuner/retrieval/lengths.py",
        "tests/retrieval/test_lengths.py",
        ("lengths: Chinese is one long word", "(text.isascii() or _CJK.search(text) is None)", "True"),
        ("lengths: a formula of a thousand characters is a word", "default=0) <= _LONGEST", "default=0) >= 0"),
    ),
    *edits(
        "src/llmtuner/retrieval/chunks.py",
        "tests/retrieval/test_chunks.py",
        ("chunks: nothing new in the next one", "room = words - units[end][1]", "room = words"),
        ("chunks: no overlap", "end - overlap) and", "end) and"),
        ("chunks: parts of long sentences are too long", "range(words, size, words)", "range(words, size, words + 1)"),
    ),
    *edits(
        "src/llmtuner/retrieval/repeats.py",
        "tests/retrieval/test_chunk_repeats.py",
        (
            "repeats: case does not count",
            "form = normal_form(chunk.titled)",
            "form = normal_form(chunk.titled).casefold()",
        ),
        ("repeats: the title does not count", "form = normal_form(chunk.titled)", "form = normal_form(chunk.text)"),
        ("repeats: a title is a passage", "map(str.isalnum, chunk.text)", "map(str.isalnum, chunk.titled)"),
        (
            "repeats: the last word counts half",
            "[_BEGIN, *map(self.__getitem__, words), _END]",
            "[*map(self.__getitem__, words)]",
        ),
        ("repeats: hashes of this process", 'zlib.crc32(word.encode("utf-8", "surrogatepass"))', "hash(word) % 2**32"),
    ),
    *edits(
        "src/llmtuner/retrieval/near.py",
        ("tests/retrieval/test_near.py", "tests/retrieval/test_chunk_repeats.py"),
        ("near: chunks of one document are compared", "if group == self._groups[row]:", "if False:"),
        ("near: candidates are not compared", "return bool(shared >= self._threshold *", "return bool(shared >= 0 *"),
        ("near: the batch itself is not looked at", "if int(key) in in_batch]", "if False]"),
        ("near: every earlier set is compared", "_CANDIDATES = 8", "_CANDIDATES = 10**9"),
    ),
    *edits(
        "src/llmtuner/retrieval/joins.py",
        "tests/retrieval/test_joins.py",
        ("joins: words overlap", "and _ends_a_sentence(second, size)", ""),
        (
            "joins: the overlap stands twice in the surroundings",
            "part = text[overlap(previous, text) :]",
            "part = text[0:]",
        ),
    ),
    *edits(
        "src/llmtuner/retrieval/leaks.py",
        "tests/retrieval/test_leaks.py",
        ("leaks: nine tenths of the prompt", "_SHARE = (4, 5)", "_SHARE = (9, 10)"),
        ("leaks: one option is enough", "_OPTIONS = 2", "_OPTIONS = 1"),
        ("leaks: short prompts need two options", "if len(prompt_words) < _SHORT else", "if False else"),
        ("leaks: part of an option", "return f\" {' '.join(text_words)} \"", "return ' '.join(text_words)"),
        ("leaks: all words before", "*_words(before)[-AROUND:]", "*_words(before)"),
        ("leaks: no words after", "*_words(after)[:AROUND]", ""),
        ("leaks: the title does not count", "*_words(chunk.title), ", ""),
        ("leaks: grams count as often as they occur", "list(dict.fromkeys(_spaced", "list((_spaced"),
    ),
    *edits(
        "src/llmtuner/retrieval/contexts.py",
        "tests/retrieval/test_contexts.py",
        ("contexts: the best first in both orders", 'if order == "best_last":', "if False:"),
        ("contexts: a passage twice", "if form in forms or", "if"),
        ("contexts: the budget without titles", "words_of(passage.titled) for", "words_of(passage.text) for"),
        ("contexts: neighbours stand apart", "text = join(previous.text, chunk.text)", "text = None"),
        ("contexts: chunk 10 before chunk 9", 'return int(chunk.chunk_id.rpartition("#")[2])', "return chunk.chunk_id"),
    ),
    *edits(
        "src/llmtuner/retrieval/queries.py",
        "tests/retrieval/test_search_queries.py",
        ("queries: ties by chance", "key=lambda pair: (-pair[1], pair[0])", "key=lambda pair: -pair[1]"),
        ("queries: sums by order", "fsum(each)", "sum(each)"),
        ("queries: the end is cut", 'last = text[starts[len(starts) - size // 2] :] if size // 2 else ""', 'last = ""'),
    ),
    *edits(
        "src/llmtuner/retrieval/corpus/columns.py",
        ("tests/retrieval/corpus/test_corpus_readers.py", "tests/retrieval/corpus/test_corpus_files.py"),
        ("corpus: questions are read", "if is_a_form(names) or guess(names) is not None:", "if False:"),
        ("corpus: solutions are read", 'if name and role != "id" and (explains(name) or repeats(name)):', "if False:"),
        ("corpus: half a character", "if not value.isascii():", "if False:"),
        ("corpus: floats as ids", "isinstance(value, float) and value.is_integer()", "False"),
    ),
    *edits(
        "src/llmtuner/retrieval/corpus/__init__.py",
        "tests/retrieval/corpus/test_corpus_readers.py",
        ("corpus: two documents with one id", "document_id = _free_id(row.id, taken, last)", "document_id = row.id"),
        ("corpus: blank documents", "if is_blank(row.text):", "if not row.text:"),
        ("corpus: nothing to read is fine", "if not notes.documents:", "if False:"),
    ),
    *edits(
        "src/llmtuner/retrieval/corpus/files.py",
        "tests/retrieval/corpus/test_corpus_files.py",
        ("corpus: files given twice", "if counts[file.path.resolve()] > 1", "if False"),
        ("corpus: a README beside a table", "if file not in about]", "]"),
    ),
    *edits(
        "src/llmtuner/retrieval/corpus/streams.py",
        "tests/retrieval/corpus/test_corpus_readers.py",
        ("corpus: lines without end", "if size > _LONGEST:", "if False:"),
        ("corpus: a line in two parts", 'yield b"".join(rest)\n            yield from', "yield from"),
    ),
    *edits(
        "src/llmtuner/retrieval/corpus/text_file.py",
        "tests/retrieval/corpus/test_corpus_readers.py",
        (
            "corpus: wrapped texts are lists",
            "if lengths[len(lengths) // 2] > _WRAPPED *",
            "if False and 0 > _WRAPPED *",
        ),
        ("corpus: paragraphs are lists", "or filled[-1] - filled[0] >= len(filled)", ""),
    ),
    *edits(
        "src/llmtuner/retrieval/corpus/arrow_file.py",
        "tests/retrieval/corpus/test_corpus_readers.py",
        ("corpus: a cut stream is a shorter one", "check_end(file.path, file.shown)", "pass"),
    ),
    *edits(
        "src/llmtuner/retrieval/encoder_of.py",
        "tests/retrieval/test_search.py",
        ("search: another encoder accepted", "        if encoder.fingerprint != known:\n", "        if False:\n"),
    ),
    *edits(
        "src/llmtuner/retrieval/fill.py",
        "tests/retrieval/test_fill.py",
        ("contexts: refused passages are missing", "if len(chosen) < self.settings.k and", "if False and"),
        (
            "contexts: a refused passage is used",
            "                refused += 1\n                continue\n",
            "                refused += 1\n",
        ),
        (
            "contexts: one passage too many",
            "            if len(chosen) == self.settings.k:\n                break\n",
            "",
        ),
        ("contexts: the last score of several queries", "hit.score > best[hit.row].score", "True"),
        ("contexts: cut queries are not counted", "cut=cuts[row]", "cut=0"),
        ("contexts: half a character ends the search", "queries(_readable(question)", "queries((question)"),
        ("contexts: filled questions count as none", "self.filled += bool(context.ids)", "self.filled += 1"),
    ),
    *edits(
        "src/llmtuner/retrieval/question_rows.py",
        "tests/retrieval/test_question_rows.py",
        ("rows: left-over columns are read", '"kaggle", "kaggle_apart"]', '"kaggle"]'),
        ("rows: NaN in JSON", "value if math.isfinite(value) else None", "value"),
        (
            "rows: the source's form is taken for good",
            "_meaning(question) == _meaning(",
            "True or _meaning(question) == _meaning(",
        ),
        ("rows: blank contexts are not tried", "for part in (0, 1)", "for part in (1,)"),
        ("rows: line separators in a line", '.replace("\\u2028", "\\\\u2028")', ""),
        ("rows: half a character", 'if any("\\ud800" <= char <= "\\udfff" for char in text):', "if False:"),
    ),
    *edits(
        "src/llmtuner/retrieval/settings.py",
        "tests/retrieval/test_fill.py",
        ("contexts: a zero-width space is a context", "is_blank(question.context)", "not question.context.strip()"),
    ),
    *edits(
        "src/llmtuner/retrieval/settings.py",
        "tests/retrieval/test_context_cache.py",
        ("cache: a moved index is another one", '("index", "rerank", "replace")}', '("rerank", "replace")}'),
    ),
    *edits(
        "src/llmtuner/retrieval/cache.py",
        "tests/retrieval/test_context_cache.py",
        ("cache: options do not count", "[question.question, question.options]", "[question.question]"),
        (
            "cache: damage ends the run",
            "    except (ValueError, TypeError):\n        return None",
            "    except OSError:\n        return None",
        ),
        ("cache: damage stays", "path.unlink(missing_ok=True)", "pass"),
        (
            "cache: more keys than a query takes",
            "for start in range(0, len(keys), _AT_ONCE):",
            "for start in range(0, 1):",
        ),
    ),
    *edits(
        "src/llmtuner/cache.py",
        "tests/retrieval/test_context_cache.py",
        (
            "cache: two runs at once",
            "                fcntl.flock(file, fcntl.LOCK_EX)\n        yield",
            "                pass\n        yield",
        ),
    ),
    *edits(
        "src/llmtuner/retrieval/in_run.py",
        "tests/retrieval/test_in_run.py",
        (
            "retrieve: own contexts are replaced",
            "else None\n        filled.append(question if context is None",
            "else Context('', (), ())\n        filled.append(question if context is None",
        ),
        ("retrieve: nothing is cached", "        cache.write(retrieved)\n", ""),
        ("retrieve: all processes speak", "    if speaks and questions:\n", "    if questions:\n"),
    ),
    *edits(
        "src/llmtuner/retrieval/check.py",
        "tests/retrieval/test_in_run.py",
        (
            "retrieve: another index accepted",
            "if settings.fingerprint and settings.fingerprint != actual:",
            "if False:",
        ),
        ("retrieve: another reranker accepted", "if settings.reranker and settings.reranker != reranker:", "if False:"),
        ("retrieve: the note is content", "manifest.term_rules, encoder", "manifest.note, encoder"),
    ),
    *edits(
        "src/llmtuner/cli/preflight_retrieve.py",
        "tests/cli/test_preflight_retrieve.py",
        (
            "retrieve: a training stores an old index",
            "retrieve={} if settings is None else settings.to_json()",
            "**({} if settings is None else {'retrieve': settings.to_json()})",
        ),
        (
            "retrieve: a training takes a stored index",
            'stored = None if flags["do_train"] else _stored',
            "stored = _stored",
        ),
        (
            "retrieve: the model counts before the adapter",
            '[*reversed(adapters), flags["model_name_or_path"]]',
            '[flags["model_name_or_path"], *adapters]',
        ),
        (
            "retrieve: stored settings are lost",
            "replace(_changed(stored, given), index=index",
            "replace(Retrieve(index=index, **given), index=index",
        ),
    ),
    *edits(
        "src/llmtuner/runs/changes.py",
        "tests/runs/test_changes.py",
        ("resume: another index accepted", "        elif before[digest] != now[digest]:\n", "        elif False:\n"),
        (
            "resume: contexts may come and go",
            '            if not same(old, new):\n                yield f"--{flag} stored',
            '            if False:\n                yield f"--{flag} stored',
        ),
    ),
    *edits(
        "src/llmtuner/mcq/rerank.py",
        "tests/mcq/test_scorer_reranks.py",
        ("rerank: heads that compare options", "    elif head.compares:\n", "    elif False:\n"),
        ("rerank: joint prompts", 'elif layout_of(settings.layout).text != "option":', "elif False:"),
        ("rerank: a passage alone", "tuple(part) if len(part) >= MIN_OPTIONS else (*part, *part)", "tuple(part)"),
        (
            "rerank: long passages are not cut",
            "return query, [_beginning(passage, room, self._count) for passage in passages]",
            "return query, [*passages]",
        ),
        ("rerank: the digest knows no settings", "{name: stored.get(name) for name in _SHAPES}", "{}"),
    ),
)
