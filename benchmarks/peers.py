"""Ours beside PyTorch's and Hugging Face's, with the same weights: equal results, and the ratio of the times.

    python benchmarks/peers.py [--threads 2]

Prints one line for each comparison; a ratio below 1 means that ours is faster. Nothing here is a test: times depend on
the machine. That the results are equal is asserted before anything is timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import transformers
from ratio import compare
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from parity import copy_bert, copy_gpt2, copy_llama, copy_mha, copy_torch_transformer

from tftutor.attention import MultiHeadAttention
from tftutor.config import BertConfig, BlockConfig, EncoderDecoderConfig, GPTConfig
from tftutor.decoding import greedy
from tftutor.masks import causal_mask, to_blocked
from tftutor.models import GPT, Bert, EncoderDecoder

V, D, H, F, LAYERS = 1000, 256, 8, 1024, 4
B, T, NEW = 8, 128, 96
Case = tuple[str, Callable[[], object], Callable[[], object]]


def attention() -> Iterator[Case]:
    """One layer of self-attention under a causal mask."""
    theirs = nn.MultiheadAttention(D, H, batch_first=True).eval()
    ours = MultiHeadAttention(D, H).eval()
    copy_mha(theirs, ours)
    x, mask = torch.randn(B, T, D), causal_mask(torch.arange(T), torch.arange(T))
    blocked = to_blocked(mask)[0, 0]
    pair = lambda: ours(x, mask=mask), lambda: theirs(x, x, x, attn_mask=blocked, need_weights=False)[0]
    yield from _forward_and_backward("attention layer | nn.MultiheadAttention", *pair)


def gpt2() -> Iterator[Case]:
    """A GPT-2: training step, and text generated with a cache."""
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=V, n_embd=D, n_layer=LAYERS, n_head=H, n_inner=F, n_positions=T + NEW, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=None, pad_token_id=0))  # fmt: skip
    block = BlockConfig(d_model=D, n_heads=H, d_ff=F, activation="gelu_tanh")
    ours = GPT(GPTConfig(block=block, vocab_size=V, n_layers=LAYERS, max_len=T + NEW, positions="learned"))
    copy_gpt2(theirs, ours)
    yield from _language_model("GPT-2", ours, theirs)


def llama() -> Iterator[Case]:
    """A LLaMA with grouped-query attention: the same."""
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=V, hidden_size=D, intermediate_size=F, num_hidden_layers=LAYERS, num_attention_heads=H,
        num_key_value_heads=2, max_position_embeddings=T + NEW, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=None,
        pad_token_id=0, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0}))  # fmt: skip
    block = BlockConfig(d_model=D, n_heads=H, n_kv_heads=2, d_ff=F, bias=False, norm="rms", activation="swiglu")
    ours = GPT(GPTConfig(block=block, vocab_size=V, n_layers=LAYERS, max_len=T + NEW, positions="rope", tie=False))
    copy_llama(theirs, ours)
    yield from _language_model("LLaMA", ours, theirs)


def bert() -> Iterator[Case]:
    """A BERT on a padded batch."""
    theirs = transformers.BertForMaskedLM(transformers.BertConfig(
        vocab_size=V, hidden_size=D, num_hidden_layers=LAYERS, num_attention_heads=H, intermediate_size=F,
        max_position_embeddings=T, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)).eval()  # fmt: skip
    block = BlockConfig(d_model=D, n_heads=H, d_ff=F, activation="gelu", norm_order="post", norm_eps=1e-12)
    ours = Bert(BertConfig(block=block, vocab_size=V, n_layers=LAYERS, max_len=T, positions="learned")).eval()
    copy_bert(theirs, ours)
    tokens, lengths = torch.randint(3, V, (B, T)), torch.linspace(T // 3, T, B).long()
    valid = torch.arange(T) < lengths[:, None]
    yield from _forward_and_backward(
        "BERT, padded | Hugging Face",
        lambda: ours(tokens, valid=valid)[valid],
        lambda: theirs(tokens, attention_mask=valid.long()).logits[valid],
    )


def encoder_decoder() -> Iterator[Case]:
    """Both stacks of the 2017 model, without embeddings on their side."""
    theirs = nn.Transformer(D, H, LAYERS, LAYERS, F, dropout=0.0, batch_first=True, norm_first=True)
    block = BlockConfig(d_model=D, n_heads=H, d_ff=F)
    cfg = EncoderDecoderConfig(block=block, src_vocab_size=V, tgt_vocab_size=V, n_encoder_layers=LAYERS,
                               n_decoder_layers=LAYERS, max_len=T)  # fmt: skip
    ours = EncoderDecoder(cfg)
    copy_torch_transformer(theirs, ours)
    src, tgt = torch.randint(3, V, (B, T)), torch.randint(3, V, (B, T // 2))
    future = nn.Transformer.generate_square_subsequent_mask(T // 2).bool()

    def their_states() -> Tensor:
        source, target = ours.src_embed(src, torch.arange(T)), ours.tgt_embed(tgt, torch.arange(T // 2))
        return theirs(source, target, tgt_mask=future, tgt_is_causal=True)

    def our_states() -> Tensor:
        return ours.decode(tgt, ours.encode(src), tgt_mask=causal_mask(torch.arange(T // 2), torch.arange(T // 2)))

    yield from _forward_and_backward("encoder-decoder | nn.Transformer", our_states, their_states)


def _language_model(name: str, ours: GPT, theirs: nn.Module) -> Iterator[Case]:
    ours.eval(), theirs.eval()
    tokens = torch.randint(3, V, (B, T))
    yield from _forward_and_backward(f"{name} | Hugging Face", lambda: ours(tokens), lambda: theirs(tokens).logits)
    prompt = tokens[:, :16]
    ragged = torch.arange(16) >= torch.linspace(0, 12, B).long()[:, None]  # padded on the left

    def our_text() -> Tensor:
        return greedy(ours, prompt, ours.new_state(B), max_new_tokens=NEW, valid=ragged).tokens

    def their_text() -> Tensor:
        with torch.no_grad():
            return theirs.generate(prompt, attention_mask=ragged.long(), max_new_tokens=NEW, do_sample=False)[:, 16:]

    if not torch.equal(our_text(), their_text()):
        raise AssertionError(f"{name}: the generated texts differ")
    yield f"{name}, {NEW} tokens with cache, ragged | Hugging Face", our_text, their_text


def _forward_and_backward(name: str, ours: Callable[[], Tensor], theirs: Callable[[], Tensor]) -> Iterator[Case]:
    with torch.no_grad():
        difference = float((ours() - theirs()).abs().max())
    if difference > 1e-4:
        raise AssertionError(f"{name}: expected equal results, got a difference of {difference:.1e}")
    yield f"{name}: forward and backward", lambda: ours().square().mean().backward(), \
        lambda: theirs().square().mean().backward()  # fmt: skip

    def without_gradient(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.no_grad():
                return function()

        return run

    yield f"{name}: forward", without_gradient(ours), without_gradient(theirs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    transformers.logging.set_verbosity_error()
    print(f"{'comparison':68} {'ours':>11} {'theirs':>11}   ratio  [quartiles]")
    for cases in (attention, encoder_decoder, bert, gpt2, llama):
        torch.manual_seed(0)
        for name, ours, theirs in cases():
            print(f"{name:68} {compare(ours, theirs)}", flush=True)


if __name__ == "__main__":
    main()
