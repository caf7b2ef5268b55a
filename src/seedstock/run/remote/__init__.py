"""Models that run elsewhere, behind an API of OpenAI's or Anthropic's shape."""
