"""Libraries above the client. Each function is one test."""

import json

from common import api, equal, folder, fresh, main


def datasets():
    import datasets as d

    rows = {"n": list(range(50)), "text": [f"row {n}" for n in range(50)]}
    table = d.Dataset.from_dict(rows)
    parquet = folder({"x": b""}) / "train.parquet"
    table.to_parquet(str(parquet))
    jsonl = "\n".join(json.dumps({"n": n, "text": f"row {n}"}) for n in range(50)).encode()
    csv = "n,text\n" + "\n".join(f"{n},row {n}" for n in range(50))
    for name, data in {
        "train.parquet": parquet.read_bytes(),
        "train.jsonl": jsonl,
        "train.csv": csv.encode(),
    }.items():
        repo_id = api.create_repo(fresh(), repo_type="dataset").repo_id
        api.upload_file(path_or_fileobj=data, path_in_repo=name, repo_id=repo_id, repo_type="dataset")
        equal(d.load_dataset(repo_id, split="train").to_dict(), rows)
    equal([row["n"] for row in d.load_dataset(repo_id, split="train", streaming=True)], rows["n"])
    pushed = fresh()
    table.push_to_hub(pushed, private=True)
    equal(d.load_dataset(pushed, split="train").to_dict(), rows)


def transformers():
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=32,
    )
    model = LlamaForCausalLM(config)
    repo_id = fresh()
    model.push_to_hub(repo_id)
    loaded = AutoModelForCausalLM.from_pretrained(repo_id)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    equal(api.model_info(repo_id).id, repo_id)


if __name__ == "__main__":
    main(globals())
