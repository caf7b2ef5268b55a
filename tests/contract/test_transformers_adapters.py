"""LoRA adapters of a model that runs with transformers, held to transformers and PEFT themselves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from huggingface_hub import HfApi
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from seedstock.run.engines.transformers_adapters import Asked, Use
from seedstock.run.engines.transformers_model import load
from tests.contract.server import HubProcess
from tests.factories.tiny_transformers import write_gpt2

pytestmark = [
    pytest.mark.xdist_group("transformers-adapters"),
    # PEFT asks transformers by a name that it is about to drop, and says that one model has two adapters.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute"),
]
BASE = "ada/gpt2-base"
PROMPT = "several words to go on from"
SETTINGS: dict[str, dict[str, Any]] = {
    "ada/gpt2-red": {"r": 4, "lora_alpha": 8},
    "ada/gpt2-blue": {
        "r": 4,
        "use_rslora": True,
        "rank_pattern": {"c_fc": 2},
        "alpha_pattern": {"h.1.attn.c_attn": 3},
    },
}
Folders = dict[str, Path]


def write_adapter(base: Path, folder: Path, seed: int, **settings: Any) -> Path:
    """As PEFT saves one."""
    torch.manual_seed(seed)
    config = LoraConfig(
        target_modules=["c_attn", "c_fc"], fan_in_fan_out=True, init_lora_weights=False, task_type="CAUSAL_LM", **settings
    )  # fmt: skip
    get_peft_model(AutoModelForCausalLM.from_pretrained(str(base)), config).save_pretrained(str(folder))
    (folder / "README.md").unlink()
    change_config(folder, base_model_name_or_path=BASE)
    return folder


def change_config(folder: Path, **change: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


@pytest.fixture(scope="module")
def folders(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The base and two adapters of it, published."""
    at = tmp_path_factory.mktemp("adapters")
    found = {BASE: write_gpt2(at / "base", seed=4)}
    for seed, (name, settings) in enumerate(SETTINGS.items()):
        found[name] = write_adapter(found[BASE], at / str(seed), seed, **settings)
    for name, folder in found.items():
        publish(hub, name, folder)
    hub.admin("jobs", "--wait")
    return found


def publish(hub: HubProcess, name: str, folder: Path) -> None:
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.create_repo(name)
    api.upload_folder(repo_id=name, folder_path=str(folder))


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


def said(client: openai.OpenAI, name: str) -> list[float]:
    """The log-probabilities of eight tokens at temperature 0."""
    answer = client.completions.create(
        model=name, prompt=PROMPT, max_tokens=8, temperature=0, logprobs=1, extra_body={"ignore_eos": True}
    )
    assert answer.model == name
    assert answer.choices[0].logprobs is not None
    return [float(value or 0) for value in answer.choices[0].logprobs.token_logprobs or []]


@torch.inference_mode()
def expected(folders: Folders, name: str) -> list[float]:
    """The same by transformers and PEFT."""
    model: Any = AutoModelForCausalLM.from_pretrained(str(folders[BASE]))
    if name != BASE:
        model = PeftModel.from_pretrained(model, str(folders[name]))
    ids = AutoTokenizer.from_pretrained(str(folders[BASE]))(PROMPT, return_tensors="pt")["input_ids"]
    found = []
    for _ in range(8):
        step = torch.log_softmax(model.eval()(input_ids=ids).logits[0, -1].float(), dim=-1)
        found.append(float(step.max()))
        ids = torch.cat([ids, step.argmax().view(1, 1)], dim=1)
    return found


def engines_of(hub: HubProcess) -> set[int]:
    """The engine children of this hub that run transformers."""
    commands = {path.parent.name: path.read_text() for path in Path("/proc").glob("[0-9]*/cmdline")}
    return {int(pid) for pid, one in commands.items() if "transformers_child" in one and str(hub.data) in one}


