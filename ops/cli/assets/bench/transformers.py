"""transformers and PEFT at the work of `counterpoint bench questions|lora|load|forward`.

The argument is the job as JSON: {"work", "folder", ...}. The folder holds `model` and `adapter` in Hugging Face's
layout, `inputs.safetensors` and `prompts.json`; the side that this is compared to wrote them. An empty line says that
all is loaded. Each line of standard input is a turn, true where its outcome is compared, and is answered by
{"texts": [...], "numbers": [...]}.
"""

import copy
import json
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import Qwen2_5OmniThinkerForConditionalGeneration as Thinker
from transformers.utils import logging

JOB = json.loads(sys.argv[1])
FOLDER = pathlib.Path(JOB["folder"])
CHECKPOINT = FOLDER / "model"
# Logits that are compared: so many positions, spread evenly, and so many of the first tokens.
POSITIONS, TOKENS = 8, 32


def thinker():
    return Thinker.from_pretrained(CHECKPOINT, dtype=torch.float32)


class Inputs:
    def __init__(self):
        self.tensors = load_file(FOLDER / "inputs.safetensors")
        told = json.loads((FOLDER / "prompts.json").read_text())
        self.prompts, self.shared, self.training = told["prompts"], told["shared"], told["training"]
        self.stop, self.longest, self.yes, self.no = told["stop"], told["longest"], told["yes"], told["no"]
        self.tokenizer = Tokenizer.from_file(str(CHECKPOINT / "tokenizer.json"))

    def of(self, prompt, length=None):
        ids = torch.tensor([prompt["ids"][:length]])
        mel = self.tensors[f"input_features.{prompt['sound']}"][None]
        video = {name: self.tensors[name]
                 for name in ["pixel_values_videos", "video_grid_thw", "video_second_per_grid"]}
        return dict(video, input_ids=ids, attention_mask=torch.ones_like(ids), input_features=mel,
                    feature_attention_mask=torch.ones(1, mel.shape[2], dtype=torch.long), use_audio_in_video=True)

    def outcome(self, answers, scores):
        """Texts, and how likely yes is where it was asked for."""
        texts = [self.tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
        numbers = []
        for prompt, score in zip(self.prompts, scores):
            if prompt["yes_no"]:
                share = torch.softmax(score[self.yes + self.no], 0)
                numbers.append(float(share[:len(self.yes)].sum()))
        return texts, numbers


@torch.no_grad()
def each_for_itself(model, inputs):
    """What `generate` does for one question after the other."""
    answers, scores = [], []
    for prompt in inputs.prompts:
        said = model.generate(**inputs.of(prompt), max_new_tokens=inputs.longest, do_sample=False,
                              eos_token_id=inputs.stop, pad_token_id=inputs.stop, return_dict_in_generate=True,
                              output_logits=True)
        answers.append(said.sequences[0, len(prompt["ids"]):].tolist())
        scores.append(said.logits[0][0].float())
    return inputs.outcome(answers, scores)


@torch.no_grad()
def copied_cache(model, inputs):
    """The clip once, its keys and values copied for each question."""
    kept = model(**inputs.of(inputs.prompts[0], inputs.shared), use_cache=True).past_key_values
    answers, scores = [], []
    for prompt in inputs.prompts:
        given = inputs.of(prompt)
        positions, offset = model.get_rope_index(
            given["input_ids"], None, given["video_grid_thw"], given["attention_mask"], True,
            given["feature_attention_mask"].sum(-1), given["video_second_per_grid"])
        positions = positions[:, :, inputs.shared:]
        cache, ids, said = copy.deepcopy(kept), prompt["ids"][inputs.shared:], []
        while True:
            logits = model(input_ids=torch.tensor([ids]), past_key_values=cache, position_ids=positions,
                           use_cache=True).logits[0, -1]
            positions = torch.full((3, 1, 1), cache.get_seq_length() + int(offset))
            if not said:
                scores.append(logits.float())
            ids = [int(logits.argmax())]
            said += ids
            if ids[0] == inputs.stop or len(said) == inputs.longest:
                break
        answers.append(said)
    return inputs.outcome(answers, scores)


def adapted(checkpointing):
    base = thinker()
    if checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model = PeftModel.from_pretrained(base, FOLDER / "adapter", is_trainable=True)
    return model.train()


def surprise(model, inputs, prompt, tokens):
    """Loss of one example among so many tokens of answers."""
    given = inputs.of(prompt)
    labels = given["input_ids"].clone()
    labels[:, :-prompt["answer"]] = -100
    return model(**given, labels=labels, use_cache=False).loss * (prompt["answer"] / tokens)


def step(model, inputs, parameters, optimizer, rate, prompts):
    """A step on these examples; the loss before it."""
    tokens, loss = sum(prompt["answer"] for prompt in prompts), 0.0
    for prompt in prompts:
        part = surprise(model, inputs, prompt, tokens)
        part.backward()
        loss += float(part.detach())
    torch.nn.utils.clip_grad_norm_(parameters, inputs.training["clip"])
    optimizer.param_groups[0]["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss


def optimizer_of(parameters):
    return torch.optim.AdamW(parameters, weight_decay=0.0)


def tuning(checkpointing):
    model, inputs = adapted(checkpointing), Inputs()
    parameters = [value for value in model.parameters() if value.requires_grad]
    start = [value.detach().clone() for value in parameters]

    def turn(_):
        with torch.no_grad():
            for value, first in zip(parameters, start):
                value.copy_(first)
        optimizer = optimizer_of(parameters)
        losses = [step(model, inputs, parameters, optimizer, rate, inputs.prompts)
                  for rate in inputs.training["rates"]]
        return [], losses

    return turn


def steps(everything):
    model, inputs = thinker().train() if everything else adapted(False), Inputs()
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimizer = optimizer_of(parameters)
    rate = inputs.training["rate_of_all"] if everything else inputs.training["rates"][0]
    return lambda _: ([], [step(model, inputs, parameters, optimizer, rate, inputs.prompts)])


def forward():
    model, inputs = thinker().eval(), Inputs()

    @torch.no_grad()
    def turn(_):
        logits = model(**inputs.of(inputs.prompts[0]), use_cache=False).logits[0]
        rows = [(place + 1) * len(logits) // POSITIONS - 1 for place in range(POSITIONS)]
        return [], logits[rows, :TOKENS].flatten().tolist()

    return turn


def questions(answer):
    model, inputs = thinker().eval(), Inputs()
    return lambda _: answer(model, inputs)


def sums(tensors, names):
    return [], [float(tensors[name].double().sum()) for name in names]


def tensors():
    """Every number read, and looked at, as the other side does."""
    names = json.loads((FOLDER / "prompts.json").read_text())["tensors"]

    def turn(compared):
        read = load_file(CHECKPOINT / "model.safetensors")
        finite = all(bool(torch.isfinite(tensor).all()) for tensor in read.values())
        if not finite:
            raise ValueError("a tensor holds what is no number")
        return sums(read, names if compared else [])

    return turn


def whole_model():
    names = json.loads((FOLDER / "prompts.json").read_text())["tensors"]

    def turn(compared):
        read = thinker().state_dict()
        return sums(read, [name.replace("model.", "model.language_model.", 1) for name in names] if compared else [])

    return turn


WORKS = {
    "questions": lambda: questions(each_for_itself),
    "questions-copied": lambda: questions(copied_cache),
    "tune": lambda: tuning(False),
    "tune-again": lambda: tuning(True),
    "load": whole_model,
    "load-tensors": tensors,
    "forward": forward,
    "step-adapter": lambda: steps(False),
    "step-all": lambda: steps(True),
}


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    turn = WORKS[JOB["work"]]()
    print(flush=True)
    for line in sys.stdin:
        texts, numbers = turn(json.loads(line))
        print(json.dumps(dict(texts=texts, numbers=numbers)), flush=True)


main()
