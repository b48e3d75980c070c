"""The name finder of our own: a small network over words, beside the language model's."""
