"""What transformers' Qwen2.5-Omni thinker computes on a tiny random model: the fixtures of the tests beside this file.

    reference.py OUT [--seed N] [--varied]

writes OUT/model (config.json, model.safetensors), for each case OUT/CASE/inputs.safetensors and
OUT/CASE/outputs.safetensors, named as in transformers, and OUT/clip/adapter, as PEFT saves it after a tuning. With --varied the sizes of the model and of the cases follow
from the seed as well. Needed are torch, transformers and peft, as `ops/setup.sh parity` installs them. All is float32
on the CPU.
"""

import argparse
import json
import pathlib
import random

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import Qwen2_5OmniThinkerConfig, Qwen2_5OmniThinkerForConditionalGeneration

VOCABULARY = 160
AUDIO, VIDEO, IMAGE, AUDIO_START, AUDIO_END, VISION_START, VISION_END = range(150, 157)
MERGE, POSITIONS_PER_SECOND, SECONDS_PER_CHUNK = 2, 25, 2
GREEDY, LORA_STEPS, ANSWER = 8, 20, 6


def sizes(draw, varied):
    """The numbers that vary: those of the committed fixtures, or drawn ones."""
    if not varied:
        return dict(layers=2, heads=4, key_heads=2, width=32, patch=4, window=16, full=[1], n_window=20, bands=16,
                    grid=(2, 10, 6), other_grid=(1, 4, 8), image=(1, 6, 4), frames=94, other_frames=37, step=1.0)
    heads = draw.choice([2, 4])
    layers = draw.choice([1, 2, 3, 4])
    return dict(layers=layers, heads=heads, key_heads=draw.choice([1, 2, heads]), width=draw.choice([32, 48, 64]),
                patch=draw.choice([4, 14]), window=draw.choice([4, 8, 12]), n_window=draw.choice([10, 25, 100]),
                full=draw.sample(range(layers), draw.randint(0, layers)), bands=draw.choice([16, 80, 128]),
                grid=(draw.randint(1, 6), 2 * draw.randint(1, 8), 2 * draw.randint(1, 8)),
                other_grid=(draw.randint(1, 4), 2 * draw.randint(1, 6), 2 * draw.randint(1, 6)),
                image=(1, 2 * draw.randint(1, 8), 2 * draw.randint(1, 8)),
                frames=draw.randint(4, 700), other_frames=draw.randint(4, 300), step=draw.choice([0.5, 1.0, 2.0]))


