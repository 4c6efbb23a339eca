"""What every head must do, and how co-attention behaves, tested from outside."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from llmtuner.mcq.duma_options import resolve_duma
from llmtuner.mcq.heads import HEADS
from llmtuner.mcq.heads.attention import CoAttention
from llmtuner.mcq.heads.base import OptionHead, TokenStates, masked_mean
from llmtuner.mcq.settings import McqSettings
from llmtuner.spec.heads import HEADS as DECLARED

WIDTH = 24
CONFIG = {"hidden_size": WIDTH, "num_attention_heads": 4}
KINDS = {name: (name, {}) for name in HEADS} | {
    "duma-2-layers": ("duma", {"layers": 2, "share": False, "heads": 2}),
    "duma-paper": ("duma", {"preset": "paper"}),
    "duma-paper-2": ("duma", {"preset": "paper", "layers": 2}),
    "cduma-paper": ("cduma", {"preset": "paper"}),
}
EVERY = pytest.mark.parametrize("kind", KINDS)
READERS = pytest.mark.parametrize("kind", [kind for kind in KINDS if "duma" in kind])


def make(kind: str, *, trained: bool = True, hidden: int = WIDTH) -> OptionHead:
    """A head; if trained, none of its weights is zero."""
    torch.manual_seed(0)
    name, given = KINDS[kind]
    config = {**CONFIG, "hidden_size": hidden}
    duma = resolve_duma(given, config) if DECLARED[name].measures == "duma" else None
    head = HEADS[name].make(hidden, McqSettings(head=name, duma=duma))
    if trained:
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return head.eval()


class Inputs:
    """Two questions: three and five options, passages of 7 and 4 tokens, option texts of one to six tokens."""

    def __init__(self, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        normal = lambda *shape: torch.randn(*shape, WIDTH, generator=draw)  # noqa: E731
        self.features = normal(2, 5)
        self.mask = torch.tensor([[True, True, True, False, False], [True] * 5])
        self.passage = TokenStates(normal(2, 1, 7), torch.arange(7) < torch.tensor([7, 4])[:, None, None])
        lengths = torch.tensor([[6, 1, 3, 0, 0], [2, 5, 1, 4, 6]])
        self.answer = TokenStates(normal(2, 5, 6), torch.arange(6) < lengths[..., None])

    def score(self, head: OptionHead) -> torch.Tensor:
        scores = head(self.features, self.mask, self.passage, self.answer)
        return scores.masked_fill(~self.mask, 0.0)


def test_the_registry_gives_heads():
    assert {name for name, _ in KINDS.values()} == HEADS.keys()


@EVERY
def test_scores_are_fp32_and_every_weight_has_a_gradient(kind):
    head, inputs = make(kind), Inputs()
    inputs.features = inputs.features.bfloat16()
    scores = inputs.score(head)
    assert scores.shape == (2, 5)
    assert scores.dtype == torch.float32
    (scores * torch.randn(2, 5)).sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None, name
        # A key bias shifts all scores of a query equally, so the softmax ignores it.
        assert "mcq_key.bias" in name or parameter.grad.abs().sum() > 1e-6, name


@EVERY
def test_a_fresh_head_starts_as_the_linear_one(kind):
    head, inputs = make(kind, trained=False), Inputs()
    expected = functional.linear(inputs.features, head.mcq_score.weight, head.mcq_score.bias).squeeze(-1)
    torch.testing.assert_close(inputs.score(head), expected.masked_fill(~inputs.mask, 0.0))


@EVERY
def test_permuting_the_options_permutes_the_scores(kind):
    head, inputs = make(kind), Inputs()
    expected, order = inputs.score(head), torch.tensor([3, 0, 4, 2, 1])
    inputs.features, inputs.mask = inputs.features[:, order], inputs.mask[:, order]
    inputs.answer = TokenStates(*(part[:, order] for part in inputs.answer))
    torch.testing.assert_close(inputs.score(head), expected[:, order], rtol=1e-5, atol=1e-5)


@EVERY
def test_padding_and_neighbours_change_nothing(kind):
    """A mean over padding shrinks with the length of a span: the trap of DUMA's official code."""
    head, inputs = make(kind), Inputs()
    expected = inputs.score(head)
    for row, options in enumerate((3, 5)):
        alone = Inputs()
        alone.features, alone.mask = inputs.features[row : row + 1, :options], inputs.mask[row : row + 1, :options]
        passage, answer = int(inputs.passage.mask[row].sum()), int(inputs.answer.mask[row].sum(-1).max())
        alone.passage = TokenStates(*(part[row : row + 1, :, :passage] for part in inputs.passage))
        alone.answer = TokenStates(*(part[row : row + 1, :options, :answer] for part in inputs.answer))
        torch.testing.assert_close(alone.score(head)[0], expected[row, :options], rtol=1e-5, atol=1e-5)
    for tokens in (inputs.passage, inputs.answer):
        tokens.states[~tokens.mask] = 1e4
    torch.testing.assert_close(inputs.score(head), expected, rtol=1e-5, atol=1e-5)


@EVERY
def test_a_passage_for_each_option_is_the_same_as_a_shared_one(kind):
    head, inputs = make(kind), Inputs()
    expected = inputs.score(head)
    inputs.passage = TokenStates(*(part.expand(2, 5, *part.shape[2:]) for part in inputs.passage))
    torch.testing.assert_close(inputs.score(head), expected, rtol=1e-5, atol=1e-5)


