"""An independent forward of LLaVA-Video, written from its description, in plain torch.

    python reference.py CHECKPOINT REQUESTS ANSWERS

reads the original checkpoint (nothing that the plugin has written) and answers each request of the
JSON file REQUESTS: its prompt's length, the greedy tokens, the first token's log-probabilities,
and the embeddings of its videos and images (an .npz file beside ANSWERS).

The description: every frame goes through SigLIP without its last layer and without the norm after
it, then through a two-layer perceptron with GELU between; frames of a video are then pooled 2 x 2;
newline embeddings go where `mm_newline_position` says. An image is shown whole and in crops; the
crops' patches are put together, cut to the part that shows the image, made smaller if they are too
many, and get a newline after each row. Around it is the conversation format of Qwen 1.5.

Only the language model behind the embeddings is transformers' Qwen2; the rest is written out.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as pixels
from transformers import Qwen2Config, Qwen2ForCausalLM

NEW_TOKENS = 12
F = torch.nn.functional


class Reference:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.tower = json.loads((folder / "tower" / "config.json").read_text())
        self.weights = {}
        for shard in sorted(folder.glob("*.safetensors")):
            self.weights |= load_file(shard)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        text = {k: v for k, v in self.config.items() if k not in ("architectures", "model_type")}
        self.language = Qwen2ForCausalLM(Qwen2Config(**text, attn_implementation="eager"))
        here = {
            name: tensor
            for name, tensor in self.weights.items()
            if name.startswith(("model.layers", "model.norm", "model.embed_tokens", "lm_head"))
        }
        self.language.load_state_dict(here)
        self.language.eval()

    # The vision tower and the projector.

    def see(self, images):
        """Patches of images, (images, patches, hidden), from their pixels as bytes."""
        side, patch = self.tower["image_size"], self.tower["patch_size"]
        images = pixels.resize(
            images, [side, side], interpolation=InterpolationMode.BICUBIC, antialias=True
        )
        x = (images.to(torch.float32) / 255 - 0.5) / 0.5
        name = "model.vision_tower.vision_tower.vision_model"
        x = F.conv2d(
            x,
            self.weights[f"{name}.embeddings.patch_embedding.weight"],
            self.weights[f"{name}.embeddings.patch_embedding.bias"],
            stride=patch,
        )
        x = x.flatten(2).transpose(1, 2)
        x = x + self.weights[f"{name}.embeddings.position_embedding.weight"]
        for layer in range(self.tower["num_hidden_layers"] - 1):
            x = self.layer(f"{name}.encoder.layers.{layer}", x)
        x = self.linear("model.mm_projector.0", x)
        x = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        return self.linear("model.mm_projector.2", x)

    def layer(self, name, x):
        heads = self.tower["num_attention_heads"]
        count, length, width = x.shape

        def split(part):
            return part.view(count, length, heads, width // heads).transpose(1, 2)

        y = self.norm(f"{name}.layer_norm1", x)
        q, k, v = (split(self.linear(f"{name}.self_attn.{p}_proj", y)) for p in "qkv")
        weight = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(width // heads), dim=-1)
        y = (weight @ v).transpose(1, 2).reshape(count, length, width)
        x = x + self.linear(f"{name}.self_attn.out_proj", y)
        y = self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.layer_norm2", x))
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        return x + self.linear(f"{name}.mlp.fc2", y)

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdim=True)
        x = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    # Where tokens stand.

    def video(self, frames, newlines, pooling):
        """Embeddings of a video, one row each; frames are (frames, height, width, 3) bytes."""
        newline = self.weights["model.image_newline"]
        side = self.tower["image_size"] // self.tower["patch_size"]
        tokens = []
        for frame in self.see(torch.from_numpy(frames).permute(0, 3, 1, 2)):
            grid = frame.view(side, side, -1).permute(2, 0, 1)[None]
            if pooling == "bilinear":
                size = -(-side // 2)
                grid = F.interpolate(grid, (size, size), mode="bilinear", align_corners=False)[0]
            else:
                pool = F.avg_pool2d if pooling == "average" else F.max_pool2d
                grid = pool(grid, kernel_size=2, stride=2)[0]
            for row in range(grid.shape[1]):
                tokens += [grid[:, row, column] for column in range(grid.shape[2])]
                if newlines == "grid":
                    tokens.append(newline)
            if newlines == "frame":
                tokens.append(newline)
        if newlines == "one_token":
            tokens.append(newline)
        return torch.stack(tokens)

    def image(self, image):
        """Embeddings of an image, one row each; it is (height, width, 3) bytes."""
        newline = self.weights["model.image_newline"]
        size = self.tower["image_size"]
        side = size // self.tower["patch_size"]
        height, width, _ = image.shape
        image = torch.from_numpy(image).permute(2, 0, 1)
        full_width, full_height = self.best(width, height)
        scale_width, scale_height = full_width / width, full_height / height
        if scale_width < scale_height:
            new_width, new_height = (
                full_width,
                min(math.ceil(height * scale_width), full_height),
            )
        else:
            new_width, new_height = min(math.ceil(width * scale_height), full_width), full_height
        canvas = torch.zeros(3, full_height, full_width, dtype=torch.uint8)
        left, top = (full_width - new_width) // 2, (full_height - new_height) // 2
        canvas[:, top : top + new_height, left : left + new_width] = pixels.resize(
            image,
            [new_height, new_width],
            interpolation=InterpolationMode.BICUBIC,
            antialias=True,
        )
        overview = self.see(image[None])[0]
        rows = []
        for y in range(0, full_height, size):
            crops = [canvas[:, y : y + size, x : x + size] for x in range(0, full_width, size)]
            seen = [crop.view(side, side, -1) for crop in self.see(torch.stack(crops))]
            rows.append(torch.cat(seen, dim=1))
        whole = torch.cat(rows, dim=0)  # rows, columns, hidden
        if width / height > whole.shape[1] / whole.shape[0]:
            kept = int(height * (whole.shape[1] / width))
            cut = (whole.shape[0] - kept) // 2
            whole = whole[cut : whole.shape[0] - cut]
        else:
            kept = int(width * (whole.shape[0] / height))
            cut = (whole.shape[1] - kept) // 2
            whole = whole[:, cut : whole.shape[1] - cut]
        most = int(self.config["image_aspect_ratio"].removeprefix("anyres_max_"))
        times = math.sqrt(whole.shape[0] * whole.shape[1] / (most * side * side))
        if times > 1.1:
            smaller = (int(whole.shape[0] // times), int(whole.shape[1] // times))
            whole = whole.permute(2, 0, 1)[None]
            whole = F.interpolate(whole, smaller, mode="bilinear", align_corners=False)
            whole = whole[0].permute(1, 2, 0)
        tokens = list(overview)
        for row in whole:
            tokens += [*row, newline]
        return torch.stack(tokens)

    def best(self, width, height):
        """The size of the crops together that shows most of the image with the least waste."""
        best, most, least = None, -1, 0
        for full_width, full_height in self.config["image_grid_pinpoints"]:
            scale = min(full_width / width, full_height / height)
            shown = min(int(width * scale) * int(height * scale), width * height)
            waste = full_width * full_height - shown
            if shown > most or (shown == most and waste < least):
                best, most, least = (full_width, full_height), shown, waste
        return best

    # The answer.

    def answer(self, request):
        text = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        media = []
        parts = self.words(text)
        for kind, path in request["media"]:
            data = np.load(path)
            if kind == "video":
                seen = self.video(data, request["newlines"], request["pooling"])
            else:
                seen = self.image(data)
            media.append(seen)
            parts += [seen, *self.words("\n")]
        question = request["question"] + "<|im_end|>\n<|im_start|>assistant\n"
        if media:  # the line break after a placeholder and the question are tokenized as one text
            parts = parts[:-1] + self.words("\n" + question)
        else:
            parts += self.words(question)
        embeddings = torch.cat(parts)[None]
        length = embeddings.shape[1]
        tokens, first = [], None
        for _ in range(NEW_TOKENS):
            logits = self.language(inputs_embeds=embeddings).logits[0, -1]
            if first is None:
                first = torch.log_softmax(logits, dim=-1)
            token = int(logits.argmax())
            tokens.append(token)
            if token == self.config["eos_token_id"]:
                break
            step = self.weights["model.embed_tokens.weight"][token][None, None]
            embeddings = torch.cat((embeddings, step), dim=1)
        return {"prompt_tokens": length, "tokens": tokens, "first": first.tolist()}, media

    def words(self, text):
        """Embeddings of text, as a list with one tensor; no text has none."""
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [self.weights["model.embed_tokens.weight"][ids]] if ids else []


def main():
    folder, requests, answers = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    reference = Reference(folder)
    found, embeddings = {}, {}
    with torch.no_grad():
        for name, request in json.loads(requests.read_text()).items():
            found[name], media = reference.answer(request)
            embeddings |= {f"{name}/{i}": item.numpy() for i, item in enumerate(media)}
    np.savez(answers.with_suffix(".npz"), **embeddings)
    answers.write_text(json.dumps(found))


main()
