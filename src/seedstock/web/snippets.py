"""Code that a reader can copy to use this hub or one of its repositories with ordinary clients."""

from __future__ import annotations

from seedstock.core.names import RepoId, RepoType
from seedstock.web.views.common import Snippet


def hub_snippets(base_url: str) -> tuple[Snippet, ...]:
    """How to point clients at this hub."""
    return (
        Snippet("Shell", f"export HF_ENDPOINT={base_url}\nhf auth login\nhf download OWNER/NAME"),
        Snippet(
            "Python",
            f'import os\nos.environ["HF_ENDPOINT"] = "{base_url}"  # before the import\n\n'
            'from huggingface_hub import snapshot_download\nsnapshot_download("OWNER/NAME")',
        ),
        Snippet(
            "OpenAI client",
            f'from openai import OpenAI\n\nclient = OpenAI(base_url="{base_url}/v1", api_key="hf_...")\n'
            "print([model.id for model in client.models.list()])",
        ),
        Snippet("git", f"git lfs install\ngit clone {base_url}/OWNER/NAME"),
    )


def repo_snippets(
    repo: RepoId, base_url: str, *, uses_transformers: bool, gguf: bool, runnable: bool, talks: bool
) -> tuple[Snippet, ...]:
    """How to use one repository; only the ways that its files and this hub support."""
    snippets = list(_download_snippets(repo, base_url))
    if repo.type is RepoType.DATASET:
        snippets.insert(1, Snippet("datasets", _with_endpoint(base_url, _DATASETS.format(repo=repo))))
    if uses_transformers:
        snippets.insert(1, Snippet("transformers", _with_endpoint(base_url, _TRANSFORMERS.format(repo=repo))))
    if gguf:
        snippets.append(Snippet("llama.cpp", f"export HF_ENDPOINT={base_url}\nllama-cli -hf {repo}"))
    if runnable:
        snippets[0:0] = [
            Snippet("OpenAI", (_OPENAI if talks else _OPENAI_VECTORS).format(base_url=base_url, repo=repo)),
            Snippet("curl", (_CURL if talks else _CURL_VECTORS).format(base_url=base_url, repo=repo)),
        ]
    return tuple(snippets)


def _with_endpoint(base_url: str, code: str) -> str:
    return f'import os\nos.environ["HF_ENDPOINT"] = "{base_url}"  # before the import\n\n{code}'


def _download_snippets(repo: RepoId, base_url: str) -> tuple[Snippet, ...]:
    is_model = repo.type is RepoType.MODEL
    keyword = "" if is_model else f', repo_type="{repo.type.singular}"'
    option = "" if is_model else f" --repo-type {repo.type.singular}"
    code = f'from huggingface_hub import snapshot_download\n\npath = snapshot_download("{repo}"{keyword})'
    return (
        Snippet("huggingface_hub", _with_endpoint(base_url, code)),
        Snippet("hf CLI", f"export HF_ENDPOINT={base_url}\nhf download {repo}{option}"),
        Snippet("git", f"git lfs install\ngit clone {base_url}/{repo.url_path}"),
    )


_TRANSFORMERS = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{repo}")
model = AutoModelForCausalLM.from_pretrained("{repo}")"""

_DATASETS = """\
from datasets import load_dataset

dataset = load_dataset("{repo}")"""

_OPENAI = """\
from openai import OpenAI

client = OpenAI(base_url="{base_url}/v1", api_key="hf_...")
reply = client.chat.completions.create(
    model="{repo}",
    messages=[{{"role": "user", "content": "What is grafting?"}}],
)
print(reply.choices[0].message.content)"""

_OPENAI_VECTORS = """\
from openai import OpenAI

client = OpenAI(base_url="{base_url}/v1", api_key="hf_...")
answer = client.embeddings.create(model="{repo}", input=["What is grafting?"])
print(answer.data[0].embedding)"""

_CURL = """\
curl {base_url}/v1/chat/completions \\
  -H "Authorization: Bearer $HF_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{repo}",
       "messages": [{{"role": "user", "content": "What is grafting?"}}]}}'"""

_CURL_VECTORS = """\
curl {base_url}/v1/embeddings \\
  -H "Authorization: Bearer $HF_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{repo}", "input": ["What is grafting?"]}}'"""
