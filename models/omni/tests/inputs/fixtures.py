"""What the reference's processors make of a small clip, for the tests beside this file.

    python3 -m venv .oracle
    .oracle/bin/pip install torch==2.9.0 torchvision==0.24.0 transformers==5.23.0 safetensors numpy
    .oracle/bin/python models/omni/tests/inputs/fixtures.py models/omni/tests/inputs

Writes OUT/features.safetensors (sounds and their log-mel, frames and their patches), OUT/layouts.json (input ids of
Qwen2_5OmniProcessor for clips of many grids, paces and lengths), OUT/tokenizer/ (a small Qwen2Tokenizer as
vocab.json and merges.txt) and OUT/texts.json (its ids of some texts).
"""
import json, pathlib, sys
import numpy as np, torch
from safetensors.torch import save_file
from transformers import Qwen2Tokenizer, Qwen2VLVideoProcessor, WhisperFeatureExtractor
from transformers.models.qwen2_5_omni.processing_qwen2_5_omni import Qwen2_5OmniProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

out = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(7)

# Sounds: noise over a chirp, an odd length, and silence after a click.
extract = WhisperFeatureExtractor(feature_size=128, sampling_rate=16000, hop_length=160, chunk_length=300, n_fft=400)
tensors = {}
for name, samples in dict(second=16000, odd=5921, click=3200).items():
    t = np.arange(samples) / 16000
    pcm = 0.3 * np.sin(2 * np.pi * (220 + 400 * t) * t) + 0.05 * rng.standard_normal(samples)
    if name == "click":
        pcm = np.where(np.arange(samples) == 900, 1.0, 0.0)
    pcm = pcm.astype(np.float32)
    mel = extract(pcm, sampling_rate=16000, return_attention_mask=True, padding="longest", truncation=False, return_tensors="np")
    assert np.asarray(mel["attention_mask"]).all()
    tensors[f"{name}.pcm"] = torch.from_numpy(pcm)
    tensors[f"{name}.mel"] = torch.from_numpy(mel["input_features"][0])

# Frames: an even and an odd number.
process = Qwen2VLVideoProcessor(do_sample_frames=False, do_resize=False)
for name, shape in dict(two=(2, 56, 56), three=(3, 28, 84)).items():
    rgb = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    video = process(videos=[torch.from_numpy(rgb).permute(0, 3, 1, 2)], return_tensors="pt")
    tensors[f"{name}.rgb"] = torch.from_numpy(rgb)
    tensors[f"{name}.patches"] = video["pixel_values_videos"]
    tensors[f"{name}.grid"] = video["video_grid_thw"][0]
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "features.safetensors")

# Sizes after resizing.
limits = dict(min_pixels=128 * 28 * 28, max_pixels=768 * 28 * 28)
sizes = [(504, 504), (360, 640), (1080, 1920), (100, 100), (42, 70), (14, 2800), (70, 98), (2160, 3840)]
sizes = [dict(given=s, fitting=smart_resize(*s, **limits)) for s in sizes]


# The processor's own expansion of one clip: A, V, a and e stand for the tokens.
class Video:
    merge_size = 2


class Names:
    audio_bos_token, audio_eos_token, audio_token, video_token, video_processor = "a", "e", "A", "V", Video
    get_chunked_index = Qwen2_5OmniProcessor.get_chunked_index


layouts = []
for grid, pace, tokens in [((5, 2, 2), 1.0, 125), ((5, 4, 4), 1.0, 250), ((2, 4, 4), 8.0, 250), ((10, 2, 4), 0.25, 63),
                           ((7, 4, 2), 2.0, 90), ((1, 2, 2), 1.0, 0), ((20, 2, 2), 0.7, 300), ((3, 6, 4), 3.3, 50)]:
    body = Qwen2_5OmniProcessor.replace_video_with_audio_token(
        Names(), {"video_grid_thw": [torch.tensor(grid)], "video_second_per_grid": [pace]}, 0, {"num_audio_tokens": [tokens]}, 0,
        position_id_per_seconds=25, seconds_per_chunk=2.0)
    layouts.append(dict(grid=grid, seconds_per_grid=pace, audio_tokens=tokens, body=body))

# A small Qwen2 tokenizer: bytes, some merges, the special tokens after them.
from tokenizers.pre_tokenizers import ByteLevel
letters = sorted(ByteLevel.alphabet())
merges = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("i", "s"), ("Ġ", "is"), ("o", "u"), ("n", "d"), ("ou", "nd"), ("Ġs", "ound"), ("Ġ", "s")]
vocab = {token: i for i, token in enumerate(letters)}
for a, b in merges:
    vocab.setdefault(a, len(vocab)); vocab.setdefault(b, len(vocab)); vocab.setdefault(a + b, len(vocab))
special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|vision_bos|>",
           "<|vision_eos|>", "<|IMAGE|>", "<|VIDEO|>"]
tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges)
tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
folder = out / "tokenizer"
folder.mkdir(exist_ok=True)
(folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False, indent=0) + "\n")
(folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
added = {str(tokenizer.convert_tokens_to_ids(token)): dict(content=token, special=True) for token in special}
(folder / "tokenizer_config.json").write_text(json.dumps(dict(added_tokens_decoder=added), indent=1) + "\n")
texts = ["Is the sound of the Cat audible?", "user\nWhat's  that?\n\n", " the 1234 sounds", "é e\u0301 日本 🎧", "a\tb\r\n c", "<tool>"]
texts = [dict(text=text, ids=tokenizer(text)["input_ids"]) for text in texts]
chat = "<|im_start|>user\n<|vision_bos|><|VIDEO|><|vision_eos|>Is the sound loud?<|im_end|>\n<|im_start|>assistant\n"
texts = dict(texts=texts, chat=dict(text=chat, ids=tokenizer(chat)["input_ids"]))
for name, value in dict(layouts=layouts, sizes=sizes, texts=texts).items():
    (out / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")
