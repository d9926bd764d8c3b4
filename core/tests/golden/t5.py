"""Golden outputs of the T5 encoder of transformers, with tiny formula weights: t5_*.safetensors."""
import sys

sys.dont_write_bytecode = True

import torch
from common import Draws, fill, length_mask, module_gap, write
from transformers import T5Config, T5EncoderModel
from transformers.models.t5.modeling_t5 import T5Attention

TINY = dict(d_model=16, d_kv=6, num_heads=3, d_ff=24, num_layers=2, vocab_size=40, relative_attention_num_buckets=8,
            relative_attention_max_distance=16, layer_norm_epsilon=1e-6, dropout_rate=0.0, pad_token_id=0,
            eos_token_id=1, is_decoder=False)


def encoder(case, what, seed, **kwargs):
    """One encoder; `masked` is the output as imagen_pytorch hands it on, with padding set to 0."""
    config = {**TINY, **kwargs}
    model = T5EncoderModel(T5Config(**config, attn_implementation="eager")).eval()
    params = fill(model, aliases=("encoder.embed_tokens.weight",))
    assert torch.equal(model.encoder.embed_tokens.weight, model.shared.weight)
    mask = length_mask([12, 7], 12)
    ids = torch.randint(2, 40, (2, 12), generator=Draws(seed).generator)
    ids[0, 11] = ids[1, 6] = 1
    ids = ids.masked_fill(~mask, 0)

    def call(m, i):
        """The last hidden state."""
        hidden = m(input_ids=i["ids"], attention_mask=i["mask"].long()).last_hidden_state
        return {"hidden": hidden, "masked": hidden.masked_fill(~i["mask"][..., None], 0.0),
                "unmasked": m(input_ids=i["ids"]).last_hidden_state}

    inputs = {"ids": ids, "mask": mask}
    with torch.no_grad():
        outputs = call(model, inputs)
        gaps = module_gap(model, inputs, call, outputs)
    write(case, what, inputs, outputs, {"class": "T5EncoderModel", **config}, params, gaps)


def buckets():
    """The bucket of each relative position (key minus query)."""
    position = torch.arange(-140, 141)
    table = lambda count, most: T5Attention._relative_position_bucket(
        position, bidirectional=True, num_buckets=count, max_distance=most)
    write("t5_buckets", "T5's bidirectional bucket of each relative position, memory (key) minus context (query), for "
          "32 buckets up to 128 and for 8 buckets up to 16", {"position": position},
          {"bucket_32_128": table(32, 128), "bucket_8_16": table(8, 16)})


if __name__ == "__main__":
    told = "last hidden state with the mask; `masked` with padding set to 0; `unmasked` without a mask"
    encoder("t5_v1_0", f"T5 encoder of version 1.0 (ReLU feed-forward): {told}", 501, feed_forward_proj="relu",
            tie_word_embeddings=True)
    encoder("t5_v1_1", f"T5 encoder of version 1.1 (gated GELU, tanh form): {told}", 502,
            feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    buckets()
