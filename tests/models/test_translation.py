"""Sequence to sequence: attention, teacher forcing, beam search."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qrnn import QRNN, ConfigError
from qrnn.config import TrainConfig
from qrnn.data import IGNORED, Batch, DigitsConfig, Shape
from qrnn.devices import DeviceOptions
from qrnn.evaluation.metrics import bleu
from qrnn.models.attention import ATTENTIONS, Attention
from qrnn.models.build import build_model
from qrnn.models.translation import BOS, EOS, PAD, Translator
from qrnn.networks import HybridConfig

V = 6  # target tokens; 4 and 5 are words
SHAPE = Shape("translate", V, 7, tokens=True)


def translator(seed=0, **model) -> Translator:
    torch.manual_seed(seed)
    options = {"n_qubits": 2, "width": 6, "embedding": 5} | model
    config = TrainConfig(task=DigitsConfig(), model=HybridConfig(**options))
    built = build_model(config, SHAPE)
    with torch.no_grad():  # far from the even distribution of an untrained head
        built.head.weight.mul_(30)
    return built.eval()


def sources(rows=3, steps=4):
    x = torch.randint(4, 7, (rows, steps), generator=torch.Generator().manual_seed(1))
    return x, torch.tensor([4, 2, 3])[:rows]


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_attention_is_the_papers_equation(kind):
    torch.manual_seed(0)
    attend = Attention(3, 4, kind)
    queries, keys, lengths = torch.randn(2, 5, 3), torch.randn(2, 6, 4), torch.tensor([6, 2])
    contexts, weights = attend(queries, keys, lengths)
    for b, u in itertools.product(range(2), range(5)):
        mapped = [attend.keys.weight @ keys[b, s] for s in range(lengths[b])]
        if kind == "dot":
            scores = [queries[b, u] @ k for k in mapped]
        else:
            query = attend.queries(queries[b, u])
            scores = [(attend.score.weight[0] * torch.tanh(query + k)).sum() for k in mapped]
        wanted = torch.stack(scores).softmax(0)
        assert torch.allclose(weights[b, u, : lengths[b]], wanted, atol=1e-6)
        assert (weights[b, u, lengths[b] :] == 0).all()
        mean = sum(w * keys[b, s] for s, w in enumerate(wanted))
        assert torch.allclose(contexts[b, u], mean, atol=1e-6)


def test_an_unknown_attention_is_refused():
    with pytest.raises(ConfigError, match=r"attention 'multi' is not known"):
        Attention(2, 2, "multi")


def targets():
    y = torch.full((3, 5), IGNORED)
    y[0, :4], y[1, :2], y[2, :5] = torch.tensor([4, 5, 5, EOS]), torch.tensor([5, EOS]), 4
    return y


def test_a_label_is_predicted_from_the_labels_before_it_alone():
    model, (x, lengths), y = translator(), sources(), targets()
    logits = model.answer(Batch(x, y, lengths)).logits
    other = y.clone()
    other[2, 3] = 5
    changed = model.answer(Batch(x, other, lengths)).logits
    assert torch.allclose(changed[2, :4], logits[2, :4])
    assert not torch.allclose(changed[2, 4], logits[2, 4])
    padded = x.clone()
    padded[1, 2:], padded[2, 3:] = 1, 2
    same = model.answer(Batch(padded, y, lengths)).logits
    assert torch.allclose(same, logits, atol=1e-6)


def test_the_decoder_begins_from_the_encoders_hidden_state():
    torch.manual_seed(0)
    embeds = [nn.Sequential(nn.Embedding(7, 5)), nn.Sequential(nn.Embedding(V, 5))]
    networks = [QRNN(5, 2, batch_first=True, width=6) for _ in range(2)]
    x, lengths = sources()
    tokens = torch.tensor([[BOS, 4]] * 3)
    states = {}
    for hands_over in (True, False):
        model = Translator(*networks, *embeds, V, hands_over=hands_over)
        source = model.encode(x, lengths)
        states[hands_over] = model.decode(source, tokens)[2]
        # Only the state can differ.
        wanted, _ = networks[1](embeds[1](tokens), source.state)
        assert torch.allclose(states[hands_over], wanted)
    assert not torch.allclose(states[True], states[False])


def score(model, x, lengths, tokens, penalty):
    y = torch.tensor([tokens])
    logits = model.answer(Batch(x, y, lengths)).logits[0].double()
    logits[:, [PAD, BOS]] = -torch.inf
    return logits.log_softmax(1)[range(len(tokens)), y[0]].sum() / len(tokens) ** penalty


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2}])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_likeliest_of_all_targets(options, penalty):
    model, (x, lengths) = translator(3, **options), sources()
    most = 3
    found, maps = model.translate(x, lengths, beam=200, max_steps=most, length_penalty=penalty)
    words = [1, 4, 5]
    ended = [(*w, EOS) for n in range(most) for w in itertools.product(words, repeat=n)]
    # What has not ended after the last step may be likelier, but is no answer.
    for row in range(3):
        one, length = x[row : row + 1, : lengths[row]], lengths[row : row + 1]
        scores = [score(model, one, length, tokens, penalty) for tokens in ended]
        best = ended[int(torch.stack(scores).argmax())]
        assert found[row] == [token for token in best if token != EOS]
        assert maps[row].shape == (len(found[row]), lengths[row])
        assert torch.allclose(maps[row].sum(1), torch.ones(len(found[row])))


def test_a_beam_of_one_is_greedy():
    model, (x, lengths) = translator(5), sources()
    found, _ = model.translate(x, lengths, beam=1, max_steps=6)
    for row in range(3):
        tokens = [BOS]
        source = model.encode(x[row : row + 1], lengths[row : row + 1])
        while len(tokens) < 7 and tokens[-1] != EOS:
            logits = model.decode(source, torch.tensor([tokens]))[0][0, -1]
            logits[[PAD, BOS]] = -torch.inf
            tokens.append(int(logits.argmax()))
        assert found[row] == [token for token in tokens[1:] if token != EOS]


def test_a_round_of_the_search_is_one_step_of_what_has_not_ended():
    model, (x, lengths) = translator(3), sources()
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[:2]))
    model.translate(x, lengths, beam=4, max_steps=6)
    rows, steps = zip(*seen, strict=True)
    assert set(steps) == {1}
    assert rows[0] == 3  # all candidates of a sequence start equal
    assert max(rows) <= 12


def test_a_decoder_whose_states_cannot_be_chosen_from_says_so():
    model, (x, lengths) = translator(3), sources()
    own = model.decoder.forward
    model.decoder.forward = lambda *given: (own(*given)[0], SimpleNamespace())
    with pytest.raises(ConfigError, match=r"whose state has `select\(rows\)`, got SimpleNamespace"):
        model.translate(x, lengths, beam=2, max_steps=3)


def test_every_parameter_gets_a_gradient():
    model, (x, lengths), y = translator().train(), sources(), targets()
    logits = model.answer(Batch(x, y, lengths)).logits
    nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=IGNORED).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name


def test_another_device_translates_the_same():
    model, (x, lengths) = translator(7), sources()
    other = model.on(DeviceOptions("default.qubit"))
    assert (
        other.translate(x, lengths, beam=2, max_steps=4)[0]
        == (model.translate(x, lengths, beam=2, max_steps=4)[0])
    )


def test_bleu_does_not_tell_capitals_from_small_letters_and_says_so():
    score = bleu(["A DOG runs here"], ["a dog RUNS here"])
    assert score.value == pytest.approx(100)
    assert score.signature.startswith("sacreBLEU nrefs:1|case:lc|")