@EVERY
@pytest.mark.parametrize("empty", ["passage", "answer", "both"])
def test_empty_spans_give_finite_scores_and_gradients(kind, empty):
    head, inputs = make(kind), Inputs()
    for name in ("passage", "answer"):
        if empty in (name, "both"):
            tokens = getattr(inputs, name)
            setattr(inputs, name, TokenStates(tokens.states.requires_grad_(), torch.zeros_like(tokens.mask)))
    scores = inputs.score(head)
    scores.sum().backward()
    assert torch.isfinite(scores).all()
    for parameter in head.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()
    for tokens in (inputs.passage, inputs.answer):
        assert tokens.states.grad is None or torch.isfinite(tokens.states.grad).all()


@EVERY
def test_which_options_are_compared(kind):
    """If one option changes, only heads that compare options change the scores of the others."""
    head, inputs = make(kind), Inputs()
    before = inputs.score(head)
    inputs.features[1, 2] += 1
    inputs.answer.states[1, 2] += torch.randn(WIDTH)
    changed = (inputs.score(head) - before).abs() > 1e-6
    assert not changed[0].any()
    assert changed[1, 2]
    others = changed[1, [0, 1, 3, 4]]
    assert others.all() if kind.startswith(("cduma", "option_mean")) else not others.any()


def test_option_mean_is_a_linear_head_to_every_loss_that_compares_options():
    """Its docstring says so: a user should not expect more of it."""
    head, inputs = make("option_mean"), Inputs()
    inputs.mask[:] = True
    scores = inputs.score(head)
    weights = head.mcq_score.weight - head.mcq_others.weight / 4
    linear = functional.linear(inputs.features, weights).squeeze(-1)
    torch.testing.assert_close(scores.softmax(-1), linear.softmax(-1))


@READERS
def test_the_words_are_read(kind):
    head, inputs = make(kind), Inputs()
    before = inputs.score(head)
    inputs.passage.states[0, 0, 3] += torch.randn(WIDTH)
    assert ((inputs.score(head) - before)[0, :3].abs() > 1e-7).all()


def test_co_attention_is_torchs_multi_head_attention():
    torch.manual_seed(0)
    ours, theirs = CoAttention(WIDTH, 4), torch.nn.MultiheadAttention(WIDTH, 4, batch_first=True)
    with torch.no_grad():
        for part, layer in zip(
            theirs.in_proj_weight.chunk(3), (ours.mcq_query, ours.mcq_key, ours.mcq_value), strict=True
        ):
            part.copy_(layer.weight)
        for part, layer in zip(
            theirs.in_proj_bias.chunk(3), (ours.mcq_query, ours.mcq_key, ours.mcq_value), strict=True
        ):
            part.copy_(layer.bias)
        theirs.out_proj.load_state_dict(ours.mcq_output.state_dict())
    inputs = Inputs()
    actual = ours(inputs.answer, inputs.passage)
    for row in range(2):
        for option in range(5):
            missing = ~inputs.passage.mask[row]
            keys = inputs.passage.states[row]
            expected, _ = theirs(inputs.answer.states[row, option][None], keys, keys, key_padding_mask=missing)
            torch.testing.assert_close(actual[row, option], expected[0], rtol=1e-5, atol=1e-5)


def test_across_reads_the_other_options_and_never_the_own_one():
    torch.manual_seed(0)
    attend, inputs = CoAttention(WIDTH, 4), Inputs()
    actual = attend.across(inputs.answer)
    for row, options in enumerate((3, 5)):
        for option in range(options):
            rivals = [rival for rival in range(options) if rival != option]
            keys = torch.cat([inputs.answer.states[row, o][inputs.answer.mask[row, o]] for o in rivals])[None, None]
            alone = TokenStates(keys, torch.ones(keys.shape[:3], dtype=torch.bool))
            queries = TokenStates(*(part[row : row + 1, option : option + 1] for part in inputs.answer))
            torch.testing.assert_close(actual[row, option], attend(queries, alone)[0, 0], rtol=1e-5, atol=1e-5)


def test_a_masked_mean_counts_only_existing_tokens():
    states = torch.tensor([[[[1.0], [3.0], [100.0]], [[5.0], [5.0], [5.0]]]])
    mask_QN = torch.tensor([[[True, True, False], [False, False, False]]])
    assert masked_mean(states, mask_QN).flatten().tolist() == [2.0, 0.0]


@pytest.mark.parametrize(("kind", "millions"), [("duma", 3.2), ("cduma", 4.8)])
def test_the_default_stays_small_on_a_model_4096_wide(kind, millions):
    assert make(kind, trained=False, hidden=4096).count() < millions * 1e6 < 5e6


def test_the_papers_block_is_as_large_as_the_paper_says():
    """3 (d^2 + d) for queries, keys and values; 2 d for the scores; no output projection, norm or bottleneck."""
    head = make("duma-paper", trained=False, hidden=768)
    assert head.count() - sum(p.numel() for p in head.mcq_score.parameters()) == 3 * (768**2 + 768) + 2 * 768
    twice = make("duma-paper-2", trained=False, hidden=768)
    assert twice.count() == head.count(), "its layers are one module, run again"


@READERS
def test_dropout_is_for_training_alone(kind):
    head, inputs = make(kind), Inputs()
    for attend in head.modules():
        if isinstance(attend, CoAttention):
            attend._dropout = 0.5
    torch.testing.assert_close(inputs.score(head), inputs.score(head))
    head.train()
    assert not torch.equal(inputs.score(head), inputs.score(head))


@EVERY
def test_no_target_of_an_adapter_matches_the_names_of_layers(kind):
    assert all(name.split(".")[0].startswith("mcq_") for name, _ in make(kind).named_parameters())
    leaves = [name for name, module in make(kind).named_modules() if isinstance(module, torch.nn.Linear)]
    assert all(name.split(".")[-1].startswith("mcq_") for name in leaves)
