"""The name finder: its texts, its training, its measure."""
