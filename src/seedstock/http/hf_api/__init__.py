"""The Hugging Face Hub API, as unmodified clients speak it."""