def config(size):
    width, heads = size["width"], size["heads"]
    half = width // heads // 2
    third = half // 3
    # Windows are given in patches, which are merged in pairs.
    window = max(2, size["window"] // MERGE) * size["patch"] * MERGE if size["window"] < 16 else size["window"]
    return Qwen2_5OmniThinkerConfig(
        audio_config=dict(d_model=width, encoder_attention_heads=heads, encoder_ffn_dim=2 * width,
                          encoder_layers=size["layers"], num_mel_bins=size["bands"], n_window=size["n_window"],
                          max_source_positions=1500, output_dim=width),
        vision_config=dict(depth=size["layers"], hidden_size=width, intermediate_size=width + 16, num_heads=heads,
                           patch_size=size["patch"], temporal_patch_size=2, spatial_merge_size=MERGE,
                           window_size=window, out_hidden_size=width, fullatt_block_indexes=size["full"],
                           in_channels=3),
        text_config=dict(hidden_size=width, intermediate_size=3 * width, num_hidden_layers=size["layers"],
                         num_attention_heads=heads, num_key_value_heads=size["key_heads"], vocab_size=VOCABULARY,
                         max_position_embeddings=4096, tie_word_embeddings=False,
                         rope_parameters=dict(rope_type="default", rope_theta=1e6,
                                              mrope_section=[half - 2 * third, third, third])),
        audio_token_index=AUDIO, video_token_index=VIDEO, image_token_index=IMAGE,
        audio_start_token_id=AUDIO_START, audio_end_token_id=AUDIO_END,
        vision_start_token_id=VISION_START, vision_end_token_id=VISION_END,
        position_id_per_seconds=POSITIONS_PER_SECOND, seconds_per_chunk=SECONDS_PER_CHUNK, pad_token_id=0)


class Case:
    """Inputs as the processor lays them out, clip after clip."""

    def __init__(self, model, size, generator):
        self.model, self.size, self.generator = model, size, generator
        self.rows, self.videos, self.images, self.sounds, self.together = [], [], [], [], False

    def text(self, count):
        return torch.randint(10, 140, (count,), generator=self.generator).tolist()

    def row(self, media, question):
        self.rows.append(self.text(5) + media + self.text(question))

    def video(self, grid):
        self.videos.append(grid)
        return [VISION_START] + [VIDEO] * (grid[0] * grid[1] * grid[2] // MERGE**2) + [VISION_END]

    def image(self, grid):
        self.images.append(grid)
        return [VISION_START] + [IMAGE] * (grid[0] * grid[1] * grid[2] // MERGE**2) + [VISION_END]

    def sound(self, frames):
        self.sounds.append(frames)
        return [AUDIO_START] + [AUDIO] * audio_tokens(frames) + [AUDIO_END]

    def clip(self, grid, frames):
        """Video and sound in turns: chunks of the video's time steps, each followed by as much sound."""
        self.videos.append(grid)
        self.sounds.append(frames)
        self.together = True
        chunk = POSITIONS_PER_SECOND * SECONDS_PER_CHUNK
        times = [int(step * self.size["step"] * POSITIONS_PER_SECOND) for step in range(grid[0])]
        left, body, start = audio_tokens(frames), [], 0
        while times or left:
            now = [time for time in times if time < start + chunk]
            times, heard, start = times[len(now):], min(chunk, left), start + chunk
            left -= heard
            body += [VIDEO] * (len(now) * grid[1] * grid[2] // MERGE**2) + [AUDIO] * heard
        return [VISION_START, AUDIO_START] + body + [AUDIO_END, VISION_END]

    def inputs(self):
        longest = max(map(len, self.rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in self.rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in self.rows])
        inputs = dict(input_ids=ids, attention_mask=mask)
        values = 3 * 2 * self.size["patch"] ** 2
        for name, grid_name, grids in [("pixel_values_videos", "video_grid_thw", self.videos),
                                       ("pixel_values", "image_grid_thw", self.images)]:
            if grids:
                grid = torch.tensor(grids)
                inputs[name] = torch.randn(int(grid.prod(1).sum()), values, generator=self.generator)
                inputs[grid_name] = grid
        if self.videos:
            inputs["video_second_per_grid"] = torch.full((len(self.videos),), self.size["step"])
        if self.sounds:
            frames = torch.tensor(self.sounds)
            shape = len(self.sounds), self.size["bands"], max(self.sounds)
            inputs["input_features"] = torch.randn(shape, generator=self.generator)
            inputs["feature_attention_mask"] = (torch.arange(max(self.sounds)) < frames[:, None]).long()
        return inputs

    @torch.no_grad()
    def outputs(self, inputs):
        model, out = self.model, {}
        frames = torch.tensor(self.sounds) if self.sounds else None
        out["position_ids"], _ = model.get_rope_index(
            inputs["input_ids"], inputs.get("image_grid_thw"), inputs.get("video_grid_thw"), inputs["attention_mask"],
            self.together, frames, inputs.get("video_second_per_grid"))
        if self.images:
            out["image_embeddings"] = torch.cat(list(
                model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"]).pooler_output))
        if self.videos:
            out["video_embeddings"] = torch.cat(list(
                model.get_video_features(inputs["pixel_values_videos"], inputs["video_grid_thw"]).pooler_output))
        if self.sounds:
            out["audio_embeddings"] = model.get_audio_features(
                inputs["input_features"], inputs["feature_attention_mask"]).last_hidden_state
        result = model(**inputs, use_audio_in_video=self.together, output_attentions=True, use_cache=False)
        out["logits"] = result.logits
        for layer, attention in enumerate(result.attentions):
            out[f"attention.{layer}"] = attention
        out["greedy"] = self.greedy(inputs, out["logits"])
        return out

    def greedy(self, inputs, logits):
        """Without transformers' generate, which wants padding on the left: each row is extended for itself."""
        if len(self.rows) == 1:
            length = inputs["input_ids"].shape[1]
            return self.model.generate(**inputs, use_audio_in_video=self.together, max_new_tokens=GREEDY,
                                       do_sample=False)[:, length:]
        return None


def audio_tokens(frames):
    return ((frames - 1) // 2 + 1 - 2) // 2 + 1


def save(tensors, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path)


def tuned(model, inputs, together, seed, folder):
    """Losses before each step of a LoRA tuning with PEFT and after the last, and the matrices it begins with."""
    torch.manual_seed(seed)
    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, bias="none",
                                               target_modules=["q_proj", "v_proj"],
                                               exclude_modules=r".*(audio_tower|visual).*"))
    followed = {name: value for name, value in adapted.named_parameters() if value.requires_grad}
    start = {name: value.detach().clone() for name, value in followed.items()}
    optimizer = torch.optim.AdamW(followed.values(), lr=1e-2, weight_decay=0.0)
    labels = inputs["input_ids"].clone()
    labels[:, :-ANSWER] = -100
    losses = []
    for step in range(LORA_STEPS + 1):
        loss = adapted(**inputs, use_audio_in_video=together, labels=labels).loss
        losses.append(loss.item())
        if step < LORA_STEPS:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    return start, torch.tensor(losses)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--varied", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = sizes(random.Random(arguments.seed), arguments.varied)
    generator = torch.Generator().manual_seed(arguments.seed)
    torch.manual_seed(arguments.seed)
    model = Qwen2_5OmniThinkerForConditionalGeneration._from_config(config(size), attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.1, generator=generator)
            else:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    save(model.state_dict(), arguments.out / "model" / "model.safetensors")
    (arguments.out / "model" / "config.json").write_text(json.dumps(model.config.to_dict(), indent=1) + "\n")

    def case():
        return Case(model, size, generator)

    cases = {name: case() for name in ["clip", "video", "sound", "image", "apart", "batch"]}
    cases["clip"].row(cases["clip"].clip(size["grid"], size["frames"]), 12)
    cases["video"].row(cases["video"].video(size["grid"]), 9)
    cases["sound"].row(cases["sound"].sound(size["frames"]), 7)
    cases["image"].row(cases["image"].image(size["image"]), 11)
    apart = cases["apart"]
    apart.row(apart.image(size["image"]) + apart.text(2) + apart.sound(size["other_frames"]) + apart.text(1)
              + apart.video(size["other_grid"]), 8)
    cases["batch"].row(cases["batch"].clip(size["grid"], size["frames"]), 7)
    cases["batch"].row(cases["batch"].clip(size["other_grid"], size["other_frames"]), 13)
    for name, made in cases.items():
        inputs = made.inputs()
        outputs = {key: value for key, value in made.outputs(inputs).items() if value is not None}
        save(inputs, arguments.out / name / "inputs.safetensors")
        if name == "clip":
            clip = inputs
        save(outputs, arguments.out / name / "outputs.safetensors")
    start, losses = tuned(model, clip, True, arguments.seed + 1000, arguments.out / "clip" / "adapter")
    save(start, arguments.out / "clip" / "lora.safetensors")
    save(dict(losses=losses[:-1], after=losses[-1:]), arguments.out / "clip" / "losses.safetensors")


if __name__ == "__main__":
    main()
