"""Training methods. Heavy: only the process of a stage imports these modules (torch, transformers, peft, trl)."""
