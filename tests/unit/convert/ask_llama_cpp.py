"""`python ask_llama_cpp.py MODEL CONTEXT [ADAPTER ...]`, requests as JSON on stdin: a process, because a server cannot be closed."""

from __future__ import annotations

import json
import os
import sys
import urllib.request

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.port = 0
params.lora_init_without_apply = True
params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 0.0) for path in sys.argv[3:]]
params.n_parallel = 1
params.n_ctx = int(sys.argv[2])
params.warmup = False
params.fit_params = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
answers = []
for path, body in json.load(sys.stdin):
    request = urllib.request.Request(f"{server.listening_address}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        answers.append(json.load(answer))
print("ANSWERS " + json.dumps(answers), flush=True)
os._exit(0)