def test_variants_of_one_base_answer_in_turn_from_its_weights(
    folders: Folders, hub: HubProcess, client: openai.OpenAI
) -> None:
    wanted = {name: expected(folders, name) for name in folders}
    assert min(abs(wanted[one][0] - wanted[BASE][0]) for one in SETTINGS) > 0.01
    assert said(client, BASE) == pytest.approx(wanted[BASE], abs=1e-3)
    before = engines_of(hub)
    for name in [*SETTINGS, BASE, *reversed(SETTINGS), BASE]:
        assert said(client, name) == pytest.approx(wanted[name], abs=1e-3), name
    after = engines_of(hub)
    assert after
    assert after <= before  # no weights were loaded again


def test_no_weights_of_the_base_are_copied(folders: Folders) -> None:
    loaded = load(folders[BASE], "float32")
    before = {name: weight.data_ptr() for name, weight in loaded.model.named_parameters()}
    ids = loaded.tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    files = {name: str(folders[name] / "adapter_model.safetensors") for name in SETTINGS}
    red, blue = (Use(str(at), path) for at, path in enumerate(files.values()))
    for keep, use, name in (
        ([red, blue], red, "ada/gpt2-red"),
        ([red, blue], blue, "ada/gpt2-blue"),
        ([red, blue], None, BASE),
        ([blue], blue, "ada/gpt2-blue"),
        ([], None, BASE),
        ([red], red, "ada/gpt2-red"),
    ):
        loaded.adapters.apply(Asked([one.key for one in keep], use))
        with torch.inference_mode():
            found = torch.log_softmax(loaded.model(input_ids=ids).logits[0, -1], dim=-1).max()
        assert float(found) == pytest.approx(expected(folders, name)[0], abs=1e-5), name
        now = {name.replace(".base_layer", ""): weight for name, weight in loaded.model.named_parameters()}
        assert {name: weight.data_ptr() for name, weight in now.items() if ".lora_" not in name} == before
        held = {name.split(".")[-2] for name in now if ".lora_" in name}
        assert ({use.key} if use else set()) <= held <= {one.key for one in keep}


def test_they_are_listed_and_chat(folders: Folders, client: openai.OpenAI, http: httpx.Client) -> None:
    assert set(folders) <= {model.id for model in client.models.list()}
    parts = [http.get(f"/v1/models/{name}").json()["memory_bytes"] for name in (BASE, *SETTINGS)]
    assert all(0 < one["weights"] - parts[0]["weights"] < parts[0]["weights"] for one in parts[1:])
    events = client.chat.completions.create(
        model="ada/gpt2-red", messages=[{"role": "user", "content": "hi"}], max_tokens=3, stream=True
    )
    assert {event.model for event in events} == {"ada/gpt2-red"}


def test_adapters_that_cannot_run_are_refused_by_name(
    folders: Folders, hub: HubProcess, client: openai.OpenAI, tmp_path: Path
) -> None:
    changed = {name: tmp_path / name for name in ("dora", "other", "half", "regex", "prompt")}
    for folder in changed.values():
        shutil.copytree(folders["ada/gpt2-red"], folder)
    change_config(changed["dora"], use_dora=True)
    change_config(changed["regex"], alpha_pattern={"(.*)*x": 2})
    change_config(changed["prompt"], peft_type="PROMPT_TUNING")
    path = changed["other"] / "adapter_model.safetensors"
    save_file({name: torch.cat([value, value], 1) for name, value in load_file(path).items()}, path)
    path = changed["half"] / "adapter_model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if "lora_A" in name}, path)
    for name, folder in changed.items():
        publish(hub, f"ada/gpt2-{name}", folder)
    for name, says in (
        ("dora", "use_dora"),
        ("regex", "alpha_pattern"),
        ("prompt", "PROMPT_TUNING"),
        ("other", "of another model"),
        ("half", "one of the two"),
    ):
        with pytest.raises(openai.BadRequestError, match=says):
            said(client, f"ada/gpt2-{name}")
    assert said(client, "ada/gpt2-red") == pytest.approx(expected(folders, "ada/gpt2-red"), abs=1e-3)
